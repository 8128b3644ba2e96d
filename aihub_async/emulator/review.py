"""Human review: corrected values and classes, with the history of each change."""

from collections.abc import Mapping
from typing import Any

import attrs


@attrs.frozen(kw_only=True)
class Review:
    """What a reviewer decided.

    Attributes:
        user: User id of the reviewer.
        timestamp: When, such as `08/27/2025 00:58:39`.
        values: Corrected values by API field name, or by pair of file name and field name.
        classes: Corrected classes by file name.
    """

    user: str
    timestamp: str
    values: Mapping[str | tuple[str, str], str] = attrs.field(factory=dict)
    classes: Mapping[str, str] = attrs.field(factory=dict)

    def apply(self, entry: dict[str, Any]) -> dict[str, Any]:
        """Write the review into the entry of a file, in place."""
        file_name = entry["original_file_name"]
        for document in entry["documents"]:
            document["review_completed"] = True
            self._change_class(document, self.classes.get(file_name))
            for field in document["fields"]:
                name = field["field_name"]
                self._change_value(field, self.values.get((file_name, name), self.values.get(name)))
            document["validations"]["final_result_pass"] = all(
                field["validations"]["valid"] for field in document["fields"]
            )
        return entry

    def apply_to_packet(self, field: dict[str, Any]) -> dict[str, Any]:
        """Write the review into a cross-class field, in place."""
        self._change_value(field, self.values.get(field["name"]))
        return field

    def _change_value(self, field: dict[str, Any], value: str | None) -> None:
        if value is None:
            return
        field["edit_history"].append(self._event(f"Value changed from {field['value']!r} to {value!r}."))
        field["value"] = value
        field.pop("error_msg", None)
        # The reviewer's word ends the alerts of the field.
        empty: dict[str, list[Any]] = {"failures": []} if "failures" in field["validations"] else {"alerts": []}
        field["validations"] = {"valid": True, **empty}

    def _change_class(self, document: dict[str, Any], class_name: str | None) -> None:
        if class_name is None:
            return
        before = document["class_name"]
        document["class_edit_history"].append(self._event(f"Class changed from {before!r} to {class_name!r}."))
        document["class_name"] = class_name

    def _event(self, message: str) -> dict[str, Any]:
        return {"timestamp": self.timestamp, "user_id": self.user, "modifications": [{"message": message}]}
