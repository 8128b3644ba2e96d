"""Values with their types, packets, blocking validations, review, confidences and split documents."""

import io
import json
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pytest
from pypdf import PdfReader

from aihub_async.emulator import Emulator, ExtractedDocument, Field, PacketField, load_recordings, save_recording
from aihub_async.emulator.samples import pdf_bytes

NOTE = {"note.txt": b"Order: 7\n"}
ALL = (
    "?include_source_info=true&include_confidence_scores=true&include_validation_results=true"
    "&include_review_results=true"
)


async def fields(api, run_id, query=ALL):
    document = (await api.results(run_id, query))["files"][0]["documents"][0]
    return {field["field_name"]: field for field in document["fields"]}


@pytest.mark.parametrize(
    ("value", "text", "kind"),
    [
        ([{"item": "Pen", "price": 1.5, "taxed": True}], '[{"item":"Pen","price":1.5,"taxed":true}]', "TABLE"),
        (["a", 'b"'], '["a","b\\""]', "LIST"),
        ([], "[]", "LIST"),
        ({"a": {"b": None}}, '{"a":{"b":null}}', "OBJECT"),
        (7, "7", "NUMBER"),
        (1.5, "1.5", "NUMBER"),
        (True, "true", "BOOLEAN"),
        ("x", "x", "TEXT"),
        (None, "", "TEXT"),
        (date(2026, 1, 2), "2026-01-02", "TEXT"),
        (Decimal("1.10"), "1.10", "TEXT"),
    ],
)
async def test_values_are_json_with_their_types(api, hub, value, text, kind):
    hub.app("Typed")(lambda document: {"v": value})
    field = (await fields(api, await api.run(NOTE, app="Typed")))["v"]
    assert (field["value"], field["type"]) == (text, kind)


async def test_an_explicit_type_wins(api, hub):
    hub.app("Typed")(lambda document: [Field("v", 5, type="CURRENCY")])
    field = (await fields(api, await api.run(NOTE, app="Typed")))["v"]
    assert (field["value"], field["type"]) == ("5", "CURRENCY")


async def test_a_canned_app_is_called_with_files_that_nothing_can_read(api, hub):
    seen = []

    @hub.app("Canned")
    def canned(document):
        seen.append((document.name, document.text.strip(), document.problem is not None))
        return {"total": "5"}

    run_id = await api.run({"a.step": b"\x00\x01\x02", "note.txt": b"x"}, app="Canned")
    assert sorted(seen) == [("a.step", "", True), ("note.txt", "x", False)]
    assert [each["documents"][0]["fields"][0]["value"] for each in (await api.results(run_id))["files"]] == ["5", "5"]


async def test_packets_consolidate_the_documents_of_a_run(api):
    files = {"a.txt": b"Name: Ann\nIncome: 5", "b.txt": b"Name: Ann\nIncome: 6", "c.txt": b"Name: Ann\nRent: 1"}
    run_id = await api.run(files, app="Packets")
    name, income = (await api.results(run_id, "?include_validation_results=true"))["case_info"]["fields"]
    assert (name["name"], name["value"], name["validations"]) == ("Name", "Ann", {"valid": True, "failures": []})
    assert [option["record_index"] for option in name["input_fields"]] == [0, 1, 2]
    assert income["chosen_field"] == {"record_index": 0, "refined_phrase_name": "Income"}
    assert income["validations"]["valid"] is False
    assert income["validations"]["failures"] == [
        {"type": "all_inputs_match", "msg": "The documents disagree on Income."}
    ]
    plain = (await api.results(run_id))["case_info"]["fields"][0]
    assert set(plain) == {"name", "value", "input_fields", "chosen_field"}


async def test_an_app_has_packet_fields_of_its_own(api, hub):
    def packet(documents):
        yield PacketField("count", str(len(documents)))
        yield PacketField("broken", "", error="no data")

    hub.app("Cases", packet=packet)(lambda document: {"a": document.name})
    count, broken = (await api.results(await api.run(NOTE, app="Cases")))["case_info"]["fields"]
    assert count == {"name": "count", "value": "1"}
    assert broken == {"name": "broken", "value": "ERROR", "error_msg": "no data"}


async def test_a_packet_function_that_raises_fails_the_run(api, hub, caplog):
    hub.app("Cases", packet=lambda documents: 1 / 0)(lambda document: {"a": "1"})
    run_id = await api.run(NOTE, app="Cases")
    run = (await api("GET", f"/v2/apps/runs/{run_id}")).json
    assert (run["status"], "ZeroDivisionError" in run["msg"]) == ("FAILED", True)
    assert "packet function" in caplog.text


