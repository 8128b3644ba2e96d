"""The guide of the emulator: its examples run, and its settings have tests."""

import ast
import re
import tomllib
from importlib.resources import files
from pathlib import Path

import pytest

import aihub_async
from aihub_async.emulator import load_scenario

GUIDE = files(aihub_async).joinpath("docs/emulator.md").read_text()
ROOT = Path(__file__).parents[2]


def blocks(language):
    return re.findall(rf"```{language}\n(.*?)```", GUIDE, re.DOTALL)


@pytest.mark.parametrize("code", blocks("python"))
def test_the_examples_run(code):
    exec(compile(code, "emulator.md", "exec"), {})


def test_the_scenario_is_one(tmp_path):
    (text,) = blocks("toml")
    path = tmp_path / "outage.toml"
    path.write_text(text)
    scenario = load_scenario(path)
    assert [fault.kind for fault in scenario.faults] == ["refuse", "status"]
    assert scenario.world.organizations[0].units == 1000


def settings_of_the_seeds():
    return tomllib.loads((ROOT / "tests" / "operations.toml").read_text())["setting"]


@pytest.mark.parametrize("setting", settings_of_the_seeds(), ids=lambda setting: setting["name"])
def test_every_setting_of_the_seeds_has_a_test_that_shows_its_effect(setting):
    assert setting["seeds"]
    for reference in setting["tests"]:
        path, _, name = reference.partition("::")
        tree = ast.parse((ROOT / path).read_text())
        functions = {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}
        assert name in functions, reference
