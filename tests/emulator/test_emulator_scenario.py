import pytest

from aihub_async.emulator import Emulator, Fault, Scenario, ScenarioError, WebhookPlan, load_scenario

OUTAGE = """
seed = 7

[settings]
run_seconds = 2.0
webhook_delays = [0.0, 1.0]

[[fault]]
kind = "status"
status = 503
retry_after = 1
operation = "addFileToBatch"
after = 10
lasting = 30

[[fault]]
kind = "reset-before"
operation = "runApp"
times = 1
handled_after = 6.0

[[fault]]
kind = "headers"
extra_headers = { Server = "gateway" }

[webhooks]
lost = true
"""


def write(tmp_path, text):
    path = tmp_path / "outage.toml"
    path.write_text(text)
    return path


def test_a_scenario_file(tmp_path):
    assert load_scenario(write(tmp_path, OUTAGE)) == Scenario(
        seed=7,
        settings={"run_seconds": 2.0, "webhook_delays": (0.0, 1.0)},
        faults=(
            Fault(kind="status", status=503, retry_after=1, operation="addFileToBatch", after=10, lasting=30),
            Fault(kind="reset-before", operation="runApp", times=1, handled_after=6.0),
            Fault(kind="headers", extra_headers=(("Server", "gateway"),)),
        ),
        webhooks=WebhookPlan(lost=True),
    )


async def test_an_emulator_plays_a_scenario(tmp_path, connect):
    async with Emulator(scenario=write(tmp_path, OUTAGE), run_seconds=0.0) as hub:
        api = await connect(hub)
        assert hub.settings.webhook_delays == (0.0, 1.0)
        assert hub.settings.run_seconds == 0.0  # an argument wins over the file
        batch_id = await api.batch({"a.txt": b"Total: 5"})
        hub.time.advance(seconds=11)
        refused = await api("PUT", f"/v2/batches/{batch_id}/files/b.txt", data=b"x")
        assert (refused.status, refused.headers["Retry-After"]) == (503, "1")
        assert (await api("GET", "/v2/batches")).headers["Server"] == "gateway"
        hub.time.advance(seconds=30)
        assert (await api("PUT", f"/v2/batches/{batch_id}/files/b.txt", data=b"x")).status == 204


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("seed = ", "not valid TOML"),
        ("[[faults]]\nkind = 'html'", "did you mean 'fault'"),
        ("[fault]\nkind = 'html'", "double brackets"),
        ("[[fault]]\nstatus = 503", "number 1 has no kind"),
        ("[[fault]]\nkind = 'htm'", "number 1: 'kind' must be in"),
        ("[[fault]]\nkind = 'html'\noperation = 'runApps'", "did you mean 'runApp'"),
        ("[[fault]]\nkind = 'html'\nprobabilty = 0.5", "did you mean 'probability'"),
        ("[settings]\nrun_second = 1", "did you mean 'run_seconds'"),
        ("[webhooks]\nlate = 1\nlots = true", "did you mean 'lost'"),
        ("seed = 'x'", "integer"),
        ("settings = 1", "table"),
    ],
)
def test_what_is_wrong_with_a_scenario_is_named(tmp_path, text, problem):
    path = write(tmp_path, text)
    with pytest.raises(ScenarioError, match=problem) as caught:
        load_scenario(path)
    assert str(path) in str(caught.value)


def test_a_missing_scenario_file(tmp_path):
    with pytest.raises(ScenarioError, match=r"nosuch\.toml: No such file"):
        Emulator(scenario=tmp_path / "nosuch.toml")
