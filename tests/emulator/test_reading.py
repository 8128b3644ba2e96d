"""The kinds of files that people really have: tables, web pages, e-mails, PDFs, Office files and images."""

import codecs
import io
import shutil
import subprocess
import sys
import textwrap
import threading
from email.message import EmailMessage

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pypdf import PdfReader, PdfWriter

from aihub_async.emulator.documents import Page
from aihub_async.emulator.reading import NoTextError, UnreadableFileError, read_document
from aihub_async.emulator.reading.html import html_text, markup_text
from aihub_async.emulator.reading.images import recognized_page
from aihub_async.emulator.reading.mail import email_text
from aihub_async.emulator.reading.tables import read_table
from aihub_async.emulator.reading.text import decode
from aihub_async.emulator.samples import pdf_bytes


def rows_of(content):
    return [dict(row) for row in read_table(decode(content))[1]]


@pytest.mark.parametrize(
    ("content", "rows"),
    [
        (
            b"id;tags\n1;['345']\n2;['112', '112']\n",
            [{"id": "1", "tags": "['345']"}, {"id": "2", "tags": "['112', '112']"}],
        ),
        (b"Item,Amount,Item\nPen,1.00,Ink\n", [{"Item": "Pen", "Amount": "1.00", "Item 2": "Ink"}]),
        (b"a,a 2,a\n1,2,3\n", [{"a": "1", "a 2": "2", "a 3": "3"}]),
        (b"id,total\n1,5.00,EUR,paid\n", [{"id": "1", "total": "5.00", "column 3": "EUR", "column 4": "paid"}]),
        (b"id,total,note\n1\n", [{"id": "1", "total": "", "note": ""}]),
        (b"sep=;\r\nid;total\r\n1;5,00\r\n", [{"id": "1", "total": "5,00"}]),
        (codecs.BOM_UTF8 + b"sep=|\nid|total\n1|5,00\n", [{"id": "1", "total": "5,00"}]),
        ("id,name\n1,Ann\n".encode("utf-16-be"), [{"id": "1", "name": "Ann"}]),
        ("id,name\n1,Ann\n".encode("utf-16-le"), [{"id": "1", "name": "Ann"}]),
        (codecs.BOM_UTF16_LE + "id;name\n1;Łódź\n".encode("utf-16-le"), [{"id": "1", "name": "Łódź"}]),
        (codecs.BOM_UTF32_LE + "id;name\n1;Łódź\n".encode("utf-32-le"), [{"id": "1", "name": "Łódź"}]),
        ("name,total\nMüller GmbH,5 €\n".encode("cp1252"), [{"name": "Müller GmbH", "total": "5 €"}]),
        (b"name,total\nA\x81B,5\n", [{"name": "A\x81B", "total": "5"}]),
        (b'id, name\n1, "a, b"\n', [{"id": "1", "name": "a, b"}]),
        (b'size,part\n5",A\n', [{"size": '5"', "part": "A"}]),
        (b'id,address\n1,"12 Main St\nSpringfield"\n', [{"id": "1", "address": "12 Main St\nSpringfield"}]),
        (b",total,\n1,5,6\n", [{"column 1": "1", "total": "5", "column 3": "6"}]),
        (b"title,price\nRock 'n' Roll,5.00\n", [{"title": "Rock 'n' Roll", "price": "5.00"}]),
        (b"when\n2026-01-01 10:00:00\n", [{"when": "2026-01-01 10:00:00"}]),
        (b"id|total\r1|5\r", [{"id": "1", "total": "5"}]),
        (b"id,text\n1," + b"x" * 140_000 + b"\n", [{"id": "1", "text": "x" * 140_000}]),
    ],
)
def test_tables(content, rows):
    assert rows_of(content) == rows


CELL = st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cs", "Zs", "Zl", "Zp")), max_size=8)


