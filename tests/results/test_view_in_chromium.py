"""The page as people see it: in headless Chromium at three widths, with the boxes on the words."""

import asyncio
import importlib.util
import math
import sys
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from aihub_async import AsyncAIHub, Processed
from aihub_async.emulator import Emulator
from aihub_async.emulator.samples import pdf_bytes
from aihub_async.models import (
    CaseField,
    CaseInfo,
    Confidence,
    Document,
    Field,
    FieldValidations,
    PageLayout,
    ResultFile,
    Run,
    SourceCoordinates,
    ValidationAlert,
)

_spec = importlib.util.spec_from_file_location("browser_of_tests", Path(__file__).with_name("browser.py"))
assert _spec is not None
assert _spec.loader is not None
_browser = importlib.util.module_from_spec(_spec)
sys.modules[_spec.name] = _browser
_spec.loader.exec_module(_browser)

pdfium = pytest.importorskip("pypdfium2")
image = pytest.importorskip("PIL.Image")
CHROMIUM = _browser.find_chromium()
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium (apt-get install chromium)")

LINES = [
    ["Northwind Traders", "INVOICE", "Invoice Number: NW-2041", "Tax: $94.40", "Total: $1,274.40"],
    ["Terms and conditions", "IBAN: DE02 1203 0000 0000 2020 51"],
]
SIZES = {"wide": (1400, 1000), "tablet": (820, 1100), "phone": (390, 844)}


def glyph_box(content: bytes, text: str, page: int) -> SourceCoordinates:
    """The box around the glyphs of a text, as the service sends it: from the top, pages from 0."""
    with pdfium.PdfDocument(content) as document:
        sheet = document[page]
        layer = sheet.get_textpage()
        start, count = layer.search(text).get_next()
        boxes = [layer.get_charbox(index) for index in range(start, start + count)]
        height = sheet.get_height()
        left, bottom, right, top = zip(*boxes, strict=True)
        layer.close()
        sheet.close()
    return SourceCoordinates(
        top_x=min(left), top_y=height - max(top), bottom_x=max(right), bottom_y=height - min(bottom), page_number=page
    )


def results(content: bytes, scale: float = 1.0) -> Processed:
    """A packet with an invoice of two pages; `scale` is the layout's unit in points."""

    def field(name: str, value: str, page: int, confidence: float, **more: Any) -> Field:
        box = glyph_box(content, value, page)
        corners = {name: getattr(box, name) * scale for name in ("top_x", "top_y", "bottom_x", "bottom_y")}
        where = SourceCoordinates(page_number=page, **corners)
        return Field(
            field_name=name,
            value=value,
            confidence=Confidence(model=confidence, ocr=1.0),
            source_coordinates=[where],
            **more,
        )

    invalid = FieldValidations(valid=False, alerts=[ValidationAlert(msg="Tax is wrong.")])
    document = Document(
        class_name="invoice",
        page_numbers=[1, 2],
        page_layouts=[PageLayout(number, 612 * scale, 792 * scale) for number in range(2)],
        fields=[
            field("Number", "NW-2041", 0, 0.99),
            field("Tax", "$94.40", 0, 0.95, validations=invalid),
            field("Total", "$1,274.40", 0, 0.6),
            field("IBAN", "DE02 1203 0000 0000 2020 51", 1, 0.9),
            Field(field_name="Date", value="ERROR", error_msg="No date."),
        ],
    )
    receipt = Document(class_name="receipt", page_numbers=[1], fields=[Field(field_name="Sum", value="9 <b>EUR</b>")])
    files = [
        ResultFile(original_file_name="invoice.pdf", documents=[document]),
        ResultFile(original_file_name="</script><script>alert(1)</script>.txt", documents=[receipt]),
    ]
    case = CaseInfo(fields=[CaseField(name="Payer", value="Blue Heron Books")])
    return Processed(Run(id="34c89c43-51a6-464f-8b33-5ba0d8290be4", status="COMPLETE"), 7, files, None, case)


