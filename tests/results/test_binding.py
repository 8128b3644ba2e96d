import dataclasses
import datetime as dt
import decimal
import enum
import pickle
from typing import Annotated, Any, Literal, TypedDict

import attrs
import msgspec
import pydantic
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aihub_async.errors import BindingError, ConfigurationError
from aihub_async.models import Confidence, Document, Field, ResultFile
from aihub_async.results.binding import Record, bind
from aihub_async.results.convert import ConversionError, Rules, convert


class Currency(enum.Enum):
    EURO = "EUR"
    DOLLAR = "USD"


@attrs.frozen
class AttrsLine:
    sku: str
    price: decimal.Decimal = decimal.Decimal(0)


@attrs.frozen
class AttrsInvoice:
    total: decimal.Decimal
    invoice_number: str
    date: dt.date | None = None
    currency: Currency = Currency.EURO
    lines: list[AttrsLine] = attrs.field(factory=list)
    kind: Literal["invoice", "credit"] = "invoice"
    vendor: str = attrs.field(default="?", metadata={"alias": "Seller"})


@dataclasses.dataclass
class DataLine:
    sku: str
    price: decimal.Decimal = decimal.Decimal(0)


@dataclasses.dataclass
class DataInvoice:
    total: decimal.Decimal
    invoice_number: str
    date: dt.date | None = None
    currency: Currency = Currency.EURO
    lines: list[DataLine] = dataclasses.field(default_factory=list)
    kind: Literal["invoice", "credit"] = "invoice"
    vendor: str = dataclasses.field(default="?", metadata={"alias": "Seller"})


class StructLine(msgspec.Struct):
    sku: str
    price: decimal.Decimal = decimal.Decimal(0)


class StructInvoice(msgspec.Struct):
    total: decimal.Decimal
    invoice_number: str
    date: dt.date | None = None
    currency: Currency = Currency.EURO
    lines: list[StructLine] = []
    kind: Literal["invoice", "credit"] = "invoice"
    vendor: str = msgspec.field(default="?", name="Seller")


class PydanticLine(pydantic.BaseModel):
    sku: str
    price: decimal.Decimal = decimal.Decimal(0)


class PydanticInvoice(pydantic.BaseModel):
    total: decimal.Decimal
    invoice_number: str
    date: dt.date | None = None
    currency: Currency = Currency.EURO
    lines: list[PydanticLine] = []
    kind: Literal["invoice", "credit"] = "invoice"
    vendor: str = pydantic.Field(default="?", alias="Seller")


class DictLine(TypedDict, total=False):
    sku: str
    price: decimal.Decimal


class DictInvoice(TypedDict, total=False):
    total: decimal.Decimal
    invoice_number: str
    date: dt.date | None
    currency: Currency
    lines: list[DictLine]
    kind: Literal["invoice", "credit"]
    vendor: str


CLASSES = [AttrsInvoice, DataInvoice, StructInvoice, PydanticInvoice, DictInvoice]


def file(**values: Any) -> ResultFile:
    fields = [
        value
        if isinstance(value, Field)
        else Field(field_name=name, value=value, confidence=Confidence(model=0.5, ocr=None))
        for name, value in values.items()
    ]
    return ResultFile(original_file_name="a.pdf", documents=[Document(class_name="invoice", fields=fields)])


def one(cls: Any, found: ResultFile, rules: Rules | None = None, **options: Any) -> Record[Any]:
    settings: dict[str, Any] = {"aliases": {}, "class_name": None, "strict": False} | options
    (record,) = bind([found], cls, rules or Rules(), **settings)
    return record


def get(value: Any, name: str) -> Any:
    return value[name] if isinstance(value, dict) else getattr(value, name)