@given(st.lists(st.lists(CELL, min_size=3, max_size=3), min_size=1, max_size=5), st.sampled_from(",;\t|"))
def test_every_cell_of_a_table_survives(table, delimiter):
    import csv

    stream = io.StringIO()
    writer = csv.writer(stream, delimiter=delimiter, quoting=csv.QUOTE_ALL)
    writer.writerow(["first", "second", "third"])
    writer.writerows(table)
    kept = [row for row in table if any(row)]
    assert [list(row.values()) for row in rows_of(stream.getvalue().encode())] == kept


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (
            b"<table><tr><td>No<td>A-17<td><table><tr><td>Total</td><td>5.00</td></tr></table></td></tr></table>",
            "No: A-17\nTotal: 5.00",
        ),
        (b"<!doctype html><table><tr><td>No<td>A-17<tr><td>Total<td>5.00</table>", "No: A-17\nTotal: 5.00"),
        (
            b"<table><tr><td>Ship to:</td><td>12 Main St<br>Springfield<br/>Total 5</td></tr></table>",
            "Ship to: 12 Main St\nSpringfield\nTotal 5",
        ),
        (b"<table><tr><td><p>Invoice no</p><p>A-17</p></td></tr></table>", "Invoice no\nA-17"),
        (b"<ul><li>Name: Ann<li>Total: 5.00</ul>", "Name: Ann\nTotal: 5.00"),
        (b"<p>a<br>b</p>c<div>d</div>e", "a\nb\nc\nd\ne"),
        (b"<pre>a: 1\n  b: 2</pre>", "a: 1\nb: 2"),
        (b"<script>if (a < b) { x = '</p>' }</script><p>Due: 1</p><style>p{}</style>", "Due: 1"),
        (b"<p hidden>no</p><title>no</title><p>a &amp; b&nbsp;c</p><!-- no -->", "a & b c"),
        ("<meta charset='iso-8859-2'><p>Łódź Żółć</p>".encode("iso-8859-2"), "Łódź Żółć"),
        (
            "<meta http-equiv='Content-Type' content='text/html; charset=Shift_JIS'><p>日本語</p>".encode("shift_jis"),
            "日本語",
        ),
        ("<meta charset='latin1'><p>5 €</p>".encode("cp1252"), "5 €"),
        ("<meta charset='utf-16'><p>é</p>".encode(), "é"),
        ("<meta charset='nonsense'><p>é</p>".encode(), "é"),
        (b"<?xml version='1.0' encoding='utf-8'?><html><p>5</p><![CDATA[Due: <x>]]></html>", "5\nDue: <x>"),
        (b"<table><thead><tr><th>Item<th>Price<th>Sum</thead><tr><td>Pen<td>1<td>2</table>", "Item Price Sum\nPen 1 2"),
        (b"   ", ""),
        (b"<!-- only a comment -->", ""),
    ],
)
def test_web_pages(content, text):
    assert [" ".join(line.split()) for line in html_text(content).splitlines()] == text.splitlines()


@given(st.text(max_size=200))
def test_any_text_is_some_page(text):
    assert isinstance(markup_text(text), str)


def mail(head, body=b"Total: 5\r\n"):
    return b"From: a@example.com\r\nSubject: x\r\n" + head + b"\r\n" + body


def forwarded():
    inner = EmailMessage()
    inner["From"], inner["Subject"] = "b@example.com", "Original"
    inner.set_content("Invoice: 4711")
    outer = EmailMessage()
    outer["From"], outer["Subject"] = "a@example.com", "Fwd"
    outer.set_content("see attached")
    outer.add_attachment(inner)
    return bytes(outer)


SIGNED = (
    b"Content-Type: multipart/signed; boundary=S\r\n\r\n--S\r\nContent-Type: multipart/mixed; boundary=M\r\n\r\n"
    b"--M\r\nContent-Type: text/plain\r\n\r\nTotal: 5\r\n--M\r\nContent-Type: text/csv\r\n"
    b"Content-Disposition: attachment; filename=a.csv\r\n\r\nid\r\n--M--\r\n--S\r\n"
    b"Content-Type: application/pkcs7-signature; name=smime.p7s\r\nContent-Disposition: attachment; filename=s.p7s\r\n"
    b"\r\nAAAA\r\n--S--\r\n"
)
BLANK_PLAIN = (
    b"Content-Type: multipart/alternative; boundary=A\r\n\r\n--A\r\nContent-Type: text/plain\r\n\r\n \r\n--A\r\n"
    b"Content-Type: text/html\r\n\r\n<p>Total: 5</p>\r\n--A--\r\n"
)