async def test_the_text_beside_an_image_is_read_as_the_image(api):
    pixel = "47494638376101000100800000000000ffffff2c00000000010001000002024401003b"
    image = bytes.fromhex(pixel)
    run_id = await api.run({"a.gif": image, "a.gif.txt": b"Order: 7", "b": b"x: 1", "b.txt": b"y: 2"})
    files = (await api.results(run_id))["files"]
    assert [file["original_file_name"] for file in files] == ["a.gif", "b", "b.txt"]
    assert files[0]["documents"][0]["fields"][0]["value"] == "7"


async def test_a_packet_that_disagrees_can_stop_the_run(api, hub):
    def packet(documents):
        return [PacketField("total", "5", failures=(("lambda_code", "too much"),))]

    hub.app("Cases", packet=packet, packet_blocks=True)(lambda document: {"a": "1"})
    run_id = await api.run(NOTE, app="Cases")
    assert (await api("GET", f"/v2/apps/runs/{run_id}")).json["status"] == "STOPPED_AT_CHECKPOINT"
    hub.complete_review(run_id, {"total": "4"}, user="rita")
    (field,) = (await api.results(run_id, ALL))["case_info"]["fields"]
    assert (field["value"], field["validations"]) == ("4", {"valid": True, "failures": []})
    assert field["edit_history"][0]["user_id"] == "rita"


async def test_a_blocking_validation_stops_the_run_until_it_is_reviewed(api, hub):
    @hub.app("Checked")
    def check(document):
        low = "9" in document.text
        return [Field("total due", "9", alerts=("too high",) if low else (), blocking=low), Field("other", "x")]

    good = await api.run({"a.txt": b"8"}, app="Checked")
    assert (await api("GET", f"/v2/apps/runs/{good}")).json["status"] == "COMPLETE"
    run_id = await api.run({"a.txt": b"8", "b.txt": b"9"}, app="Checked")
    stopped = (await api("GET", f"/v2/apps/runs/{run_id}")).json
    assert (stopped["status"], stopped["finish_timestamp"]) == ("STOPPED_AT_CHECKPOINT", None)
    page = await api.results(run_id, ALL)
    assert (page["finish_timestamp"], page["review_completed"]) == (None, False)
    (alert,) = page["files"][1]["documents"][0]["fields"][0]["validations"]["alerts"]
    assert (alert["blocked"], alert["msg"]) == (True, "too high")
    hub.complete_review(run_id, {("b.txt", "total_due"): "8"}, classes={"b.txt": "Bill"}, user="rita")
    page = await api.results(run_id, ALL)
    assert (page["status"], page["review_completed"]) == ("COMPLETE", True)
    assert page["finish_timestamp"] >= page["start_timestamp"]
    first, second = (file["documents"][0] for file in page["files"])
    assert (first["fields"][0]["value"], first["fields"][0]["edit_history"]) == ("9", [])
    corrected = second["fields"][0]
    assert (corrected["value"], corrected["validations"]) == ("8", {"valid": True, "alerts": []})
    (event,) = corrected["edit_history"]
    assert event["user_id"] == "rita"
    assert event["modifications"] == [{"message": "Value changed from '9' to '8'."}]
    assert datetime.strptime(event["timestamp"], "%m/%d/%Y %H:%M:%S").year >= 2024  # noqa: DTZ007
    assert second["class_name"] == "Bill"
    assert second["class_edit_history"][0]["modifications"] == [{"message": "Class changed from None to 'Bill'."}]
    assert second["validations"] == {"final_result_pass": True}


async def test_agent_mode_and_ocr_confidences(api, hub):
    hub.app("Agent", agent=True)(lambda document: [Field("found", "7", confidence=0.9), Field("sum", "107")])
    found, computed = (await fields(api, await api.run(NOTE, app="Agent"))).values()
    assert found["confidence"] == {"model": 0.9, "ocr": None}
    assert computed["confidence"] == {"model": None, "ocr": 1.0}
    hub.app("Scanned")(lambda document: [Field("a", "7", confidence=0.9, ocr=0.75)])
    assert (await fields(api, await api.run(NOTE, app="Scanned")))["a"]["confidence"] == {"model": 0.9, "ocr": 0.75}


