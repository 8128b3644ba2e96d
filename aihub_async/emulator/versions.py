"""The API as it was at the time of the seeds (specification of January 2025), beside the current one.

In 2024 lists of batches paged by `file_offset`, lists of runs were filtered by `output_repo`, results had `doc_id` and
`classification_confidence.ocr`, and lacked what came later.
"""

from typing import Any, Literal

ApiVersion = Literal["current", "2024"]
"""Which API the emulator speaks."""

_LATER_RUN_KEYS = ("batch_id", "input_dir", "app_id", "deployment_id", "tags")
_LATER_DOCUMENT_KEYS = ("page_numbers", "page_layouts", "post_processed_pdf_path")


def run_as_of(version: ApiVersion, run: dict[str, Any]) -> dict[str, Any]:
    """Remove from a run what a version did not send yet, in place."""
    if version == "2024":
        for key in _LATER_RUN_KEYS:
            run.pop(key, None)
    return run


def results_as_of(version: ApiVersion, page: dict[str, Any], first: int) -> dict[str, Any]:
    """Return a page of results as a version sends it; `first` is the index of its first file."""
    if version == "current":
        for entry in page["files"]:
            for document in entry["documents"]:
                document.get("classification_confidence", {}).pop("ocr", None)
        return page
    for index, entry in enumerate(page["files"], first):
        entry.pop("input_file_path")
        for number, document in enumerate(entry["documents"]):
            _document_of_2024(document)
            # Unique within the run and the same on each request.
            document["doc_id"] = index * 1000 + number
    return {key: page[key] for key in ("files", "batch_id", "review_completed", "has_more") if key in page}


def _document_of_2024(document: dict[str, Any]) -> None:
    for key in _LATER_DOCUMENT_KEYS:
        document.pop(key, None)
    document.get("classification_confidence", {}).pop("model", None)
    for field in document["fields"]:
        field.get("confidence", {}).pop("ocr", None)
        for alert in field.get("validations", {}).get("alerts", ()):
            alert["locations"] = {}
