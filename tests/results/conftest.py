from collections.abc import Callable

import pytest

from aihub_async.models import (
    ClassificationConfidence,
    Confidence,
    Document,
    DocumentValidations,
    EditHistoryEvent,
    Field,
    FieldValidations,
    Modification,
    ResultFile,
    SourceCoordinates,
    ValidationAlert,
)


def make_invoice(name: str = "a.pdf") -> ResultFile:
    """A file with one document that has a value, a list, a repeated name and a failed field, with all details."""
    return ResultFile(
        original_file_name=name,
        documents=[
            Document(
                class_name="invoice",
                page_numbers=[1, 2],
                review_completed=True,
                classification_confidence=ClassificationConfidence(model=0.75),
                validations=DocumentValidations(final_result_pass=False),
                fields=[
                    Field(
                        field_name="total",
                        value="12.50",
                        type="TEXT",
                        confidence=Confidence(model=0.5, ocr=0.25),
                        source_coordinates=[
                            SourceCoordinates(top_x=10, top_y=20, bottom_x=40, bottom_y=32, page_number=1)
                        ],
                        validations=FieldValidations(valid=False, alerts=[ValidationAlert(msg="too small")]),
                        edit_history=[
                            EditHistoryEvent(
                                timestamp="2026-01-05",
                                user_id="ana",
                                modifications=[Modification("Value corrected."), Modification(None)],
                            )
                        ],
                    ),
                    Field(field_name="lines", value=[{"sku": 1}]),
                    Field(field_name="total", value="second"),
                    Field(field_name="date", value="ERROR", error_msg="no date on the page"),
                ],
            ),
        ],
    )


@pytest.fixture
def invoice() -> Callable[..., ResultFile]:
    """Makes a file of results: `invoice("b.pdf")`."""
    return make_invoice