async def test_each_split_document_has_its_own_pdf(api, hub):
    @hub.app("Split")
    def split(document):
        yield ExtractedDocument([Field("a", "one")], "First", pages=(1,))
        yield ExtractedDocument([Field("b", "three")], "Second", 0.8, pages=(2, 3))

    settings = {"runtime_config": {"generate_post_process_pdf": True}}
    pdf = pdf_bytes([["page one"], ["page two"], ["page three"]])
    run_id = await api.run({"in.pdf": pdf, "in.txt": b"one\ftwo\fthree"}, app="Split", settings=settings)
    for file in (await api.results(run_id, ALL))["files"]:
        texts = []
        for document in file["documents"]:
            path = document["post_processed_pdf_path"].replace(" ", "%20")
            content = (await api("GET", f"/v2/files{path}?expect-node-type=file")).body
            texts.append([page.extract_text().split()[-1] for page in PdfReader(io.BytesIO(content)).pages])
            assert len(document["page_layouts"]) == len(document["page_numbers"])
        assert texts == [["one"], ["two", "three"]]
        # The value is looked up on the pages of its own document.
        (box,) = file["documents"][1]["fields"][0]["source_coordinates"]
        assert box["page_number"] == 2


async def test_a_document_of_100_pages_has_no_pdf(api, hub):
    hub.app("Plain")(lambda document: {"a": "1"})
    settings = {"runtime_config": {"generate_post_process_pdf": True}}
    run_id = await api.run({"in.txt": b"\f".join([b"x"] * 100)}, app="Plain", settings=settings)
    assert "post_processed_pdf_path" not in (await api.results(run_id, ALL))["files"][0]["documents"][0]


async def test_a_secret_reaches_the_app_and_nothing_else(api, hub, tmp_path):
    secret = {"alias": "db", "value": "hunter2", "allowed_workspaces_type": "SOME", "allowed_workspaces": ["ops"]}
    assert (await api("POST", "/v2/aihub/secrets", json=secret)).status == 200
    seen = []
    hub.app("Uses")(lambda document: seen.append((document.secrets["password"], repr(document))) or {"a": "1"})
    settings = {"keys": {"secret": {"password": "db"}, "custom": {"region": "north"}}}
    run_id = await api.run(NOTE, app="Uses", settings=settings, output_workspace="ops")
    assert seen[0][0] == "hunter2"
    assert "hunter2" not in seen[0][1]
    assert "hunter2" not in str(await api.results(run_id, ALL)) + str(hub.runs())
    assert (await api.results(run_id))["keys"] == {"custom": {"region": "north"}}
    for wrong in ({"password": "none"}, {"password": 7}):
        body = {"app_name": "Uses", "batch_id": await api.batch(NOTE), "output_workspace": "ops"}
        refused = await api("POST", "/v2/apps/runs", json={**body, "settings": {"keys": {"secret": wrong}}})
        assert refused.status in {400, 404}
    # Not allowed in the personal workspace.
    body = {"app_name": "Uses", "batch_id": await api.batch(NOTE), "settings": settings}
    assert (await api("POST", "/v2/apps/runs", json=body)).status == 404


async def test_a_secret_is_never_written_to_disk(tmp_path, connect):
    async with Emulator(data_dir=tmp_path) as hub:
        api = await connect(hub)
        secret = {"alias": "db", "value": "hunter2", "allowed_workspaces_type": "ALL"}
        await api("POST", "/v2/aihub/secrets", json=secret)
        await api.run(NOTE, settings={"keys": {"secret": {"password": "db"}}})
    for path in tmp_path.rglob("*"):
        assert path.is_dir() or b"hunter2" not in path.read_bytes()


async def test_keys_of_a_deployment_are_overridden_by_those_of_a_run(api, hub):
    seen = []
    hub.app("Keys")(lambda document: seen.append(document.settings["keys"]["custom"]) or {"a": "1"})
    hub.deployment("daily", app="Keys", keys={"custom": {"region": "north", "unit": "eur"}})
    body = {"batch_id": await api.batch(NOTE), "settings": {"keys": {"custom": {"region": "south"}}}}
    assert (await api("POST", "/v2/apps/deployments/daily/runs", json=body)).status == 202
    await hub.idle()
    assert seen == [{"region": "south", "unit": "eur"}]


