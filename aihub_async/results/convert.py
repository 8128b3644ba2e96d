"""Values of fields as Python types, by rules that the caller states: nothing depends on a locale."""

import datetime as dt
import decimal
import enum
import json
import re
import types
import typing
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

import attrs
import msgspec

Converter = Callable[[Any], Any]


class ConversionError(ValueError):
    """A value that is not of the wanted type; `path` leads to it from the field, such as ``[0].price``."""

    def __init__(self, message: str, path: str = "") -> None:
        super().__init__(message)
        self.path = path


class NoConversionError(ConversionError):
    """A type that only its own library can make from a value."""


def _texts(value: str | Sequence[str] | None) -> tuple[str, ...]:
    return () if value is None else (value,) if isinstance(value, str) else tuple(value)


@attrs.frozen(kw_only=True)
class Rules:
    """How texts become numbers and dates.

    Attributes:
        date_format: `strptime` formats of dates and times, tried in order; without any, ISO 8601 only.
        decimal: the decimal mark of numbers.
        thousands: what separates groups of digits; without it, separators are refused.
        converters: functions by type, or by name of the field; they get the value as the server sent it.
    """

    date_format: Sequence[str] = attrs.field(default=(), converter=_texts)
    decimal: str = "."
    thousands: str | None = None
    converters: Mapping[Any, Converter] = attrs.field(factory=dict)


def convert(value: Any, wanted: Any, rules: Rules) -> Any:
    """Return a value as the wanted type.

    Raises:
        ConversionError: it is not of that type.
    """
    while typing.get_origin(wanted) is typing.Annotated:
        wanted = typing.get_args(wanted)[0]
    if wanted in rules.converters:
        return called(rules.converters[wanted], value)
    origin = typing.get_origin(wanted)
    if origin in {typing.Union, types.UnionType}:
        return _union(value, typing.get_args(wanted), rules)
    if origin in {list, tuple, set, frozenset} or wanted in {list, tuple, set, frozenset}:
        return _many(value, origin or wanted, typing.get_args(wanted), rules)
    if origin is typing.Literal:
        return _literal(value, typing.get_args(wanted))
    if isinstance(wanted, type):
        for kind, function in _BY_TYPE:
            if wanted is kind or (kind is enum.Enum and issubclass(wanted, enum.Enum)):
                return function(value, wanted, rules)
    return _other(value, wanted, origin)


def called(converter: Converter, value: Any) -> Any:
    """Return what a converter of the caller's makes of a value.

    Raises:
        ConversionError: it raised ValueError, TypeError, ArithmeticError or LookupError.
    """
    try:
        return converter(value)
    except (ValueError, TypeError, ArithmeticError, LookupError) as error:
        raise ConversionError(f"{value!r}: {str(error) or type(error).__name__}") from error


def is_optional(wanted: Any) -> bool:
    """Return whether None is a value of the type."""
    while typing.get_origin(wanted) is typing.Annotated:
        wanted = typing.get_args(wanted)[0]
    return wanted in {Any, None, type(None)} or type(None) in typing.get_args(wanted)


def _union(value: Any, options: Iterable[Any], rules: Rules) -> Any:
    if value in (None, ""):
        return None
    errors = []
    for option in options:
        if option is type(None):
            continue
        try:
            return convert(value, option, rules)
        except ConversionError as error:
            errors.append(error)
    if len(errors) == 1 or any(isinstance(error, NoConversionError) for error in errors):
        raise errors[0] if len(errors) == 1 else NoConversionError(str(errors[0]))
    raise ConversionError(" and ".join(map(str, errors)))


def _many(value: Any, kind: Any, items: tuple[Any, ...], rules: Rules) -> Any:
    values = _parsed(value, list, "a list")
    if kind is tuple and items and items[-1] is not Ellipsis:
        if len(values) != len(items):
            raise ConversionError(f"{len(values)} items, not {len(items)}")
        wanted: Iterable[Any] = items
    else:
        wanted = [items[0] if items else Any] * len(values)
    return kind(
        _item(number, item, each, rules) for number, (item, each) in enumerate(zip(values, wanted, strict=True))
    )


def _item(number: int, value: Any, wanted: Any, rules: Rules) -> Any:
    try:
        return convert(value, wanted, rules)
    except ConversionError as error:
        raise type(error)(str(error), f"[{number}]{error.path}") from None


def _parsed(value: Any, kind: type, spoken: str) -> Any:
    """Return a list or object; servers also send them as JSON texts."""
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            raise ConversionError(f"{value!r} is not {spoken}") from None
    if not isinstance(value, kind):
        raise ConversionError(f"{value!r} is not {spoken}")
    return value


