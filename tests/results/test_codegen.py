import sys
import types
from typing import Any

import pytest

from aihub_async.errors import ConfigurationError
from aihub_async.models import Document, Field, ResultFile
from aihub_async.results.binding import bind
from aihub_async.results.codegen import STYLES, schema
from aihub_async.results.convert import Rules


def document(class_name: str | None, **values: Any) -> Document:
    return Document(
        class_name=class_name, fields=[Field(field_name=name, value=value) for name, value in values.items()]
    )


FILES = [
    ResultFile(
        documents=[
            document("Purchase order", Total__amount="12", n=1, items=[{"sku": 1}], info={"a": 1}, **{"class": "x"}),
            document("Purchase order", Total__amount="", n=0.5, items=[], info={}, _3rd="c", Total="1", total="2"),
            document("receipt", amount="3", copy="y", model_x="z"),
            document(None, mixed=1),
            document(None, mixed=[1]),
        ]
    )
]


def load(code: str, monkeypatch: pytest.MonkeyPatch) -> types.ModuleType:
    module = types.ModuleType("generated_by_schema")
    monkeypatch.setitem(sys.modules, module.__name__, module)
    exec(compile(code, "generated", "exec"), module.__dict__)
    return module


@pytest.mark.parametrize("style", STYLES)
def test_the_class_fits_the_results_it_was_made_from(style: str, monkeypatch: pytest.MonkeyPatch) -> None:
    module = load(schema(FILES, style), monkeypatch)
    classes = {"Purchase order": module.PurchaseOrder, "receipt": module.Receipt, "": module.Document}
    records: list[Any] = bind(FILES, classes, Rules(), aliases={}, class_name=None, strict=True)
    order, second, receipt, first_mixed, _ = (record.value for record in records)
    assert (order.total_amount, order.n, order.items, order.info, order.class_) == (
        "12",
        1.0,
        [{"sku": 1}],
        {"a": 1},
        "x",
    )
    assert (second.total_amount, second.field_3rd, second.total, second.total_2) == (None, "c", "1", "2")
    assert (receipt.amount, receipt.copy_, receipt.model_x_) == ("3", "y", "z")
    assert first_mixed.mixed == 1


def test_the_code_of_a_plain_run() -> None:
    files = [ResultFile(documents=[document("invoice", Total="1", Date=""), document("invoice", Total="2")])]
    assert schema(files) == (
        "import attrs\n\n\n@attrs.frozen(kw_only=True)\nclass Invoice:\n"
        '    """Fields of documents of class invoice."""\n\n    total: str\n    date: str | None = None\n'
    )


@pytest.mark.parametrize("name", ['"""\nimport os', "\\", "x\ny", "class", "1st", "é", ""])
def test_names_of_the_server_cannot_become_code(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    files = [ResultFile(documents=[document(name, **{name or "a": "1"})])]
    for style in STYLES:
        module = load(schema(files, style), monkeypatch)
        assert "os" not in vars(module)


def test_what_makes_no_class_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="'attrs', 'dataclass'"):
        schema(FILES, "zod")
    with pytest.raises(ConfigurationError, match="no document"):
        schema([])
