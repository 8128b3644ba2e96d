"""`aihub record` saves a run that the emulator serves again."""

import json

from aihub_async.emulator import Emulator
from aihub_sync import AIHub


def test_a_recorded_run_is_served_again(aihub, emulator, tmp_path):
    with AIHub(emulator.api_key, api_root=emulator.api_root) as client:
        processed = client.process({"a.txt": b"Order: 7788\nMail: ana@acme.com"}, app_name="key-values")
        run_id = processed.run.id
    done = aihub("record", run_id, "--to", tmp_path / "fixtures", "--json")
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    assert answer["files"] == 1
    with Emulator() as other, AIHub(other.api_key, api_root=other.api_root) as client:
        assert other.load(tmp_path / "fixtures") == [run_id]
        (document,) = client.apps.runs.results(run_id).files[0].documents
        assert document.fields[0].value == "7788"
    faked = aihub("record", run_id, "--to", tmp_path / "fakes", "--fakes")
    assert faked.returncode == 0, faked.stderr
    text = (tmp_path / "fakes" / run_id / "files.jsonl").read_text()
    assert "7788" not in text
    assert "ana@acme.com" not in text


def test_what_cannot_be_recorded(aihub, tmp_path):
    missing = aihub("record", "none", "--to", tmp_path)
    assert missing.returncode != 0
    assert "Traceback" not in missing.stderr
    served = aihub("serve", "--load", tmp_path)
    assert served.returncode == 2
    assert "holds no recorded run" in served.stderr
