import io
import json

import pytest
from pypdf import PdfReader, PdfWriter

from aihub_async.emulator import Box, ExtractedDocument, Field, write_samples
from aihub_async.emulator.results import field_name
from aihub_async.emulator.samples import pdf_bytes

EVERYTHING = "?include_source_info=true&include_confidence_scores=true&include_validation_results=true"


async def documents_of(api, name, content, **wanted):
    run_id = await api.run({name: content}, **wanted)
    (file,) = (await api.results(run_id, EVERYTHING))["files"]
    assert file["original_file_name"] == name
    return file["documents"]


async def fields_of(api, name, content):
    (document,) = await documents_of(api, name, content)
    return {field["field_name"]: field["value"] for field in document["fields"]}


def protected(password):
    writer = PdfWriter(clone_from=PdfReader(io.BytesIO(pdf_bytes([["Order: 7"]]))))
    writer.encrypt(password, algorithm="RC4-128")
    stream = io.BytesIO()
    writer.write(stream)
    return stream.getvalue()


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.txt", b"Order: 7\nShip To: Bath"),
        ("noextension", b"Order: 7\nShip To: Bath"),
        ("a.txt", "Order: 7\nShip To: Bath".encode("utf-16")),
        ("a.json", b'{"Order": 7, "Ship To": "Bath"}'),
        (
            "a.html",
            b"<title>Not: this</title><table><tr><td>Order</td><td>7</td></tr></table><p>Ship To: <b>Bath</b></p>",
        ),
        ("a.pdf", pdf_bytes([["Order: 7"], ["Ship To: Bath"]])),
        ("mail", pdf_bytes([["Order: 7", "Ship To: Bath"]])),
    ],
)
async def test_keys_and_values_are_found_in_every_kind_of_file(api, name, content):
    assert await fields_of(api, name, content) == {"Order": "7", "Ship_To": "Bath"}


async def test_an_email_gives_its_headers_and_its_body(api):
    mail = (
        b"From: Ana <ana@example.com>\r\nSubject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=\r\nMIME-Version: 1.0\r\n"
        b'Content-Type: multipart/mixed; boundary="b"\r\n\r\n--b\r\nContent-Type: text/html\r\n\r\n'
        b"<p>Order: 7</p>\r\n--b\r\nContent-Type: application/pdf\r\n"
        b'Content-Disposition: attachment; filename="x.pdf"\r\n\r\n%PDF\r\n--b--\r\n'
    )
    fields = await fields_of(api, "a.eml", mail)
    assert fields["Subject"] == "Grüße"
    assert (fields["Order"], fields["Attachments"]) == ("7", "x.pdf")
    assert fields["emails"] == "ana@example.com"


async def test_dates_emails_amounts_and_totals_are_found_in_running_text(api):
    text = b"Paid on 2025-03-14 and March 3, 2025 by ana@example.com: $12.50.\nTax 1.50\nGrand total $14.00, at 12:30"
    fields = await fields_of(api, "a.txt", text)
    assert fields["dates"] == "2025-03-14; March 3, 2025"
    assert fields["emails"] == "ana@example.com"
    assert fields["amounts"] == "$12.50; 1.50; $14.00"
    assert fields["total"] == "$14.00"


async def test_a_repeated_key_is_numbered_and_a_url_is_no_key(api):
    fields = await fields_of(api, "a.txt", b"Item: a\nItem: b\nhttps://example.com/\n12:30 lunch")
    assert fields == {"Item": "a", "Item_2": "b"}


@pytest.mark.parametrize("separator", [",", ";", "\t"])
async def test_a_table_gives_a_document_per_row(api, separator):
    lines = ["Name,Sum,", "Ana,1.00,x", "Ben,2.00", '"Li, Chen",3.00,y']
    content = "\n".join(line.replace(",", separator) for line in lines).encode()
    documents = await documents_of(api, "a.csv", content)
    rows = [[field["value"] for field in document["fields"]] for document in documents]
    assert rows == [["Ana", "1.00", "x"], ["Ben", "2.00", ""], [f"Li{separator} Chen", "3.00", "y"]]
    assert [field["field_name"] for field in documents[0]["fields"]] == ["Name", "Sum", "column_3"]
    tops = [document["fields"][0]["source_coordinates"][0]["top_y"] for document in documents]
    assert tops == [48, 60, 72]


async def test_a_json_list_of_objects_is_a_table(api):
    documents = await documents_of(api, "a.json", json.dumps([{"a": 1, "b": {"c": [True]}}, {"a": 2}]).encode())
    assert [[(f["field_name"], f["value"]) for f in each["fields"]] for each in documents] == [
        [("a", "1"), ("b_c_0", "true")],
        [("a", "2")],
    ]


async def test_a_pdf_tells_where_its_text_stands(api):
    (document,) = await documents_of(api, "a.pdf", pdf_bytes([["Nothing"], ["Title", "Order: 7788"]]))
    assert document["page_numbers"] == [1, 2]
    assert document["page_layouts"] == [{"page_number": n, "width": 612.0, "height": 792.0} for n in (0, 1)]
    (place,) = document["fields"][0]["source_coordinates"]
    # The second line of the page: Helvetica of 12 points, baseline at 722 points from the bottom. "Order: " is 37.34
    # points wide and each digit 6.67, less the margins of the glyphs; digits are 0.72 high and dip 0.02 below.
    assert place["page_number"] == 1
    assert place["top_x"] == pytest.approx(72 + 37.34, abs=0.6)
    assert place["bottom_x"] == pytest.approx(72 + 37.34 + 4 * 6.67, abs=0.6)
    assert place["top_y"] == pytest.approx(70 - 0.72 * 12, abs=0.6)
    assert place["bottom_y"] == pytest.approx(70, abs=0.4)
    assert 0 < document["fields"][0]["confidence"]["model"] <= 1
    assert document["fields"][0]["validations"] == {"valid": True, "alerts": []}


