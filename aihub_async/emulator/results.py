"""What a run found, in the shape of the API."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

import attrs
import msgspec

from aihub_async.emulator.documents import Document, ExtractedDocument, Field

_NOT_A_NAME = re.compile(r"[^A-Za-z0-9_]")


def field_name(name: str) -> str:
    """Convert the name of a field to the valid variable name that the API reports.

    Example:
        >>> field_name("3rd category"), field_name("secret_id")
        ('_3rd_category', 'secret__id')
    """
    name = _NOT_A_NAME.sub("_", name.replace("_", "__"))
    return f"_{name}" if not name or name[0].isdigit() else name


def file_entry(
    document: Document,
    found: Sequence[ExtractedDocument],
    input_path: str,
    pdf_paths: Sequence[str | None] = (),
    *,
    agent: bool = False,
) -> dict[str, Any]:
    """Return one item of `files` with everything that any include flag may select."""
    paths = pdf_paths or [None] * len(found)
    return {
        "original_file_name": document.name,
        "input_file_path": input_path,
        "documents": [_document(document, each, path, agent=agent) for each, path in zip(found, paths, strict=True)],
    }


def failed_entry(name: str, input_path: str, problem: str) -> dict[str, Any]:
    """Return one item of `files` for a file that could not be processed."""
    failure = ExtractedDocument([Field("document", None, error=problem)])
    return {
        "original_file_name": name,
        "input_file_path": input_path,
        "documents": [_document(None, failure, None, agent=False)],
    }


def is_blocked(entry: Mapping[str, Any]) -> bool:
    """Return whether a validation of a file stops its run for human review."""
    fields = (field for document in entry["documents"] for field in document["fields"])
    return any(alert["blocked"] for field in fields for alert in field["validations"]["alerts"])


def _document(
    source: Document | None, found: ExtractedDocument, pdf_path: str | None, *, agent: bool
) -> dict[str, Any]:
    pages = [page for page in source.pages if not found.pages or page.number in found.pages] if source else []
    scans = [page.ocr for page in pages if page.ocr is not None]
    entry: dict[str, Any] = {
        "fields": [_field(source, field, found.pages, agent=agent) for field in found.fields],
        "class_name": found.class_name,
        "page_numbers": [page.number for page in pages],
        "review_completed": False,
        "class_edit_history": [],
        "classification_confidence": {"model": found.confidence, "ocr": min(scans, default=None)},
        "validations": {"final_result_pass": not any(field.alerts or field.error for field in found.fields)},
        "page_layouts": [
            {"page_number": page.number - 1, "width": page.width, "height": page.height} for page in pages
        ],
        "post_processed_paths": [],
    }
    if pdf_path is not None:
        entry["post_processed_pdf_path"] = pdf_path
    return entry


def _field(source: Document | None, field: Field, pages: Sequence[int], *, agent: bool) -> dict[str, Any]:
    value, kind = ("ERROR", field.type or "TEXT") if field.error else value_and_type(field)
    # In a table the first place of a value is seldom the one that is meant, and there are many values to look up.
    searched = source if source and not source.rows and not field.error else None
    boxes = [field.box] if field.box else searched.find_all(value, pages) if searched else []
    page = next((each for each in source.pages if boxes and each.number == boxes[0].page), None) if source else None
    ocr = field.ocr if field.ocr is not None else page.ocr if page else None
    model = field.confidence
    if agent and not boxes and not field.error:
        model, ocr = None, 1.0
    entry: dict[str, Any] = {
        "field_name": field_name(field.name),
        "value": value,
        "type": kind,
        "confidence": {"model": model, "ocr": ocr},
        "source_coordinates": [
            {
                "top_x": box.left,
                "top_y": box.top,
                "bottom_x": box.right,
                "bottom_y": box.bottom,
                "page_number": box.page - 1,
            }
            for box in boxes
        ],
        "edit_history": [],
        "validations": {
            "valid": not field.alerts and not field.error,
            "alerts": [_alert(message, blocked=field.blocking) for message in field.alerts],
        },
    }
    if field.error:
        entry["error_msg"] = field.error
    return entry


def value_and_type(field: Field) -> tuple[str, str]:
    """Return a value as the text that the API sends, and its type.

    Example:
        >>> value_and_type(Field("lines", [{"item": "Pen", "price": 1.5}]))
        ('[{"item":"Pen","price":1.5}]', 'TABLE')
    """
    value = field.value
    if value is None:
        return "", field.type or "TEXT"
    if isinstance(value, str):
        return value, field.type or "TEXT"
    # Types of the standard library (dates, decimals, enums) are those that msgspec writes.
    text = msgspec.json.encode(value).decode()
    if isinstance(msgspec.json.decode(text), str):
        return msgspec.json.decode(text, type=str), field.type or "TEXT"
    return text, field.type or _type(value)


def _type(value: Any) -> str:
    if isinstance(value, bool):
        return "BOOLEAN"
    if isinstance(value, int | float):
        return "NUMBER"
    if isinstance(value, Mapping):
        return "OBJECT"
    rows = list(value) if isinstance(value, list | tuple) else []
    return "TABLE" if rows and all(isinstance(row, Mapping) for row in rows) else "LIST"


def _alert(message: str, *, blocked: bool) -> dict[str, Any]:
    return {"alert_level": "FAILURE", "msg": message, "blocked": blocked, "type": "custom", "locations": []}


@attrs.frozen
class Include:
    """The four include flags of a results request."""

    review: bool = False
    confidence: bool = False
    validation: bool = False
    source: bool = False

    def filter(self, entry: dict[str, Any]) -> dict[str, Any]:
        """Remove what was not requested from the stored entry of a file, in place."""
        hidden = self._hidden()
        for document in entry["documents"]:
            for key in hidden[0]:
                document.pop(key, None)
            for field in document["fields"]:
                for key in hidden[1]:
                    field.pop(key, None)
        return entry

    def filter_packet(self, field: dict[str, Any]) -> dict[str, Any]:
        """Remove what was not requested from a stored cross-class field, in place."""
        if not self.review:
            field.pop("edit_history", None)
        if not self.validation:
            field.pop("validations", None)
        return field

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