@pytest.mark.parametrize("cls", CLASSES)
def test_every_kind_of_class(cls: type) -> None:
    found = file(
        total="1.234,50",
        Invoice__number="R-7",
        date="31.12.2025",
        currency="USD",
        lines='[{"sku": "a", "price": "1,5"}, {"sku": "b"}]',
        kind="credit",
        Seller="Acme",
    )
    aliases = {"vendor": "Seller"} if cls is DictInvoice else {}
    record = one(cls, found, Rules(decimal=",", thousands=".", date_format="%d.%m.%Y"), aliases=aliases)
    assert record.problems == ()
    value = record.value
    assert get(value, "total") == decimal.Decimal("1234.50")
    assert get(value, "invoice_number") == "R-7"
    assert get(value, "date") == dt.date(2025, 12, 31)
    assert get(value, "currency") is Currency.DOLLAR
    assert [get(line, "sku") for line in get(value, "lines")] == ["a", "b"]
    assert get(get(value, "lines")[0], "price") == decimal.Decimal("1.5")
    assert (get(value, "kind"), get(value, "vendor")) == ("credit", "Acme")
    assert record["total"].confidence == Confidence(model=0.5, ocr=None)
    assert record["invoice_number"] is record["Invoice__number"]
    assert "total" in record
    assert "nothing" not in record


@pytest.mark.parametrize("cls", CLASSES)
def test_problems_are_listed_with_their_path_and_defaults_stay(cls: type) -> None:
    found = file(
        total="12.50",
        invoice_number="R-7",
        date="31/12/2025",
        currency="GBP",
        lines=[{"sku": "a", "price": "x"}],
        kind="bill",
        vendor=Field(field_name="Seller", value="ERROR", error_msg="unreadable"),
    )
    record = one(cls, found, aliases={"vendor": "Seller"})
    assert [problem.path for problem in record.problems] == ["date", "currency", "lines[0].price", "kind", "vendor"]
    assert "ISO 8601" in record.problems[0].message
    assert str(record.problems[1]) == "currency: 'GBP' is none of 'EUR', 'USD'"
    assert record.problems[-1].message == "the extraction failed: unreadable"
    assert get(record.value, "total") == decimal.Decimal("12.50")
    if cls is not DictInvoice:
        assert (get(record.value, "date"), get(record.value, "currency")) == (None, Currency.EURO)


@pytest.mark.parametrize("cls", CLASSES[:-1])
def test_without_a_required_value_there_is_no_object(cls: type) -> None:
    record = one(cls, file(total=""))
    assert record.value is None
    assert [str(problem) for problem in record.problems] == [
        "total: no value",
        "invoice_number: the document has no such field",
    ]


def test_strict_raises_one_error_that_lists_all() -> None:
    with pytest.raises(BindingError, match="2 problems") as caught:
        one(AttrsInvoice, file(), strict=True)
    assert caught.value.problems == [
        "a.pdf, document 0: total: the document has no such field",
        "a.pdf, document 0: invoice_number: the document has no such field",
    ]
    assert pickle.loads(pickle.dumps(caught.value)).problems == caught.value.problems


def test_a_class_for_each_class_of_document() -> None:
    @attrs.frozen
    class Receipt:
        amount: int

    receipt = ResultFile(documents=[Document(class_name="receipt", fields=[Field(field_name="amount", value="3")])])
    files = [file(total="1", invoice_number="x"), receipt, ResultFile(documents=[Document()]), ResultFile()]
    classes: dict[str, type[Any]] = {"invoice": AttrsInvoice, "receipt": Receipt}
    records = bind(files, classes, Rules(), aliases={}, class_name=None, strict=False)
    assert [type(record.value).__name__ for record in records] == ["AttrsInvoice", "Receipt", "NoneType"]
    assert "no class for documents of class None" in str(records[2].problems[0])
    only = bind(files, Receipt, Rules(), aliases={}, class_name="receipt", strict=True)
    assert [record.value for record in only] == [Receipt(3)]


def test_converters_by_type_and_by_field() -> None:
    @attrs.frozen
    class Money:
        total: decimal.Decimal
        tax: decimal.Decimal
        note: Any = None

    rules = Rules(
        converters={
            decimal.Decimal: lambda text: decimal.Decimal(text.removeprefix("EUR ")),
            "tax": lambda text: decimal.Decimal(text.rstrip("%")) / 100,
        }
    )
    assert one(Money, file(total="EUR 5", tax="19%", note=[1]), rules).value == Money(
        decimal.Decimal(5), decimal.Decimal("0.19"), [1]
    )
    (problem,) = one(Money, file(total="five", tax="1%"), rules).problems
    assert (problem.path, "'five'" in problem.message) == ("total", True)


