"""Documents as objects of the caller's classes, with the problems of each listed instead of raised."""

import types
import typing
from collections.abc import Iterable, Mapping
from typing import Any, Generic, TypeVar

import attrs

from aihub_async.errors import BindingError
from aihub_async.models import Document, Field, ResultFile
from aihub_async.results import fields as facts
from aihub_async.results.convert import (
    ConversionError,
    NoConversionError,
    Rules,
    called,
    convert,
    is_optional,
    parsed_object,
)
from aihub_async.results.rows import FlatDocument, Origin, file_name, flatten
from aihub_async.results.targets import Member, Target, find_target, match, target_of

T = TypeVar("T")


@attrs.frozen
class Problem:
    """Why an attribute has no value from the document; `path` is such as ``total`` or ``lines[0].price``."""

    path: str
    message: str

    def __str__(self) -> str:
        return f"{self.path}: {self.message}" if self.path else self.message


@attrs.frozen
class Record(Generic[T]):
    """One document as an object of the caller's class.

    `value` is None when the class cannot be built, because an attribute without a default has a problem. An attribute
    with a default has the default then; `problems` lists it all the same. ``record["total"]`` is the field itself, with
    its confidence, coordinates and edits.
    """

    value: T | None
    problems: tuple[Problem, ...]
    file: str
    number: int
    document: Document = attrs.field(repr=False)
    _fields: Mapping[str, Field] = attrs.field(repr=False, alias="fields")

    def __getitem__(self, name: str) -> Field:
        return self._fields[name]

    def __contains__(self, name: object) -> bool:
        return name in self._fields


def bind(
    files: Iterable[ResultFile],
    cls: type[T] | Mapping[str, type[T]],
    rules: Rules,
    *,
    aliases: Mapping[str, str],
    class_name: str | None,
    strict: bool,
) -> list[Record[T]]:
    """Return one record per document; see `Processed.bind`."""
    records = [
        _record(flat, cls, rules, aliases)
        for file in files
        for flat in flatten(file, Origin(None, file_name(file)))
        if flat.number is not None and class_name in {None, flat.document.class_name}
    ]
    problems = [(record, problem) for record in records for problem in record.problems]
    if strict and problems:
        texts = [f"{record.file}, document {record.number}: {problem}" for record, problem in problems]
        raise BindingError(texts, records=records)
    return records


def _record(
    flat: FlatDocument, cls: type[T] | Mapping[str, type[T]], rules: Rules, aliases: Mapping[str, str]
) -> Record[T]:
    chosen = cls.get(flat.document.class_name or "") if isinstance(cls, Mapping) else cls
    by_member: dict[str, Field] = dict(flat.fields)
    if chosen is None:
        problems = [Problem("", f"there is no class for documents of class {flat.document.class_name!r}")]
        value = None
    else:
        binder = _Binder(rules, aliases)
        target = target_of(chosen)
        value = binder.document(target, flat.fields)
        problems = binder.problems
        by_member |= {name: flat.fields[field] for name, field in binder.found.items() if name not in by_member}
    return Record(value, tuple(problems), flat.origin.file, flat.number or 0, flat.document, by_member)


class _Binder:
    """Builds one object and collects what is wrong."""

    def __init__(self, rules: Rules, aliases: Mapping[str, str]) -> None:
        self.problems: list[Problem] = []
        self.found: dict[str, str] = {}
        self._rules = rules
        self._aliases = aliases

    def document(self, target: Target, fields: Mapping[str, Field]) -> Any:
        """Return the object for a document's fields, or None."""
        values: dict[str, Any] = {}
        for name, field in fields.items():
            value, error = facts.value_and_error(field)
            values[name] = _Failed(error) if value is None and error is not None else value
        return self._object(target, values, "", self._aliases)

    def _object(self, target: Target, values: Mapping[str, Any], path: str, aliases: Mapping[str, str]) -> Any:
        before = len(self.problems)
        try:
            found = match(target.members, values, aliases)
        except LookupError as error:
            self.problems.append(Problem(path, str(error.args[0])))
            return None
        if not path:
            self.found = found
        arguments: dict[str, Any] = {}
        complete = True
        for member in target.members:
            here = f"{path}.{member.name}" if path else member.name
            name = found.get(member.name)
            sent = None if name is None else values[name]
            value = self._member(target, member, here, name, sent)
            if value is not attrs.NOTHING:
                arguments[member.parameter] = value
            elif member.required:
                complete = False
        if not complete:
            return None
        return self._build(target, arguments, path, before)

    def _member(self, target: Target, member: Member, path: str, name: str | None, value: Any) -> Any:
        """Return the value of a member; NOTHING leaves it to its default."""
        optional = is_optional(member.type)
        # The default of an optional member is the caller's word for "not found".
        absent = None if optional and member.required else attrs.NOTHING
        if isinstance(value, _Failed):
            self.problems.append(Problem(path, f"the extraction failed: {value.reason}"))
            return absent
        if value in (None, ""):
            if member.required and not optional:
                self.problems.append(Problem(path, "the document has no such field" if name is None else "no value"))
            return absent
        before = len(self.problems)
        try:
            converted = self._value(value, member, name, path)
        except ConversionError as error:
            if target.converts and isinstance(error, NoConversionError):
                return value
            self.problems.append(Problem(path + error.path, str(error)))
            return absent
        # A nested object whose problems left nothing to build.
        lost = converted is None and len(self.problems) > before
        return absent if lost else converted

    def _value(self, value: Any, member: Member, name: str | None, path: str) -> Any:
        for key in (member.name, name):
            if key in self._rules.converters:
                return called(self._rules.converters[key], value)
        nested = _nested(member.type)
        if nested is None:
            return convert(value, member.type, self._rules)
        target, many = nested
        if not many:
            return self._object(target, parsed_object(value), path, {})
        items = convert(value, list[Any], self._rules)
        built = []
        for number, item in enumerate(items):
            try:
                built.append(self._object(target, parsed_object(item), f"{path}[{number}]", {}))
            except ConversionError as error:
                raise ConversionError(str(error), f"[{number}]") from None
        return built if None not in built else None

    def _build(self, target: Target, arguments: dict[str, Any], path: str, before: int) -> Any:
        try:
            return target.build(**arguments)
        # The class's own checks: pydantic's and attrs' validators raise ValueError, others TypeError.
        except (ValueError, TypeError) as error:
            listed: Any = getattr(error, "errors", None)
            if callable(listed):
                described: Any = listed()
                for each in described:
                    where = ".".join(map(str, each["loc"]))
                    self.problems.append(Problem(f"{path}.{where}" if path else where, each["msg"]))
            if len(self.problems) == before or not callable(listed):
                self.problems.append(Problem(path, str(error)))
            return None


@attrs.frozen
class _Failed:
    reason: str


def _nested(wanted: Any) -> tuple[Target, bool] | None:
    """Return the class inside `Cls`, `Cls | None`, `list[Cls]` or `list[Cls] | None`, and whether it is a list."""
    options = [option for option in typing.get_args(wanted) if option is not type(None)]
    if typing.get_origin(wanted) in {typing.Union, types.UnionType} and len(options) == 1:
        return _nested(options[0])
    if typing.get_origin(wanted) is list:
        inner = find_target(options[0])
        return None if inner is None else (inner, True)
    target = find_target(wanted)
    return None if target is None else (target, False)