async def test_a_mailbox_is_read_between_two_times(api, hub):
    hub.deployment("mail", app="key-values", mailbox=True)
    noon = datetime(2026, 3, 1, 12, tzinfo=UTC)
    for hour in range(4):
        hub.deliver_mail("mail", f"{hour}.txt", b"Order: 7", at=noon + timedelta(hours=hour))
    path = "/v2/apps/deployments/mail/runs"
    window = {
        "from_timestamp": int((noon + timedelta(hours=1)).timestamp() * 1000),
        "to_timestamp": int((noon + timedelta(hours=2)).timestamp() * 1000),
    }
    started = await api("POST", path, json={"manual_upstream_integration": True, **window})
    assert started.status == 202
    await hub.idle()
    files = (await api.results(started.json["id"]))["files"]
    assert [file["original_file_name"] for file in files] == ["1.txt", "2.txt"]
    for wrong in ({}, {"from_timestamp": 1}, {"from_timestamp": 2, "to_timestamp": 1}, {**window, "to_timestamp": "x"}):
        refused = await api("POST", path, json={"manual_upstream_integration": True, **wrong})
        assert refused.status == 400
    hub.deployment("plain", app="key-values")
    with pytest.raises(ValueError, match="no mailbox"):
        hub.deliver_mail("plain", "a.txt", b"x")


async def test_the_api_of_2024(connect):
    async with Emulator(api_version="2024", list_page_size=1) as hub:
        api = await connect(hub)
        run_id = await api.run(NOTE, output_workspace="ops")
        second = await api.batch()
        listed = (await api("GET", "/v2/batches?file_offset=1")).json["batches"]
        assert [batch["id"] for batch in listed] == [second]
        assert [batch["id"] for batch in (await api("GET", "/v2/batches?offset=1")).json["batches"]] != [second]
        run = (await api("GET", f"/v2/apps/runs/{run_id}")).json
        assert set(run) == {"id", "status", "start_timestamp", "finish_timestamp", "msg"}
        assert len((await api("GET", "/v2/apps/runs?output_repo=ops")).json["runs"]) == 1
        assert (await api("GET", "/v2/apps/runs?output_repo=none")).json["runs"] == []
        page = await api.results(run_id, ALL)
        assert set(page) == {"files", "batch_id", "review_completed", "has_more"}
        document = page["files"][0]["documents"][0]
        assert document["doc_id"] == 0
        assert set(document["classification_confidence"]) == {"ocr"}
        assert set(document["fields"][0]["confidence"]) == {"model"}
        assert not {"page_numbers", "page_layouts"} & set(document)


async def test_a_recorded_run_is_served_again(api, hub, connect, tmp_path):
    hub.app("Mine", class_name="Bill")(lambda document: {"total due": "$1,234.50", "by": "ana@acme.com"})
    files = {f"{name}.txt": b"x" for name in ("invoice", "lease", "receipt")}
    run_id = await api.run(files, app="Mine", settings={"keys": {"custom": {"k": "v"}}})
    run = (await api("GET", f"/v2/apps/runs/{run_id}")).json
    page = await api.results(run_id, ALL)
    folder = save_recording(tmp_path / "plain", run, [page])
    assert folder.name == run_id
    faked = save_recording(tmp_path / "fakes", run, [page], fakes=True)
    text = (faked / "files.jsonl").read_text() + (faked / "run.json").read_text()
    for private in ("1,234.50", "ana@acme.com", "jane.doe", "acme", "invoice"):
        assert private not in text
    assert "jane.doe" not in (folder / "files.jsonl").read_text()
    async with Emulator(results_page_size=2) as other:
        served = await connect(other)
        assert other.load(tmp_path / "plain") == [run_id]
        again = await served.results(run_id, ALL)
        assert again["has_more"] is True
        rest = await served.results(run_id, f"{ALL}&file_offset=2")
        assert [*again["files"], *rest["files"]] == [
            json.loads(line) for line in (folder / "files.jsonl").read_text().splitlines()
        ]
        assert (again["status"], again["keys"]) == ("COMPLETE", {"custom": {"k": "v"}})
        status = (await served("GET", f"/v2/apps/runs/{run_id}")).json
        assert (status["start_timestamp"], status["tags"]) == (run["start_timestamp"], [])
        assert other.load(tmp_path / "fakes") == [run_id]
        value = (await served.results(run_id))["files"][0]["documents"][0]["fields"][0]["value"]
        assert value != "$1,234.50"
        assert (value[0], value[2], value[6], len(value)) == ("$", ",", ".", 9)
    assert [each.run["id"] for each in load_recordings(faked)] == [run_id]
    for wrong in (tmp_path / "none", tmp_path):
        with pytest.raises(ValueError, match="no recorded run"):
            hub.load(wrong)
    with pytest.raises(ValueError, match="cannot be recorded"):
        save_recording(tmp_path, {"id": "../x"}, [])
