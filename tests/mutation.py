"""Mutation tests: change the code a little, many times, and count the changes that no test notices.

``python -m tests.mutation policies reconcile`` mutates a copy of the checkout in a temporary folder with mutmut (extra
``dev``), and prints the share of mutants that were killed and the difference that each survivor makes. What is known to
survive, and why, is in ``tests/mutation.md``.
"""

import argparse
import ast
import difflib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import attrs

ROOT = Path(__file__).parent.parent


@attrs.frozen
class Scope:
    """What to mutate, and the tests that must notice: those that test it directly, the fastest first.

    Each mutant meets those that call its function, in this order, up to the first failure.
    """

    sources: str
    tests: tuple[str, ...]


SCOPES = {
    "policies": Scope(
        "aihub_async/policies/*.py",
        (
            "tests/unit/test_retry_policy.py",
            "tests/unit/test_policies.py",
            "tests/unit/test_limits.py",
            "tests/unit/test_governor.py",
            "tests/waiting/test_pacing.py",
            "tests/transport/test_outages.py::TestCircuitBreaker",
        ),
    ),
    "reconcile": Scope(
        "aihub_async/reconcile/*.py",
        (
            "tests/reconcile/test_once_rules.py",
            "tests/reconcile/test_named.py",
            "tests/reconcile/test_run_lookups.py",
        ),
    ),
    "waiting": Scope(
        "aihub_async/waiting/*.py",
        (
            "tests/waiting/test_waiting_parts.py",
            "tests/waiting/test_run_lists.py",
            "tests/waiting/test_polling_schedule.py",
        ),
    ),
    "journal": Scope(
        "aihub_async/ingest/journal/*.py",
        (
            "tests/ingest/test_journal_queries.py",
            "tests/ingest/test_journal_file.py",
        ),
    ),
}

# Each mutant meets the same few examples: random ones would make the outcome depend on luck.
_PLUGIN = """

from hypothesis import settings
settings.register_profile("mutation", max_examples=25, derandomize=True, database=None, deadline=None)
settings.load_profile("mutation")

_ORDER = {order}


def pytest_collection_modifyitems(items):
    ranks = {{name: rank for rank, name in enumerate(_ORDER)}}
    items.sort(key=lambda item: ranks.get(item.nodeid.split("::")[0], len(ranks)))
"""

# mutmut's exit codes: pytest's, its own and those of signals.
_OUTCOMES = {1: "killed", 3: "killed", 0: "survived", 5: "not tested", 33: "not tested", 34: "skipped", None: "not run"}
_TIMEOUTS = {24, 36, 152, 255, -24, -9}
_NOTICED = {"killed", "timed out", "crashed"}


def outcome(code: int | None) -> str:
    """Return what an exit code of mutmut says about a mutant."""
    if code in _TIMEOUTS:
        return "timed out"
    return _OUTCOMES.get(code, "crashed")


def prepare(folder: Path, scope: Scope) -> None:
    """Copy the checkout and configure mutmut in the copy."""
    ignored = shutil.ignore_patterns("__pycache__", ".*_cache", ".hypothesis")
    for name in ("aihub_async", "aihub_sync", "tests"):
        shutil.copytree(ROOT / name, folder / name, ignore=ignored)
    for name in ("pyproject.toml", "README.md", "CHANGELOG.md"):
        shutil.copy(ROOT / name, folder / name)
    with (folder / "tests/conftest.py").open("a", encoding="utf-8") as file:
        file.write(_PLUGIN.format(order=[test.split("::")[0] for test in scope.tests]))
    settings = {
        "source_paths": ["aihub_async"],
        "only_mutate": [scope.sources],
        "also_copy": ["aihub_sync", "README.md"],
        "pytest_add_cli_args_test_selection": [test for test in scope.tests if (ROOT / test.split("::")[0]).exists()],
        "pytest_add_cli_args": ["-p", "no:cacheprovider", "-W", "default"],
        "timeout_multiplier": 6.0,
        "timeout_constant": 1.0,
        "track_dependencies": False,
        "use_git_change_detection": False,
    }
    lines = [f"{key} = {json.dumps(value)}" for key, value in settings.items()]
    with (folder / "pyproject.toml").open("a", encoding="utf-8") as file:
        file.write("\n".join(["", "[tool.mutmut]", *lines, ""]))


