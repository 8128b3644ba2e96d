"""Type checkers agree with what a user's script may rely on."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SCRIPTS = ["tests/typing/sync_usage.py", "tests/typing/async_usage.py"]


@pytest.mark.slow
@pytest.mark.parametrize("checker", [["mypy", "--strict"], ["pyright", "--pythonpath", sys.executable]])
def test_scripts_of_users_pass(checker: list[str]) -> None:
    name, *options = checker
    command = shutil.which(name, path=str(Path(sys.executable).parent))
    if command is None:
        pytest.skip(f"{name} is in the extra dev")
    done = subprocess.run(
        [command, *options, *SCRIPTS], cwd=ROOT, capture_output=True, text=True, check=False, timeout=300
    )
    assert done.returncode == 0, done.stdout + done.stderr