def parsed_object(value: Any) -> Mapping[str, Any]:
    """Return an object, which servers also send as a JSON text.

    Raises:
        ConversionError: it is none.
    """
    found: Mapping[str, Any] = _parsed(value, Mapping, "an object")
    return found


def _literal(value: Any, options: Iterable[Any]) -> Any:
    for option in options:
        if value == option and isinstance(value, bool) == isinstance(option, bool):
            return option
    raise ConversionError(f"{value!r} is none of {', '.join(map(repr, options))}")


def _enum(value: Any, wanted: Any, _rules: Rules) -> Any:
    try:
        return wanted(value)
    except ValueError:
        raise ConversionError(f"{value!r} is none of {', '.join(repr(item.value) for item in wanted)}") from None


def _text(value: Any, _wanted: Any, _rules: Rules) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, int | float) and not isinstance(value, bool):
        return str(value)
    raise ConversionError(f"{value!r} is not a text")


def _bool(value: Any, _wanted: Any, _rules: Rules) -> bool:
    if isinstance(value, bool):
        return value
    if isinstance(value, str) and value.strip().lower() in {"true", "false"}:
        return value.strip().lower() == "true"
    raise ConversionError(f"{value!r} is neither true nor false")


_DIGITS = re.compile(r"[+-]?\d+(\.\d+)?\Z", re.ASCII)


def _number_text(value: Any, rules: Rules) -> str:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return repr(value)
    if not isinstance(value, str):
        raise ConversionError(f"{value!r} is not a number")
    whole, mark, fraction = value.strip().partition(rules.decimal)
    if rules.thousands:
        whole = _without_groups(whole, rules.thousands, value)
    text = f"{whole}.{fraction}" if mark else whole
    if not _DIGITS.match(text):
        raise ConversionError(f"{value!r} is not a number with {_spoken(rules)}")
    return text


def _without_groups(whole: str, separator: str, value: str) -> str:
    first, *groups = whole.split(separator)
    if groups and (not 1 <= len(first.lstrip("+-")) <= 3 or any(len(group) != 3 for group in groups)):
        raise ConversionError(f"{value!r}: {separator!r} does not separate groups of three digits")
    return first + "".join(groups)


def _spoken(rules: Rules) -> str:
    mark = f"decimal mark {rules.decimal!r}"
    return f"{mark} and thousands separator {rules.thousands!r}" if rules.thousands else mark


def _int(value: Any, _wanted: Any, rules: Rules) -> int:
    text = _number_text(value, rules)
    number = decimal.Decimal(text)
    if number != number.to_integral_value():
        raise ConversionError(f"{value!r} is not a whole number")
    return int(number)


def _float(value: Any, _wanted: Any, rules: Rules) -> float:
    return float(value) if isinstance(value, float) else float(_number_text(value, rules))


def _decimal(value: Any, _wanted: Any, rules: Rules) -> decimal.Decimal:
    return decimal.Decimal(_number_text(value, rules))


def _time(value: Any, wanted: Any, rules: Rules) -> Any:
    if not isinstance(value, str):
        raise ConversionError(f"{value!r} is not a text with a date or time")
    for form in rules.date_format:
        try:
            moment = dt.datetime.strptime(value.strip(), form)  # noqa: DTZ007 - a document's date has no zone
        except ValueError:
            continue
        return moment if wanted is dt.datetime else moment.date() if wanted is dt.date else moment.time()
    if rules.date_format:
        raise ConversionError(f"{value!r} does not match {' or '.join(map(repr, rules.date_format))}")
    try:
        return msgspec.convert(value.strip(), wanted)
    except msgspec.ValidationError:
        raise ConversionError(f"{value!r} is not in the form of ISO 8601; state it with date_format") from None


def _any(value: Any, _wanted: Any, _rules: Rules) -> Any:
    return value


_BY_TYPE: Final[tuple[tuple[type, Callable[[Any, Any, Rules], Any]], ...]] = (
    (str, _text),
    (bool, _bool),
    (int, _int),
    (float, _float),
    (decimal.Decimal, _decimal),
    (dt.datetime, _time),
    (dt.date, _time),
    (dt.time, _time),
    (enum.Enum, _enum),
    (object, _any),
)


def _other(value: Any, wanted: Any, origin: Any) -> Any:
    if wanted is Any:
        return value
    if wanted is dict or origin in {dict, Mapping}:
        value = dict(parsed_object(value))
    try:
        known = not isinstance(msgspec.inspect.type_info(wanted), msgspec.inspect.CustomType)
        if known or isinstance(value, wanted):
            return msgspec.convert(value, wanted, strict=False)
    except msgspec.ValidationError as error:
        raise ConversionError(str(error)) from None
    except TypeError:
        known = False
    name = getattr(wanted, "__name__", wanted)
    raise NoConversionError(f"there is no conversion to {name}: state one with converters={{{name}: …}}")
