"""The page: what is in it, from which files, and that nothing in it can run; the looks are in test_view_in_chromium."""

import html.parser
import os
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aihub_async import Gate, Processed
from aihub_async.emulator.samples import pdf_bytes
from aihub_async.errors import ConfigurationError
from aihub_async.models import CaseField, CaseInfo, Confidence, Document, Field, ResultFile, Run, SourceCoordinates
from aihub_async.results.view.page import ViewSize
from aihub_async.results.view.pictures import MAX_TEXT
from aihub_async.results.view.sources import FileFinder

RUN = Run(id="run-1", status="COMPLETE")


class Reader(html.parser.HTMLParser):
    """Tags with their attributes, and the text."""

    def __init__(self, markup: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(markup)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


def field(name: str, value: Any, **more: Any) -> Field:
    return Field(field_name=name, value=value, confidence=Confidence(model=0.9, ocr=1.0), **more)


def processed(*files: ResultFile, case_info: CaseInfo | None = None) -> Processed:
    return Processed(RUN, 7, list(files), None, case_info)


def file(name: str, *fields: Field, **document: Any) -> ResultFile:
    return ResultFile(original_file_name=name, documents=[Document(fields=list(fields), **document)])


def page(tmp_path: Path, found: Processed, **options: Any) -> Reader:
    return Reader(found.view(tmp_path / "out.html", **options).read_text())


def test_pages_of_a_pdf_are_pictures_with_boxes_on_their_page(tmp_path: Path) -> None:
    pytest.importorskip("pypdfium2")
    # `page_number` of coordinates counts from 0, `page_numbers` from 1.
    box = SourceCoordinates(top_x=10, top_y=20, bottom_x=40, bottom_y=32, page_number=1)
    found = processed(file("a.pdf", field("total", "12", source_coordinates=[box]), page_numbers=[1, 2]))
    reader = page(tmp_path, found, source={"a.pdf": pdf_bytes([["one"], ["two"], ["three"]])})
    images = reader.all("img")
    assert [image["alt"] for image in images] == ["page 1", "page 2"]
    assert all((image["data-src"] or "").startswith("data:image/") for image in images)
    frames = [index for index, (tag, _) in enumerate(reader.tags) if tag == "img"]
    (rect,) = (index for index, (tag, attributes) in enumerate(reader.tags) if tag == "rect" and "data-f" in attributes)
    assert rect > frames[1]
    assert reader.tags[rect][1]["data-f"] == "d0f0"
    # A little larger than the value, which is 30 wide.
    assert (reader.tags[rect][1]["x"], reader.tags[rect][1]["width"]) == ("9.0208", "31.9584")
    assert any(attributes.get("viewbox") == "0 0 612 792" for attributes in reader.all("svg"))


def test_text_is_text_and_what_cannot_be_shown_says_why(tmp_path: Path) -> None:
    pytest.importorskip("pypdfium2")
    files = [file(name, field("a", "1")) for name in ("a.txt", "b.docx", "c.pdf", "d.png", "e.txt", "gone.pdf", "odd")]
    sources = {
        "a.txt": b"Total: <b>12</b>",
        "b.docx": b"PK",
        "c.pdf": b"%PDF-1.4 damaged",
        "d.png": b"no picture",
        "e.txt": b"x" * (MAX_TEXT + 5),
        "odd": b"?",
    }
    text = page(tmp_path, processed(*files), source=sources).text
    assert "Total: <b>12</b>" in text
    for reason in (
        "Files of the type .docx are not shown.",
        "The PDF cannot be opened",
        "The picture cannot be opened",
        "[5 more characters]",
        "The original file was not found",
        "The type is unknown.",
        "no coordinates",
    ):
        assert reason in text


def test_pictures_have_a_page_per_frame(tmp_path: Path) -> None:
    pil = pytest.importorskip("PIL.Image")
    frames = [pil.new("RGB", (300, 200), color) for color in ("red", "blue")]
    frames[0].save(tmp_path / "scan.tif", save_all=True, append_images=frames[1:])
    found = processed(file("scan.tif", field("a", "1")))
    images = page(tmp_path, found, source=tmp_path).all("img")
    assert [(image["width"], image["alt"]) for image in images] == [("300", "page 1"), ("300", "page 2")]


def test_problems_edits_and_unmeasured_confidences_are_shown(tmp_path: Path) -> None:
    found = processed(
        file(
            "a.txt",
            field("date", "ERROR", error_msg="no date"),
            Field(field_name="sum", value="1", confidence=Confidence(model=None, ocr=1.0)),
        ),
        ResultFile(original_file_name="empty.pdf"),
        case_info=CaseInfo(fields=[CaseField(name="payer", value="ERROR", error_msg="no inputs")]),
    )
    reader = page(tmp_path, found)
    for text in ("no date", "not measured", "No document was found", "Packet of run run-1", "no inputs"):
        assert text in reader.text
    assert sum("data-problem" in attributes for attributes in reader.all("li")) == 2
    assert "2 files" in reader.text
    assert "3 problems" in reader.text
    assert any(attributes.get("title") == "model: not measured, OCR: not measured" for _, attributes in reader.tags)


def test_a_gate_decides_what_a_problem_is(tmp_path: Path) -> None:
    found = processed(file("a.txt", field("total", "12")))
    assert "data-problem" not in str(page(tmp_path, found).all("li"))
    reader = page(tmp_path, found, gate=Gate(confidence=0.95, required=["vendor"]))
    assert "the confidence 0.9 is below 0.95" in reader.text
    assert "the field is missing" in reader.text
    assert sum("data-problem" in attributes for attributes in reader.all("li")) == 2


def test_the_size_is_stated_before_the_page_is_written(tmp_path: Path) -> None:
    pytest.importorskip("pypdfium2")
    target = tmp_path / "out.html"
    said: list[ViewSize] = []

    def note(size: ViewSize) -> None:
        assert not target.exists()
        said.append(size)

    found = processed(file("a.pdf", field("a", "1"), page_numbers=list(range(1, 31))))
    source = {"a.pdf": pdf_bytes([[f"page {number}"] for number in range(30)])}
    found.view(target, source=source, on_size=note)
    (size,) = said
    assert (size.documents, size.pages, size.pictures) == (1, 30, 30)
    assert 0.5 < size.bytes / target.stat().st_size < 2
    assert str(size).startswith("1 document, 30 pages, about 0.")


def test_pages_beyond_the_limit_are_left_out_and_that_is_said(tmp_path: Path) -> None:
    pytest.importorskip("pypdfium2")
    found = processed(file("a.pdf", field("a", "1"), page_numbers=[1, 2, 3]))
    reader = page(tmp_path, found, source={"a.pdf": pdf_bytes([["x"]] * 3)}, max_pages=2)
    assert len(reader.all("img")) == 2
    assert "Only the first 2 of 3 pages are shown" in reader.text


_HOSTILE = [
    "</script><script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "' onmouseover='alert(1)",
    "<svg/onload=alert(1)>",
    "javascript:alert(1)",
    "</style><style>*{display:none}</style>",
    "]]><!--",
    "\x00\x1b[31m\ud800",
    "&lt;script&gt;",
]


def build(text: str) -> Processed:
    found = file(text + ".txt", field(text, text, error_msg=text if len(text) % 2 else None), class_name=text)
    case = CaseInfo(fields=[CaseField(name=text, value=text)])
    return Processed(Run(id=text or "r", status=text), 7, [found], None, case)


def check_nothing_runs(markup: str) -> None:
    reader = Reader(markup)
    assert len(reader.all("script")) == len(reader.all("style")) == 1
    assert {tag for tag, _ in reader.tags} <= {
        *("html", "head", "meta", "title", "style", "body", "header", "h1", "h2", "code", "p", "b", "div", "input"),
        *("select", "option", "label", "output", "button", "main", "section", "span", "ol", "li", "pre", "figure"),
        *("figcaption", "img", "svg", "rect", "script", "kbd"),
    }
    for tag, attributes in reader.tags:
        assert not [name for name in attributes if name.startswith("on") or name in {"style", "src", "href"}], tag
    (policy,) = [each["content"] for each in reader.all("meta") if each.get("http-equiv")]
    assert (policy or "").startswith("default-src 'none'; img-src data:; style-src 'sha256-")
    assert "unsafe" not in (policy or "")


@pytest.mark.parametrize("text", _HOSTILE)
def test_nothing_of_a_document_can_become_markup(tmp_path: Path, text: str) -> None:
    target = tmp_path / "out.html"
    build(text).view(target, source={text + ".txt": text.encode("utf-8", "replace")})
    check_nothing_runs(target.read_text())


@settings(max_examples=50, deadline=None)
@given(st.text(alphabet=st.sampled_from("<>&\"'/=!-script onload\n\x00é")))
def test_no_text_can_become_markup(text: str) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder, "out.html")
        build(text).view(target, source={text + ".txt": text.encode()})
        check_nothing_runs(target.read_text())


