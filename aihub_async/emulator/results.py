"""What a run found, in the shape of the API."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

import attrs

from aihub_async.emulator.apps import Document, ExtractedDocument, Field

_NOT_A_NAME = re.compile(r"[^A-Za-z0-9_]")


def field_name(name: str) -> str:
    """The name that the API gives a field: a valid variable name.

    Example:
        >>> field_name("3rd category"), field_name("secret_id")
        ('_3rd_category', 'secret__id')
    """
    name = _NOT_A_NAME.sub("_", name.replace("_", "__"))
    return f"_{name}" if not name or name[0].isdigit() else name


def file_entry(
    document: Document, found: Sequence[ExtractedDocument], input_path: str, pdf_path: str | None
) -> dict[str, Any]:
    """One item of `files` with everything that any include flag may ask for."""
    return {
        "original_file_name": document.name,
        "input_file_path": input_path,
        "documents": [_document(document, each, pdf_path) for each in found],
    }


def failed_entry(name: str, input_path: str, problem: str) -> dict[str, Any]:
    """One item of `files` for a file that could not be processed."""
    failure = ExtractedDocument([Field("document", None, error=problem)])
    return {"original_file_name": name, "input_file_path": input_path, "documents": [_document(None, failure, None)]}


def _document(source: Document | None, found: ExtractedDocument, pdf_path: str | None) -> dict[str, Any]:
    pages = [page for page in source.pages if not found.pages or page.number in found.pages] if source else []
    passed = not any(field.alerts or field.error for field in found.fields)
    entry: dict[str, Any] = {
        "fields": [_field(source, field) for field in found.fields],
        "class_name": found.class_name,
        "page_numbers": [page.number for page in pages],
        "review_completed": False,
        "class_edit_history": [],
        "classification_confidence": {"model": found.confidence},
        "validations": {"final_result_pass": passed},
        "page_layouts": [
            {"page_number": page.number - 1, "width": page.width, "height": page.height} for page in pages
        ],
        "post_processed_paths": [],
    }
    if pdf_path is not None:
        entry["post_processed_pdf_path"] = pdf_path
    return entry


def _field(source: Document | None, field: Field) -> dict[str, Any]:
    value = "ERROR" if field.error else field.value or ""
    # In a table the first place of a value is seldom the one that is meant, and there are many values to look for.
    searched = source if source and not source.rows and not field.error else None
    box = field.box or (searched.find(value) if searched else None)
    entry: dict[str, Any] = {
        "field_name": field_name(field.name),
        "value": value,
        "type": field.type,
        "confidence": {"model": field.confidence, "ocr": None},
        "source_coordinates": [],
        "edit_history": [],
        "validations": {"valid": not field.alerts and not field.error, "alerts": [_alert(msg) for msg in field.alerts]},
    }
    if box is not None:
        corners = {"top_x": box.left, "top_y": box.top, "bottom_x": box.right, "bottom_y": box.bottom}
        entry["source_coordinates"] = [{**corners, "page_number": box.page - 1}]
    if field.error:
        entry["error_msg"] = field.error
    return entry


def _alert(message: str) -> dict[str, Any]:
    return {"alert_level": "FAILURE", "msg": message, "blocked": True, "type": "custom", "locations": []}


@attrs.frozen
class Include:
    """The four include flags of a results request."""

    review: bool = False
    confidence: bool = False
    validation: bool = False
    source: bool = False

    def filter(self, entry: dict[str, Any]) -> dict[str, Any]:
        """The stored entry of a file without what was not asked for; changes it in place."""
        hidden = self._hidden()
        for document in entry["documents"]:
            for key in hidden[0]:
                document.pop(key, None)
            for field in document["fields"]:
                for key in hidden[1]:
                    field.pop(key, None)
        return entry

    def _hidden(self) -> tuple[list[str], list[str]]:
        document: list[str] = []
        field: list[str] = []
        if not self.review:
            document += ["review_completed", "class_edit_history"]
            field += ["edit_history"]
        if not self.confidence:
            document += ["classification_confidence"]
            field += ["confidence"]
        if not self.validation:
            document += ["validations"]
            field += ["validations"]
        if not self.source:
            document += ["page_layouts", "post_processed_paths", "post_processed_pdf_path"]
            field += ["source_coordinates"]
        return document, field


def review(entry: dict[str, Any], user: str, timestamp: str, corrections: Mapping[str, str]) -> None:
    """Write a finished human review, with corrected values by API field name, into the entry of a file."""
    for document in entry["documents"]:
        document["review_completed"] = True
        for field in document["fields"]:
            corrected = corrections.get(field["field_name"])
            if corrected is None:
                continue
            field["value"] = corrected
            field["edit_history"].append(
                {"timestamp": timestamp, "user_id": user, "modifications": [{"message": "Value corrected."}]}
            )