@pytest.mark.parametrize(
    "content",
    [
        mail(BLANK_PLAIN, b""),
        mail(SIGNED, b""),
        mail(b"Content-Type: text/plain; charset=x-unknown\r\n"),
        mail(b"Content-Type: multipart/mixed\r\n"),
        mail(b"Content-Type: multipart/mixed; boundary=B\r\n", b"--B\r\nContent-Type: text/plain\r\n\r\nTotal: 5\r\n"),
        mail(b"Content-Transfer-Encoding: base64\r\n", b"VG90YWw6IDU\r\n"),
        mail(b"Content-Type: text/html\r\n", b"<p>Total: <b>5</b></p>"),
        mail(b'To: "a@example.com\r\nDate: not a date\r\nCc: <>,,;:\r\n'),
        b"\xef\xbb\xbf" + mail(b""),
        b"\r\n\r\n" + mail(b""),
        b"From a@example.com Mon Jan  1 00:00:00 2026\r\n" + mail(b""),
    ],
)
def test_the_body_of_an_email_is_found(content):
    lines = email_text(content).splitlines()
    assert "Total: 5" in lines
    assert "From: a@example.com" in lines
    assert "Subject: x" in lines


@pytest.mark.parametrize("encoding", ["utf-8", "cp1252"])
def test_headers_of_8_bit_text_are_read(encoding):
    """Many programs write names as they are instead of as encoded words (RFC 6532 allows UTF-8)."""
    attachment = (
        b"--B\r\nContent-Type: text/csv\r\nContent-Disposition: attachment; filename=M\xe4rz.csv\r\n\r\n1\r\n--B--\r\n"
    )
    attachment = attachment.decode("latin-1").encode(encoding)
    names = "Cc: M\u00fcller <b@example.com>\r\nDate: a\0b\r\n".encode(encoding)
    head = (
        b"From: =?utf-8?q?J=C3=B6rg?= <a@example.com>\r\n"
        + names
        + b"Content-Type: multipart/mixed; boundary=B\r\n\r\n"
    )
    lines = email_text(head + attachment).splitlines()
    assert lines[:3] == ["From: J\u00f6rg <a@example.com>", "Cc: M\u00fcller <b@example.com>", "Date: ab"]
    assert lines[3] == "Attachments: M\u00e4rz.csv"


@pytest.mark.parametrize(
    ("content", "line"),
    [
        (forwarded(), "Invoice: 4711"),
        (forwarded(), "Subject: Original"),
        (forwarded(), "see attached"),
        (mail(SIGNED, b""), "Attachments: a.csv, s.p7s"),
        (mail(b"Content-Transfer-Encoding: 8bit\r\n", "Kunde: Müller".encode()), "Kunde: Müller"),
        (mail(b"Content-Type: text/plain; charset=cp1250\r\n", "Kod: Łódź".encode("cp1250")), "Kod: Łódź"),
        (mail(b"Content-Type: text/html; charset=iso-8859-2\r\n", "<p>Łódź</p>".encode("iso-8859-2")), "Łódź"),
        (b"Subject: =?utf-8?q?Gr=C3=BC=C3=9Fe?= =?x-none?b?!?=\r\n\r\nx", "Subject: Grüße"),
    ],
)
def test_what_stands_in_an_email(content, line):
    assert any(found.startswith(line) for found in email_text(content).splitlines())


def encrypted(algorithm, user="", owner="boss"):
    writer = PdfWriter(clone_from=PdfReader(io.BytesIO(pdf_bytes([["Order: 7"]]))))
    writer.encrypt(user, owner, algorithm=algorithm)
    stream = io.BytesIO()
    writer.write(stream)
    return stream.getvalue()


def read(tmp_path, name, content, settings=None, sidecar=None):
    path = tmp_path / "blob"
    path.write_bytes(content)
    beside = None
    if sidecar is not None:
        (tmp_path / "sidecar").write_bytes(sidecar)
        beside = str(tmp_path / "sidecar")
    return read_document(str(path), name, settings or {}, beside)


