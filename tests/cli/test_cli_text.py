"""Text of users and servers on a terminal: never markup, never a control character."""

import io
import json
import unicodedata

from hypothesis import given
from hypothesis import strategies as st

from aihub_async.cli import terminal
from aihub_async.cli.exits import in_options
from aihub_async.cli.terminal import Column, SafeConsole
from aihub_async.cli.text import json_text, plain, plain_block, value_text

ANY_TEXT = st.text(st.characters(), max_size=30)
HOSTILE = "\x1b]52;c;cm0gLXJm\x07\x1b[2J[bold]x[/nothing] :smile: \u202e\x9b31m\ud83d"


def rendered(*objects: object) -> str:
    console = SafeConsole()
    console.file = io.StringIO()
    console.print(*objects)
    return console.file.getvalue()


def steers_a_terminal(text: str) -> bool:
    return any(unicodedata.category(character) in {"Cc", "Cs"} and character not in "\n\t" for character in text)


@given(ANY_TEXT)
def test_no_control_character_reaches_the_terminal(text: str) -> None:
    assert not steers_a_terminal(rendered(text))
    assert not steers_a_terminal(rendered(terminal.table([Column("a", "a")], [{"a": text or "-"}])))
    assert not steers_a_terminal(plain(text))
    assert "\n" not in plain(text)


@given(st.text(st.characters(exclude_categories=["C", "Z"]), min_size=1, max_size=30))
def test_ordinary_text_stays_as_it_is(text: str) -> None:
    assert plain(text) == plain_block(text) == text


def test_markup_and_emoji_codes_are_text() -> None:
    assert rendered(r"C:\scans\[/x] a [final].txt :smile:") == "C:\\scans\\[/x] a [final].txt :smile:\n"
    shown = rendered(terminal.table([Column("a", "a", width=60)], [{"a": r"C:\scans\[/x] a [final].txt :smile:"}]))
    assert r"C:\scans\[/x] a [final].txt :smile:" in shown


def test_what_is_hidden_by_nobody_is_shown_as_an_escape() -> None:
    assert plain("a\x1b[2J\r\nb\u202e\ud83d") == r"a\x1b[2J\r\nb\u202e\ud83d"
    assert not steers_a_terminal(rendered(HOSTILE))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | ANY_TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(ANY_TEXT, inner, max_size=3),
    max_leaves=8,
)


@given(JSON)
def test_json_loses_nothing_and_is_safe(value: object) -> None:
    text = json_text(value, indent=2)
    assert json.loads(text) == value
    assert not steers_a_terminal(text)
    assert json_text(value, ascii_only=True).isascii()


def test_json_has_no_nan() -> None:
    assert json.loads(json_text({"a": [float("nan"), float("inf"), 1.5]})) == {"a": [None, None, 1.5]}


@given(st.lists(st.fixed_dictionaries({"a": JSON, "b": ANY_TEXT}), max_size=3))
def test_tsv_has_one_line_per_row_and_one_cell_per_column(rows: list[dict[str, object]]) -> None:
    for row in rows:
        line = "\t".join(value_text(row[name]) for name in ("a", "b"))
        assert line.count("\t") == 1
        assert line.splitlines() in ([line], [])


def test_columns_that_are_empty_or_do_not_fit_are_left_out() -> None:
    columns = [
        Column("name", "name", width=20),
        Column("class", "class", keep=3, width=20),
        Column("page", "page", keep=4, width=10),
        Column("note", "note", keep=1, width=10),
    ]
    assert [column.key for column in terminal.fitting(columns, 100)] == ["name", "class", "page", "note"]
    assert [column.key for column in terminal.fitting(columns, 60)] == ["name", "class", "note"]
    assert [column.key for column in terminal.fitting(columns, 40)] == ["name", "note"]
    assert [column.key for column in terminal.fitting(columns, 5)] == ["name"]
    shown = terminal.table(columns, [{"name": "a", "class": None, "page": 0, "note": ""}])
    assert [column.header for column in shown.columns] == ["name", "page"]


def test_errors_speak_of_options() -> None:
    assert in_options("give app_name or app_id") == "give --app or --app-id"
    assert in_options("pass allow_insecure=True") == "pass --allow-insecure (or set AIHUB_ALLOW_INSECURE=1)"
    assert in_options("no file 'app_name.txt' in x/app_id") == "no file 'app_name.txt' in x/app_id"
