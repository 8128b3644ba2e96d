"""The emulator stays fast with many batches, files and runs."""

import statistics
import time

import pytest

from aihub_async.emulator import Emulator

MILLISECONDS = 50
FILES, RUNS = 100_000, 10_000


def fill(state, folder, account):
    """Write the rows of many files and runs as the emulator itself writes them."""
    now = state.settings.clock.time_ns()
    nodes = ((f"{folder}/{number:06}.txt", 10**9 + number, 1, now) for number in range(FILES))
    state.db._connection.executemany("INSERT INTO nodes VALUES (?, ?, ?, ?)", nodes)
    columns = (
        "id, status, start_ns, finish_ns, msg, input_dir, input_since_ns, input_until_ns, output_dir, output_workspace,"
        " app_name, app_id, app_version, tags, username, context, settings, binary_path"
    )
    runs = (
        (
            *(f"run-{n}", "COMPLETE", now - n * 1000, now, "", "acme/in", 0, 1, f"acme/out/{n}", account.personal),
            *("key-values", "app", "1", f'["t{n}"]', account.user, "acme", "{}", "acme/b.ibflowbin"),
        )
        for n in range(RUNS)
    )
    marks = ", ".join("?" * 18)
    state.db._connection.executemany(f"INSERT INTO runs({columns}) VALUES ({marks})", runs)
    jobs = ((f"run-{n}", "run", "acme", account.personal, "acme/b.ibflowbin", "{}", "RUNNING", "") for n in range(RUNS))
    insert = (
        "INSERT INTO legacy_jobs(id, kind, context, workspace, path, body, state, message) VALUES (?,?,?,?,?,?,?,?)"
    )
    state.db._connection.executemany(insert, jobs)


async def timed(api, path):
    """Return the median of five requests in milliseconds, and the last answer."""
    taken, answer = [], None
    for _ in range(5):
        before = time.perf_counter()
        answer = await api("GET", path)
        taken.append((time.perf_counter() - before) * 1000)
        assert answer.status == 200
    return statistics.median(taken), answer.json


@pytest.mark.slow
async def test_list_pages_stay_fast_with_100_000_files_and_10_000_runs(connect):
    async with Emulator() as hub:
        api = await connect(hub)
        batch_id = await api.batch()
        folder = hub._state.db.value("SELECT folder FROM batches WHERE id = ?", batch_id)
        fill(hub._state, folder, hub._home())
        token = (await api("GET", f"/v2/batches/{batch_id}/files?page_size=1000")).json["next_page_token"]
        paths = {
            "files, first page": f"/v2/batches/{batch_id}/files",
            "files, 1,000 a page": f"/v2/batches/{batch_id}/files?page_size=1000&start_token={token}",
            "files as a folder": f"/v2/files/{folder.replace(' ', '%20')}?expect-node-type=folder",
            "runs, first page": "/v2/apps/runs",
            "runs, last page": f"/v2/apps/runs?offset={RUNS - 100}",
            "runs by app": "/v2/apps/runs?app_name=key-values&order=ASCENDING&limit=100",
            "runs by status": "/v2/apps/runs?sort_by=status&offset=5000",
            "runs of nobody": "/v2/apps/runs?username=nobody",
            "legacy jobs": "/v1/jobs/list",
            "batches": "/v2/batches",
        }
        expected = {"files, 1,000 a page": 1000, "runs of nobody": 0, "batches": 1}
        slow = {}
        for name, path in paths.items():
            taken, answer = await timed(api, path)
            (items,) = (value for value in answer.values() if isinstance(value, list))
            assert len(items) == expected.get(name, 100), name
            print(f"{name}: {taken:.1f} ms")
            if taken > MILLISECONDS:
                slow[name] = taken
        assert slow == {}
        seen, start = 0, ""
        while True:
            page = (await api("GET", f"/v2/batches/{batch_id}/files?page_size=1000&start_token={start}")).json
            seen += len(page["nodes"])
            if not page["has_more"]:
                break
            start = page["next_page_token"]
        assert seen == FILES