def mutate(folder: Path, processes: int, only: Sequence[str]) -> None:
    """Run mutmut in a prepared folder."""
    command = [sys.executable, "-c", "from mutmut.__main__ import cli; cli()", "run", "--max-children", str(processes)]
    log = folder / "mutmut.log"
    # pytest removes old folders of the tests at its end: not those of other sessions on this machine.
    temporary = folder / "temporary"
    temporary.mkdir(exist_ok=True)
    environment = os.environ | {"PYTEST_DEBUG_TEMPROOT": str(temporary)}
    with log.open("w", encoding="utf-8") as output:
        done = subprocess.run(
            [*command, *only], cwd=folder, env=environment, stdout=output, stderr=subprocess.STDOUT, check=False
        )
    if done.returncode:
        tail = log.read_text(encoding="utf-8", errors="replace")[-3000:]
        raise SystemExit(f"mutmut failed with exit status {done.returncode}:\n{tail}")


def outcomes(folder: Path) -> Iterator[tuple[Path, str, str]]:
    """Yield the file, name and outcome of every mutant."""
    for meta in sorted((folder / "mutants").rglob("*.py.meta")):
        codes = json.loads(meta.read_text(encoding="utf-8"))["exit_code_by_key"]
        for name, code in codes.items():
            yield meta.with_suffix(""), name, outcome(code)


_SQL_WORDS = (
    "SELECT FROM WHERE JOIN AND GROUP ORDER INSERT REPLACE UPDATE DELETE CREATE DROP PRAGMA BEGIN COMMIT ROLLBACK"
)
_SQL = re.compile(rf"\b({'|'.join(_SQL_WORDS.split())})\b", re.IGNORECASE)


def is_case_of_sql(difference: str) -> bool:
    """Return whether a mutant changes nothing but the case of letters in a query, which means the same to SQLite."""
    lines = [line.strip() for line in difference.splitlines()]
    before = [line[1:].casefold() for line in lines if line.startswith("-")]
    after = [line[1:].casefold() for line in lines if line.startswith("+")]
    return before == after and any(_SQL.search(line) for line in before)


def difference(file: Path, mutant: str) -> str:
    """Return the lines that a mutant changes."""
    name = mutant.rpartition(".")[2]
    text = file.read_text(encoding="utf-8")
    original = _function(text, re.sub(r"__mutmut_\d+$", "__mutmut_orig", name))
    changed = _function(text, name)
    lines = difflib.unified_diff(original, changed, lineterm="", n=0)
    wanted = [line for line in lines if not line.startswith(("---", "+++", "@@"))]
    return "\n".join(f"    {line}" for line in wanted)


def _function(text: str, name: str) -> list[str]:
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name == name:
            lines = text.splitlines()[node.lineno - 1 : node.end_lineno]
            # Without the suffix, which alone would make a difference.
            return [re.sub(r"__mutmut_(orig|\d+)\b", "", line) for line in lines]
    return []


def report(folder: Path, scope: str) -> None:
    """Print the share of mutants that were killed, file by file, and the survivors."""
    counts: dict[str, Counter[str]] = {}
    survivors = []
    for file, name, result in outcomes(folder):
        change = difference(file, name) if result in {"survived", "not tested"} else ""
        same = is_case_of_sql(change)
        counts.setdefault(file.name, Counter())["case of SQL" if same else result] += 1
        if change and not same:
            survivors.append(f"{name} ({result})\n{change}")
    print("\n".join(survivors))
    total: Counter[str] = sum(counts.values(), Counter())
    for name, count in [*counts.items(), (scope, total)]:
        ran = count.total() - count["not run"] - count["skipped"] - count["case of SQL"]
        killed = sum(count[each] for each in _NOTICED)
        share = 100 * killed / ran if ran else 0
        print(f"{name}: {killed} of {ran} killed ({share:.1f} %); {dict(count)}")


def main() -> int:
    """Run the scopes that the command line names."""
    parser = argparse.ArgumentParser(prog="python -m tests.mutation", description=__doc__)
    parser.add_argument("scopes", nargs="*", choices=[*SCOPES, []], help=f"what to mutate: {', '.join(SCOPES)}")
    parser.add_argument("--processes", type=int, default=2, help="mutants that are tested concurrently (default: 2)")
    parser.add_argument("--only", action="append", default=[], help="a mutant, or a pattern such as '*.retry.*'")
    parser.add_argument("--folder", type=Path, help="where to work, kept afterward; a temporary folder by default")
    options = parser.parse_args()
    for scope in options.scopes or SCOPES:
        with tempfile.TemporaryDirectory(prefix="mutation-") as temporary:
            folder = options.folder / scope if options.folder else Path(temporary) / scope
            if not folder.exists():
                folder.mkdir(parents=True)
                prepare(folder, SCOPES[scope])
            mutate(folder, options.processes, options.only)
            report(folder, scope)
    return 0


if __name__ == "__main__":
    sys.exit(main())