@pytest.mark.parametrize("algorithm", ["RC4-40", "RC4-128", "AES-128", "AES-256", "AES-256-R5"])
def test_encrypted_pdfs(tmp_path, algorithm):
    assert read(tmp_path, "a.pdf", encrypted(algorithm)).text == "Order: 7"
    locked = encrypted(algorithm, user="secret")
    settings = {"runtime_config": {"instabase": {"pdf": {"passwords": {"a.pdf": "secret"}}}}}
    assert read(tmp_path, "a.pdf", locked, settings).text == "Order: 7"
    with pytest.raises(UnreadableFileError, match="no password was given"):
        read(tmp_path, "a.pdf", locked)


def test_pdfs_are_read_by_many_threads(tmp_path):
    failures = []

    def work(number):
        folder = tmp_path / str(number)
        folder.mkdir()
        try:
            for _ in range(10):
                assert read(folder, "a.pdf", pdf_bytes([[f"Order: {number}"]])).text == f"Order: {number}"
        except (UnreadableFileError, AssertionError) as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not any(thread.is_alive() for thread in threads)
    assert failures == []


def rotated(angle):
    writer = PdfWriter(clone_from=PdfReader(io.BytesIO(pdf_bytes([["Order: 7788"]]))))
    writer.pages[0].rotate(angle)
    stream = io.BytesIO()
    writer.write(stream)
    return stream.getvalue()


def test_places_on_a_rotated_page_are_those_that_a_reader_sees(tmp_path):
    (page,) = read(tmp_path, "a.pdf", rotated(90)).pages
    assert (page.width, page.height) == (792.0, 612.0)
    box = page.find("7788")
    # The text is 40 to 52 points from what was the top, which is now the right edge, and runs downwards.
    assert 739 <= box.left < box.right <= 752
    assert box.bottom - box.top > box.right - box.left


def test_a_value_over_two_lines_has_a_box_for_each(tmp_path):
    (page,) = read(tmp_path, "a.pdf", pdf_bytes([["Ship to 14 Mill", "Lane, Bath"]])).pages
    first, second = page.find_all("14 Mill\nLane")
    assert first.bottom < second.top
    assert first.left > second.left
    assert page.find_all("nowhere") == page.find_all(" ") == []


def docx():
    document = pytest.importorskip("docx").Document()
    document.add_paragraph("Order: 7")
    table = document.add_table(rows=1, cols=2)
    table.rows[0].cells[0].text, table.rows[0].cells[1].text = "Ship To", "Bath"
    document.add_paragraph("after")
    return saved(document)


def pptx():
    presentation = pytest.importorskip("pptx").Presentation()
    slide = presentation.slides.add_slide(presentation.slide_layouts[5])
    slide.shapes.title.text = "Order: 7"
    table = slide.shapes.add_table(1, 2, 0, 0, 100, 100).table
    table.cell(0, 0).text, table.cell(0, 1).text = "Ship To", "Bath"
    return saved(presentation)


def xlsx():
    workbook = pytest.importorskip("openpyxl").Workbook()
    workbook.active.append(["Order", "Ship To", None])
    workbook.active.append([7, "Bath", None])
    workbook.create_sheet("more").append(["Note", "x"])
    return saved(workbook)


def saved(file):
    stream = io.BytesIO()
    file.save(stream)
    return stream.getvalue()


def test_office_files(tmp_path):
    assert read(tmp_path, "a.docx", docx()).text.splitlines() == ["Order: 7", "Ship To: Bath", "after"]
    assert read(tmp_path, "a.pptx", pptx()).text.splitlines() == ["Order: 7", "Ship To: Bath"]
    sheet = read(tmp_path, "a.xlsx", xlsx())
    assert [dict(row) for row in sheet.rows] == [{"Order": "7", "Ship To": "Bath"}]
    assert len(sheet.pages) == 2


@pytest.mark.parametrize("suffix", ["docx", "xlsx", "pptx"])
def test_damaged_office_files(tmp_path, suffix):
    for content in (b"PK\x03\x04nonsense", b"x", docx()[:200], pdf_bytes([["x"]])[5:]):
        with pytest.raises(UnreadableFileError, match="cannot be read"):
            read(tmp_path, f"a.{suffix}", content)


