"""`modify_output_schema`: fields that a flow run adds to its records, removes or renames (Flow Binary API)."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

import attrs
import msgspec

from aihub_async.emulator.wire import ApiError

# The sample of the documentation quotes with typographic quotes.
_ECHO = re.compile("\\s*echo\\(\\s*(?:'(.*)'|\"(.*)\"|\u2018(.*)\u2019|\u201c(.*)\u201d)\\s*\\)\\s*", re.DOTALL)
_NAME = re.compile(r"\w+")


@attrs.frozen
class OutputSchema:
    """Changes to the fields of each record. A formula is `echo('text')`, or the name of a field after renaming."""

    added: tuple[tuple[str, str], ...] = ()
    removed: frozenset[str] = frozenset()
    renamed: Mapping[str, str] = attrs.field(factory=dict)

    @classmethod
    def of(cls, settings: Mapping[str, Any]) -> "OutputSchema":
        """Return the schema in the settings of a run, where it is JSON inside JSON.

        Raises:
            ApiError: 400, malformed, or a formula that the emulator does not support.
        """
        text = (settings.get("runtime_config") or {}).get("modify_output_schema")
        if text is None:
            return cls()
        try:
            content = msgspec.json.decode(text, type=_Content)
        except msgspec.DecodeError as error:
            raise ApiError(400, f"modify_output_schema is not valid: {error}") from None
        for field in content.add_fields:
            if not _ECHO.fullmatch(field.formula) and not _NAME.fullmatch(field.formula.strip()):
                raise ApiError(400, f"The formula {field.formula!r} is neither echo('text') nor the name of a field.")
        added = tuple((field.name, field.formula) for field in content.add_fields)
        return cls(added, frozenset(content.remove_fields), content.rename_fields)

    def apply(self, results: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
        """Return the changed fields of a record."""
        left = [result for result in results if result["key"] not in self.removed]
        kept = [{**result, "key": self.renamed.get(result["key"], result["key"])} for result in left]
        values = {result["key"]: result["value"] for result in kept}
        for name, formula in self.added:
            echo = _ECHO.fullmatch(formula)
            text = next((group for group in echo.groups() if group is not None), "") if echo else None
            value = values.get(formula.strip(), "") if text is None else text
            kept.append({"key": name, "value": value, "field_type": "TEXT", "model_confidence": None})
        return kept


class _AddedField(msgspec.Struct):
    name: str
    formula: str


class _Content(msgspec.Struct):
    add_fields: list[_AddedField] = []
    remove_fields: list[str] = []
    rename_fields: dict[str, str] = {}