def test_the_policy_names_the_script_and_the_style_as_they_are(tmp_path: Path) -> None:
    import base64
    import hashlib

    markup = processed().view(tmp_path / "out.html").read_text()
    for tag in ("script", "style"):
        found = re.search(rf"<{tag}>(.*?)</{tag}>", markup, re.DOTALL)
        assert found is not None
        digest = base64.b64encode(hashlib.sha256(found[1].encode()).digest()).decode()
        assert f"sha256-{digest}" in markup


def test_a_name_of_the_server_leads_nowhere_else(tmp_path: Path) -> None:
    (tmp_path / "secret.txt").write_text("secret")
    folder = tmp_path / "scans"
    (folder / "sub").mkdir(parents=True)
    (folder / "sub" / "a.txt").write_text("a")
    (folder / "b.txt").write_text("b")
    (folder / "sub" / "b.txt").write_text("other b")
    (folder / "link.txt").symlink_to(tmp_path / "secret.txt")
    finder = FileFinder(folder, {})
    for name in ("../secret.txt", "/etc/passwd", str(tmp_path / "secret.txt"), "link.txt", "..", "", "\0", "sub"):
        assert finder.find(name) is None
    assert finder.find("sub/a.txt") == finder.find("a.txt") == b"a"
    # In the folder itself the name is clear; below it two files have it.
    assert finder.find("b.txt") == b"b"
    assert finder.find("x/b.txt") is None
    with pytest.raises(ConfigurationError, match="does not exist"):
        FileFinder(tmp_path / "nothing", {})


def test_uploaded_files_are_found_without_a_source(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("text of a")
    finder = FileFinder(None, {"x.txt": str(tmp_path / "a.txt"), "y.txt": "<bytes>", "z.txt": os.fspath(tmp_path)})
    assert [finder.find(name) for name in ("x.txt", "y.txt", "z.txt", "w.txt")] == [b"text of a", None, None, None]
    assert FileFinder(tmp_path / "a.txt", {}).find("a.txt") == b"text of a"


def test_a_failed_page_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "pypdfium2", None)
    found = processed(file("a.pdf", field("a", "1")))
    with pytest.raises(ConfigurationError, match=r"pip install 'aihub-async\[view\]'"):
        found.view(tmp_path / "out.html", source={"a.pdf": pdf_bytes([["x"]])})
    assert list(tmp_path.iterdir()) == []
