"""Source code of a class that describes a run's results, for `Processed.bind`."""

import keyword
import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final

import attrs

from aihub_async.errors import ConfigurationError
from aihub_async.models import ResultFile
from aihub_async.results import cells
from aihub_async.results import fields as facts
from aihub_async.results.targets import folded

_NOT_IN_MSGSPEC = re.compile(r'[\\"\x00-\x1f]')
_NOT_IN_A_NAME = re.compile(r"\W", re.ASCII)


@attrs.define
class _Member:
    field: str
    kind: str = cells.NULL
    documents: int = 0
    """Documents in which the field has a value."""


@attrs.frozen
class _Style:
    imports: str
    decorator: str
    base: str
    alias: Callable[[str, bool], str]
    """The default of a member with another name than its field; by the field's name, and whether it may be None."""


def _default(call: str, keyword_: str, none: str) -> Callable[[str, bool], str]:
    def alias(field: str, optional: bool) -> str:
        return f"{call}({none if optional else ''}{keyword_.format(field)})"

    return alias


_BY_METADATA: Final = "metadata={{'alias': {!r}}}"

STYLES: Final[dict[str, _Style]] = {
    "attrs": _Style(
        "import attrs", "@attrs.frozen(kw_only=True)", "", _default("attrs.field", _BY_METADATA, "default=None, ")
    ),
    "dataclass": _Style(
        "import dataclasses",
        "@dataclasses.dataclass(frozen=True, kw_only=True)",
        "",
        _default("dataclasses.field", _BY_METADATA, "default=None, "),
    ),
    "pydantic": _Style(
        "import pydantic", "", "(pydantic.BaseModel)", _default("pydantic.Field", "alias={!r}", "None, ")
    ),
    "msgspec": _Style(
        "import msgspec",
        "",
        "(msgspec.Struct, frozen=True, kw_only=True)",
        _default("msgspec.field", "name={!r}", "default=None, "),
    ),
}
"""The kinds of classes that `schema()` writes."""


def schema(files: Iterable[ResultFile], style: str = "attrs") -> str:
    """Return Python source with one class per class of document, made from the values that were found.

    A field that some document lacks, or that failed there, may be None. Texts stay ``str``: what a text looks like says
    nothing about its type.

    Args:
        files: results of a run.
        style: ``"attrs"``, ``"dataclass"``, ``"pydantic"`` or ``"msgspec"``.

    Raises:
        ConfigurationError: an unknown style, or there is no document.
    """
    if style not in STYLES:
        raise ConfigurationError(f"style={style!r}: it must be one of {', '.join(map(repr, STYLES))}")
    counts: dict[str | None, int] = {}
    members: dict[str | None, dict[str, _Member]] = {}
    for file in files:
        for document in file.documents:
            counts[document.class_name] = counts.get(document.class_name, 0) + 1
            _observe(members.setdefault(document.class_name, {}), facts.unique_names(document).items())
    if not members:
        raise ConfigurationError("there is no document to make a class from")
    taken: set[str] = set()
    classes = [
        "\n".join(_class(_class_name(name, taken), name, found.values(), counts[name], STYLES[style]))
        for name, found in members.items()
    ]
    code = "\n\n\n".join(classes)
    typing = "from typing import Any\n\n" if re.search(r"\bAny\b", code) else ""
    return f"{typing}{STYLES[style].imports}\n\n\n{code}\n"


def _observe(members: dict[str, _Member], fields: Iterable[tuple[str, Any]]) -> None:
    for name, field in fields:
        member = members.setdefault(name, _Member(name))
        value, _ = facts.value_and_error(field)
        if value not in (None, ""):
            member.documents += 1
            kind = type(value).__name__ if isinstance(value, list | dict) else cells.kind_of(value)
            member.kind = kind if member.kind in {cells.NULL, kind} else _joined(member.kind, kind)


def _joined(first: str, second: str) -> str:
    return "Any" if "list" in {first, second} or "dict" in {first, second} else cells.join(first, second)


_ANNOTATIONS: Final[dict[str, str]] = {
    cells.NULL: "str",
    cells.TEXT: "str",
    cells.BOOL: "bool",
    cells.INT: "int",
    cells.BIG: "int",
    cells.FLOAT: "float",
    "list": "list[Any]",
    "dict": "dict[str, Any]",
    "Any": "Any",
}


def _class(name: str, class_name: str | None, members: Iterable[_Member], total: int, style: _Style) -> Iterator[str]:
    if style.decorator:
        yield style.decorator
    yield f"class {name}{style.base}:"
    what = "documents" if class_name is None else f"documents of class {class_name}"
    yield f'    """Fields of {_plain(what)}."""'
    yield ""
    taken: set[str] = set()
    names = [member.field for member in members]
    ambiguous = {folded(one) for one in names if sum(folded(one) == folded(other) for other in names) > 1}
    for member in members:
        attribute = _attribute(member.field, taken)
        optional = member.documents < total
        annotation = _ANNOTATIONS[member.kind] + (" | None" if optional and member.kind != "Any" else "")
        if folded(attribute) == folded(member.field) and folded(attribute) not in ambiguous:
            default = "None" if optional else ""
        else:
            default = style.alias(member.field, optional)
            if style is STYLES["msgspec"] and _NOT_IN_MSGSPEC.search(member.field):
                yield f"    # msgspec has no alias for the field {member.field!r}"
                continue
        yield f"    {attribute}: {annotation}" + (f" = {default}" if default else "")


def _plain(text: str) -> str:
    return text.replace("\\", " ").replace('"', "'").replace("\n", " ")


def _class_name(name: str | None, taken: set[str]) -> str:
    words = re.split(r"[\W_]+", name or "Document", flags=re.ASCII)
    made = "".join(word[:1].upper() + word[1:] for word in words if word) or "Document"
    return _unique(f"Class{made}" if made[0].isdigit() or keyword.iskeyword(made) else made, taken)


def _attribute(field: str, taken: set[str]) -> str:
    name = _NOT_IN_A_NAME.sub("_", field.replace("__", "_").lower()).strip("_") or "field"
    # pydantic's own names begin with `model_`; some words are the classes' methods.
    if keyword.iskeyword(name) or name in {"copy", "json", "dict", "schema"} or name.startswith("model_"):
        name += "_"
    return _unique(f"field_{name}" if name[0].isdigit() else name, taken)


def _unique(name: str, taken: set[str]) -> str:
    number, candidate = 2, name
    while candidate in taken:
        candidate, number = f"{name}_{number}", number + 1
    taken.add(candidate)
    return candidate