@pytest.mark.parametrize(
    ("name", "content", "problem"),
    [
        ("a.txt", b"", "empty"),
        ("a.png", b"\x89PNG", "image cannot be read"),
        ("a.xyz", b"\x89XYZ", "not supported"),
        ("a.pdf", b"%PDF-1.4 nonsense", "cannot be read"),
        ("a.json", b"{", "not valid JSON"),
        ("a.csv", b"\n\n", "no rows"),
        ("a.csv", b",".join([b"c"] * 401), "401 columns"),
        ("a.eml", b"\n", "not an e-mail"),
        ("a.txt", b"\x00\x81\x00", "not text"),
        ("a.pdf", protected("secret"), "no password was given"),
    ],
)
async def test_a_file_that_cannot_be_read_is_an_error_in_its_document(api, name, content, problem):
    run_id = await api.run({name: content, "good.txt": b"Order: 7"})
    bad, good = (await api.results(run_id))["files"]
    (field,) = bad["documents"][0]["fields"]
    assert field["value"] == "ERROR"
    assert problem in field["error_msg"]
    assert good["documents"][0]["fields"][0]["value"] == "7"
    assert (await api("GET", f"/v2/apps/runs/{run_id}")).json["status"] == "COMPLETE"


@pytest.mark.parametrize(("password", "value"), [("secret", "7"), ("wrong", "ERROR")])
async def test_a_protected_pdf_opens_with_its_password(api, password, value):
    settings = {"runtime_config": {"instabase": {"pdf": {"passwords": {"a.pdf": password}}}}}
    (document,) = await documents_of(api, "a.pdf", protected("secret"), settings=settings)
    assert document["fields"][0]["value"] == value


async def test_an_app_may_return_a_mapping(api, hub):
    @hub.app("Counts", class_name="Note")
    def count(document):
        assert document.content == b"one\ntwo"
        return {"lines": len(document.text.splitlines()), "name": document.name, "none": None}

    (document,) = await documents_of(api, "a.txt", b"one\ntwo", app="Counts")
    assert document["class_name"] == "Note"
    assert [field["value"] for field in document["fields"]] == ["2", "a.txt", ""]


async def test_an_app_may_return_fields_or_documents(api, hub):
    box = Box(1, 1.0, 2.0, 3.0, 4.0)
    hub.app("Fields")(lambda document: [Field("a", "x", box=box), Field("b", None, error="too dark", alerts=("no b",))])
    (document,) = await documents_of(api, "a.txt", b"x", app="Fields")
    first, second = document["fields"]
    assert first["source_coordinates"] == [{"top_x": 1, "top_y": 2, "bottom_x": 3, "bottom_y": 4, "page_number": 0}]
    assert (second["value"], second["error_msg"], second["validations"]["valid"]) == ("ERROR", "too dark", False)
    assert second["validations"]["alerts"][0]["msg"] == "no b"
    assert document["validations"] == {"final_result_pass": False}

    hub.app("Split")(
        lambda document: (
            ExtractedDocument([], f"class {page.number}", pages=(page.number,)) for page in document.pages
        )
    )
    documents = await documents_of(api, "a.txt", b"x\fy", app="Split")
    assert [(each["class_name"], each["page_numbers"]) for each in documents] == [("class 1", [1]), ("class 2", [2])]


@pytest.mark.parametrize("given", [7, ["x"], [Field("a", "b"), ExtractedDocument([])]])
async def test_an_app_that_raises_or_returns_nonsense_fails_that_file_only(api, hub, given, caplog):
    def sometimes(document):
        if document.name == "bad.txt":
            return given
        return {"ok": "yes"}

    hub.app("Sometimes")(sometimes)
    run_id = await api.run({"bad.txt": b"x", "good.txt": b"x"}, app="Sometimes")
    bad, good = (await api.results(run_id))["files"]
    assert "TypeError" in bad["documents"][0]["fields"][0]["error_msg"]
    assert good["documents"][0]["fields"][0]["value"] == "yes"
    assert "bad.txt" in caplog.text


@pytest.mark.parametrize(
    ("given", "converted"),
    [
        ("due date", "due_date"),
        ("driver's license", "driver_s_license"),
        ("3rd category", "_3rd_category"),
        ("secret_id", "secret__id"),
        ("", "_"),
    ],
)
def test_field_names_become_variable_names(given, converted):
    assert field_name(given) == converted


async def test_the_samples_are_all_readable(api, tmp_path):
    paths = write_samples(tmp_path / "samples")
    assert sorted(path.suffix for path in paths) == [".csv", ".eml", ".html", ".pdf", ".pdf", ".txt"]
    run_id = await api.run({path.name: path.read_bytes() for path in paths}, app="Invoices")
    files = (await api.results(run_id))["files"]
    assert len(files) == 6
    for file in files:
        for document in file["documents"]:
            assert len(document["fields"]) >= 4
            assert not [field for field in document["fields"] if "error_msg" in field]
    found = {field["field_name"]: field["value"] for field in files[2]["documents"][0]["fields"]}
    assert (found["Invoice_Number"], found["Total"]) == ("NW-2041", "$1,274.40")