def picture(kind="PNG", frames=1):
    image_module = pytest.importorskip("PIL.Image")
    images = [image_module.new("RGB", (144, 72), "white") for _ in range(frames)]
    stream = io.BytesIO()
    extra = {"save_all": True, "append_images": images[1:]} if frames > 1 else {}
    images[0].save(stream, kind, dpi=(144, 144), **extra)
    return stream.getvalue()


@pytest.mark.parametrize(("kind", "suffix"), [("PNG", "png"), ("JPEG", "jpg"), ("TIFF", "tiff"), ("WEBP", "webp")])
def test_images_have_the_text_beside_them(tmp_path, kind, suffix):
    document = read(tmp_path, f"a.{suffix}", picture(kind), sidecar=b"Order: 7")
    assert document.text == "Order: 7"
    assert document.problem is None
    if kind in {"PNG", "TIFF"}:
        assert (document.pages[0].width, document.pages[0].height) == (
            pytest.approx(72, abs=0.1),
            pytest.approx(36, abs=0.1),
        )


def test_images_without_ocr_have_no_text_and_say_why(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    document = read(tmp_path, "a.tiff", picture("TIFF", frames=2))
    assert (document.text.strip(), len(document.pages)) == ("", 2)
    assert "tesseract" in document.problem


def test_words_of_tesseract_become_lines_with_places():
    table = textwrap.dedent(
        """\
        level\tpage_num\tblock_num\tpar_num\tline_num\tword_num\tleft\ttop\twidth\theight\tconf\ttext
        4\t1\t1\t1\t1\t0\t0\t0\t10\t10\t-1\t
        5\t1\t1\t1\t1\t1\t20\t40\t60\t20\t90\tOrder:
        5\t1\t1\t1\t1\t2\t100\t40\t40\t20\t80\t77
        5\t1\t1\t1\t2\t1\t20\t80\t10\t20\t100\t"
        """
    )
    page = recognized_page(1, table, (200.0, 100.0), (144.0, 144.0))
    assert page.text == 'Order: 77\n"'
    assert page.ocr == 0.9
    box = page.find("77")
    assert (box.left, box.top, box.right, box.bottom) == (50, 20, 70, 30)
    assert page.find("7").right == 60


@pytest.mark.skipif(shutil.which("tesseract") is None, reason="tesseract is not installed")
def test_ocr(tmp_path):
    pypdfium2 = pytest.importorskip("pypdfium2")
    pdf = pypdfium2.PdfDocument(pdf_bytes([["Order 7788"]]))
    image = pdf[0].render(scale=3).to_pil()
    stream = io.BytesIO()
    image.save(stream, "PNG", dpi=(216, 216))
    assert subprocess.run(["tesseract", "--version"], capture_output=True, check=True, timeout=60).returncode == 0
    document = read(tmp_path, "a.png", stream.getvalue())
    assert "7788" in document.text
    assert document.pages[0].ocr > 0.5


def test_a_file_of_an_unknown_type_is_intact_but_has_no_text(tmp_path):
    document = read(tmp_path, "a.step", b"\x00\x01")
    assert (document.text, document.rows) == ("", ())
    assert ".step are not supported" in document.problem
    assert read(tmp_path, "a.step", b"\x00\x01", sidecar=b"Order: 7").text == "Order: 7"


@pytest.mark.parametrize(
    ("name", "content", "package"),
    [("a.pdf", pdf_bytes([["x"]]), "pypdfium2"), ("a.html", b"<p>x</p>", "lxml"), ("a.docx", b"x", "docx")],
)
def test_a_library_that_is_not_installed_is_named(tmp_path, monkeypatch, name, content, package):
    for module in [each for each in sys.modules if each.partition(".")[0] == package]:
        monkeypatch.delitem(sys.modules, module)
    for reader in ("pdf", "html", "mail"):
        monkeypatch.delitem(sys.modules, f"aihub_async.emulator.reading.{reader}", raising=False)
    monkeypatch.setitem(sys.modules, package, None)
    document = read(tmp_path, name, content)
    assert document.text == ""
    assert f"{package} is installed: pip install 'aihub-async[" in document.problem


def test_a_page_that_a_user_makes_needs_no_glyphs():
    assert Page(1, "x").find("x") is None
    assert issubclass(NoTextError, Exception)