@pytest.fixture(params=[1.0, 2.5], ids=["points", "pixels"])
def page(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    content = pdf_bytes(LINES)
    source = {"invoice.pdf": content, "</script><script>alert(1)</script>.txt": b"<script>alert(2)</script>"}
    return results(content, request.param).view(tmp_path / "page.html", source=source)


@pytest_asyncio.fixture
async def browser() -> AsyncIterator[Any]:
    async with _browser.Browser(CHROMIUM) as running:
        yield running


async def loaded(browser: Any, page: Path, size: str, *, dark: bool = False) -> None:
    await browser.open(page, *SIZES[size], dark=dark)
    # Scrolling to each picture loads it.
    await browser.evaluate(
        "(async () => { for (const image of document.querySelectorAll('.sheet img')) {"
        " image.scrollIntoView(); while (!image.src || !image.complete)"
        " await new Promise((done) => setTimeout(done, 10)); await image.decode(); } scrollTo(0, 0); })()"
    )


async def rect_of(browser: Any, selector: str) -> dict[str, float]:
    found: dict[str, float] = await browser.evaluate(
        f"(() => {{ const e = document.querySelector({selector!r}); e.scrollIntoView({{block: 'center'}});"
        " const {left, top, right, bottom} = e.getBoundingClientRect(); return {left, top, right, bottom}; })()"
    )
    return found


def ink(picture: Any, left: float, top: float, right: float, bottom: float) -> int:
    """Count the pixels of an area that are as dark as letters."""
    area = (math.floor(left), math.floor(top), math.ceil(right), math.floor(bottom))
    return sum(picture.crop(area).histogram()[:120]) if area[1] < area[3] else 0


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
async def test_boxes_cover_the_words_at_every_width(
    browser: Any, page: Path, tmp_path: Path, size: str, dark: bool
) -> None:
    await loaded(browser, page, size, dark=dark)
    await check_boxes(browser, ("d1f0", "d1f1", "d1f2", "d1f3"), tmp_path)
    assert await browser.evaluate("document.documentElement.scrollWidth <= innerWidth")


async def check_boxes(browser: Any, keys: Sequence[str], tmp_path: Path) -> None:
    """Check that letters fill the boxes of the fields, and that there are none around them."""
    # Without frames only letters are dark.
    await browser.evaluate("document.querySelectorAll('.sheet svg').forEach((svg) => svg.style.opacity = 0)")
    for key in keys:
        box = await rect_of(browser, f'rect[data-f="{key}"]')
        left, top, right, bottom = (box[side] for side in ("left", "top", "right", "bottom"))
        with image.open(await browser.screenshot(tmp_path / f"{key}.png")) as shot:
            picture = shot.convert("L")
        assert ink(picture, left, top, right, bottom + 1) > 20, (key, box)
        # Close above, below and behind is no ink of the word: the box is neither beside it nor too small.
        height = bottom - top
        assert ink(picture, left, top - height * 0.2, right, top) == 0, (key, box)
        assert ink(picture, left, bottom + 1, right, bottom + 1 + height * 0.2) == 0, (key, box)
        assert ink(picture, right + 1, top, right + 3 * height, bottom) == 0, (key, box)


async def test_boxes_of_a_real_run_are_on_the_words(browser: Any, hub: Emulator, tmp_path: Path) -> None:
    (tmp_path / "invoice.pdf").write_bytes(pdf_bytes([["Terms"], ["Number: NW-2041", "Total: $1,274.40"]]))
    async with AsyncAIHub(hub.api_key, api_root=hub.api_root) as client:
        processed = await client.process(tmp_path / "invoice.pdf", app_name="key-values", include_source_info=True)
    (document,) = processed.files[0].documents
    # The page counts from 0 in coordinates and from 1 in the document.
    assert document["Total"].source_coordinates[0].page_number == 1
    assert document.page_numbers == [1, 2]
    names = [field.field_name for field in document.fields]
    await loaded(browser, processed.view(tmp_path / "page.html"), "wide")
    await check_boxes(browser, [f"d0f{names.index(name)}" for name in ("Number", "Total")], tmp_path)


async def test_nothing_runs_and_nothing_is_requested(browser: Any, page: Path) -> None:
    await loaded(browser, page, "wide")
    assert browser.errors == []
    assert [url for url in browser.requests if not url.startswith("data:")] == [page.absolute().as_uri()]
    assert await browser.evaluate("document.documentElement.dataset.ready === ''")
    assert await browser.evaluate("document.scripts.length") == 1
    # What a hole in the escaping would bring in is refused by the policy.
    await browser.evaluate(
        "(() => { const script = document.createElement('script'); script.textContent = 'window.ran = 1';"
        " document.body.append(script); const image = document.createElement('img');"
        " image.setAttribute('onerror', 'window.ran = 1'); image.src = 'data:,'; document.body.append(image); })()"
    )
    await asyncio.sleep(0.1)
    assert await browser.evaluate("window.ran === undefined")


async def test_hovering_a_field_shows_its_box_and_the_other_way_round(browser: Any, page: Path) -> None:
    await loaded(browser, page, "wide")
    box = await rect_of(browser, 'rect[data-f="d1f1"]')
    await browser.mouse((box["left"] + box["right"]) / 2, (box["top"] + box["bottom"]) / 2)
    assert await browser.evaluate("document.querySelector('.field.on').id") == "d1f1"
    field = await rect_of(browser, "#d1f2")
    await browser.mouse(field["left"] + 20, field["top"] + 10)
    assert await browser.evaluate("document.querySelector('rect.on').dataset.f") == "d1f2"
    await browser.mouse(2, 2)
    assert await browser.evaluate("document.querySelector('.on')") is None


async def test_keys_walk_through_the_problems(browser: Any, page: Path) -> None:
    await loaded(browser, page, "wide")
    visited = []
    for key in "nnp":
        await browser.key(key)
        visited.append(await browser.evaluate("document.querySelector('.field.on').id"))
    assert visited == ["d1f1", "d1f4", "d1f1"]
    await browser.key("t")
    assert await browser.evaluate("document.documentElement.dataset.theme") == "dark"
    await browser.key("Escape")
    await browser.key("/")
    assert await browser.evaluate("document.activeElement.id") == "search"
    await browser.key("n")
    assert await browser.evaluate("document.getElementById('search').value") == "n"


SHOWN = "[...document.querySelectorAll('.field')].filter((f) => f.checkVisibility()).map((f) => f.id).join(' ')"


async def test_filters_by_class_confidence_problems_and_text(browser: Any, page: Path) -> None:
    await browser.open(page, *SIZES["wide"])

    async def shown(change: str) -> str:
        await browser.evaluate(change)
        found: str = await browser.evaluate(SHOWN)
        return found

    put = (
        "(() => {{ const e = document.getElementById('{}'); e.value = '{}'; e.dispatchEvent(new Event('input')); }})()"
    )
    assert await shown("0") == "d0f0 d1f0 d1f1 d1f2 d1f3 d1f4 d2f0"
    assert await shown(put.format("class", "receipt")) == "d2f0"
    assert await shown(put.format("class", "invoice")) == "d1f0 d1f1 d1f2 d1f3 d1f4"
    # A field without a confidence is not certain: it stays.
    assert await shown(put.format("limit", "92")) == "d1f2 d1f3 d1f4"
    assert await shown(put.format("limit", "100") + ";document.getElementById('problems').click()") == "d1f1 d1f4"
    assert await shown("document.getElementById('problems').click()") == "d1f0 d1f1 d1f2 d1f3 d1f4"
    assert await shown(put.format("search", "94.40")) == "d1f1"
    assert await shown(put.format("search", "nothing at all")) == ""
    assert await browser.evaluate("document.getElementById('none').checkVisibility()")


async def test_it_can_be_printed(browser: Any, page: Path) -> None:
    await browser.open(page, *SIZES["wide"], dark=True)
    with pdfium.PdfDocument(await browser.pdf()) as document:
        assert len(document) >= 3
        text = "".join(sheet.get_textpage().get_text_range() for sheet in document)
        corner = document[0].render(scale=0.2).to_pil().convert("L").getpixel((3, 3))
    assert "Tax is wrong." in text
    assert "Search" not in text
    # Paper is white, even if the screen is dark.
    assert corner == 255


async def test_a_hundred_pages_stay_usable(browser: Any, tmp_path: Path) -> None:
    lines = [[f"Page {number}", f"Total: {number}.00"] for number in range(1, 101)]
    content = pdf_bytes(lines)
    fields = [
        Field(
            field_name="Total",
            value=f"{number}.00",
            source_coordinates=[glyph_box(content, f"{number}.00", number - 1)],
        )
        for number in range(1, 101)
    ]
    document = Document(page_numbers=list(range(1, 101)), fields=fields)
    found = Processed(Run(id="r"), 7, [ResultFile(original_file_name="a.pdf", documents=[document])])
    page = found.view(tmp_path / "page.html", source={"a.pdf": content})
    assert page.stat().st_size < 10_000_000
    await browser.open(page, *SIZES["wide"])
    # Only pictures near the screen are loaded.
    assert await browser.evaluate("document.querySelectorAll('.sheet img[src]').length") < 10
    assert await browser.evaluate("document.querySelectorAll('.sheet img').length") == 100
    await browser.evaluate("document.getElementById('d0f99').focus(); document.getElementById('d0f99').click()")
    box = await browser.evaluate("document.querySelector('rect[data-f=\"d0f99\"]').getBoundingClientRect().top")
    assert 0 <= box <= SIZES["wide"][1]