def test_names_that_could_mean_several_fields_are_a_problem() -> None:
    @attrs.frozen
    class Odd:
        net_total: str

    record = one(Odd, file(Net_total="1", net__total="2"))
    assert record.value is None
    assert "net_total could be Net_total or net__total" in str(record.problems[0])
    assert one(Odd, file(Net_total="1", net__total="2"), aliases={"net_total": "net__total"}).value == Odd("2")


def test_checks_of_the_class_are_problems_too() -> None:
    @attrs.frozen
    class Checked:
        total: int = attrs.field(validator=attrs.validators.gt(0))

    class Model(pydantic.BaseModel):
        total: Annotated[int, pydantic.Field(gt=0)]
        mail: pydantic.SecretStr = pydantic.SecretStr("")

    assert "total" in str(one(Checked, file(total="0")).problems[0])
    (problem,) = one(Model, file(total="0", mail="x")).problems
    assert (problem.path, "greater than 0" in problem.message) == ("total", True)


def test_something_that_is_no_class_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="int is not an attrs class, dataclass, msgspec Struct"):
        one(int, file())


@pytest.mark.parametrize(
    ("value", "wanted", "expected"),
    [
        ("12", int, 12),
        ("-12.0", int, -12),
        (3, str, "3"),
        ("0.1", float, 0.1),
        (2, float, 2.0),
        ("TRUE", bool, True),
        (False, bool, False),
        ("2025-12-31T10:00:00", dt.datetime, dt.datetime.fromisoformat("2025-12-31T10:00:00")),
        ("10:30:00", dt.time, dt.time(10, 30)),
        ("[1, 2]", list[int], [1, 2]),
        (["1", "x"], tuple[int, str], (1, "x")),
        ({"a": "1"}, dict[str, int], {"a": 1}),
        ("7", int | None, 7),
        ("x", int | str, "x"),
        ("1", Annotated[int, "meta"], 1),
    ],
)
def test_conversions(value: Any, wanted: Any, expected: Any) -> None:
    assert convert(value, wanted, Rules()) == expected


@pytest.mark.parametrize(
    ("value", "wanted", "message"),
    [
        ("1,234.50", float, "not a number with decimal mark '.'"),
        ("$5", decimal.Decimal, "not a number"),
        ("12.5", int, "not a whole number"),
        ("nan", float, "not a number"),
        ("١٢", int, "not a number"),
        (True, int, "not a number"),
        ("1", bool, "neither true nor false"),
        ("yes", bool, "neither true nor false"),
        ({"a": 1}, str, "not a text"),
        ("03/04/2025", dt.date, "date_format"),
        ("a, b", list[str], "not a list"),
        (["1"], tuple[int, str], "1 items, not 2"),
        (True, Literal[1], "none of 1"),
    ],
)
def test_nothing_is_guessed(value: Any, wanted: Any, message: str) -> None:
    with pytest.raises(ConversionError, match=message.replace("(", r"\(")):
        convert(value, wanted, Rules())


def test_thousands_must_separate_groups_of_three() -> None:
    rules = Rules(decimal=",", thousands=".")
    assert convert("1.234.567,5", float, rules) == 1234567.5
    for text in ("12.34", "1.2345", ".123"):
        with pytest.raises(ConversionError, match="groups of three"):
            convert(text, float, rules)


@given(st.decimals(allow_nan=False, allow_infinity=False, places=2))
def test_numbers_come_back_from_their_text(number: decimal.Decimal) -> None:
    text = f"{number:,.2f}".translate(str.maketrans(",.", ".,"))
    assert convert(text, decimal.Decimal, Rules(decimal=",", thousands=".")) == number


_ANY = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=4,
)


@given(st.dictionaries(st.sampled_from(["total", "lines", "date", "kind", "currency"]), _ANY))
def test_no_value_makes_a_record_fail(values: dict[str, Any]) -> None:
    for cls in CLASSES:
        record = one(cls, file(**values))
        assert record.value is None or record.file == "a.pdf"
