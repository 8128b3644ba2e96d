import pytest

from aihub_sync._generate import (
    UnknownError,
    annotations,
    difference,
    docstrings,
    generate,
    main,
    options,
    parse_module,
    rules,
    writer,
)
from aihub_sync._generate.docstrings import Docstrings, sync_code
from aihub_sync._generate.sources import Sources

CLIENT = '''
class AsyncAIHub:
    """A client."""

    def __init__(self, api_key: str | None = None, *, timeout: float = 1) -> None:
        self._timeout = timeout

    def _bind(self, transport):
        self.things = Things(transport)

    async def aclose(self) -> None:
        """Close."""
'''

THINGS = '''
from collections.abc import AsyncIterator
from typing import overload
from somewhere import Pages, Result

_SIZE = 10


class Things:
    """Things."""

{method}
'''


@pytest.fixture
def no_tables(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the rules that only the real sources need."""
    for table in (rules, writer, options):
        monkeypatch.setattr(table, "OLD_OPTIONS", {})
    for table in (rules, writer):
        monkeypatch.setattr(table, "OLD_NAMES", {})
        monkeypatch.setattr(table, "DROPPED", frozenset())
        monkeypatch.setattr(table, "BY_HAND", {})
        monkeypatch.setattr(table, "SECRET_PARAMETERS", frozenset())
        monkeypatch.setattr(table, "SPECIAL", {"aclose": "close"})
    for table in (rules, writer, annotations):
        monkeypatch.setattr(table, "PAGES", {})
    monkeypatch.setattr(docstrings, "PHRASES", {})
    monkeypatch.setattr(rules, "PHRASES", {})


def written(method: str, client: str = CLIENT) -> str:
    """What becomes of a method of Things."""
    indented = "\n".join(f"    {line}" for line in method.strip().split("\n"))
    modules = [
        parse_module("aihub_async.resources.things", THINGS.format(method=indented)),
        parse_module("aihub_async.client", client),
    ]
    files = generate(Sources({module.name: module for module in modules}), ["AsyncAIHub"])
    return files["things.py"]


@pytest.mark.usefixtures("no_tables")
class TestShapes:
    def test_coroutine(self) -> None:
        text = written('async def get(self, id: int, *, size: int = _SIZE) -> Result:\n    """Get it."""')
        assert "    def get(self, id: int, *, size: int = 10) -> Result:" in text
        assert "        return self._lease.run(self._async.get(id, size=size))" in text
        assert "    from somewhere import Result" in text

    def test_coroutine_without_answer(self) -> None:
        text = written('async def put(self) -> None:\n    """Put it."""')
        assert "\n        self._lease.run(self._async.put())" in text

    def test_plain_method_and_property(self) -> None:
        text = written(
            'async def a(self) -> int:\n    """A."""\n'
            'def b(self, *args: int, **more: str) -> int:\n    """B."""\n'
            '@property\ndef c(self) -> int:\n    """C."""'
        )
        assert "        return self._async.b(*args, **more)" in text
        assert "    @property\n    def c(self) -> int:" in text
        assert "        return self._async.c\n" in text

    def test_overloads(self) -> None:
        text = written(
            "@overload\nasync def a(self, x: int) -> int: ...\n@overload\nasync def a(self, x: str) -> str: ...\n"
            'async def a(self, x: int | str) -> int | str:\n    """A."""'
        )
        assert "    @overload\n    def a(self, x: int) -> int: ...\n" in text
        assert text.count("self._lease.run") == 1

    def test_pages(self, monkeypatch: pytest.MonkeyPatch) -> None:
        for table in (rules, writer, annotations):
            monkeypatch.setattr(table, "PAGES", {"Pages": None})
        monkeypatch.setattr("aihub_sync._generate.PAGES", {"Pages": None})
        text = written('def iter(self, n: int) -> Pages[Result]:\n    """All."""')
        assert "    def iter(self, n: int) -> Pages[Result]:" in text
        assert "        return Pages(self._async.iter(n), self._lease)" in text
        assert "from aihub_sync._facade import Facade\n" in text
        assert "from aihub_sync._pages import Pages\n" in text

    def test_a_twin_written_by_hand_is_handed_to_the_client(self, monkeypatch: pytest.MonkeyPatch) -> None:
        for table in (rules, writer):
            monkeypatch.setattr(table, "BY_HAND", {"Result": "by.hand"})
        client = CLIENT.replace("timeout: float = 1", "hook: Result | None = None")
        modules = [
            parse_module("aihub_async.client", "from somewhere import Result\n" + client),
            parse_module("aihub_async.resources.things", THINGS.format(method="    async def a(self) -> None: ...")),
        ]
        text = generate(Sources({module.name: module for module in modules}), ["AsyncAIHub"])["client.py"]
        assert "    from by.hand import Result\n" in text
        assert "hook=None if hook is None else hook.wrapped" in text
        assert "        self._bind(wrapped, Lease(wrapped, hook))\n" in text

    def test_long_lines_are_laid_out_as_the_formatter_would(self) -> None:
        names = ", ".join(f"argument_{number}: int" for number in range(9))
        text = written(f'async def a(self, {names}) -> int:\n    """A."""')
        assert max(map(len, text.split("\n"))) <= 120

    @pytest.mark.parametrize(
        ("method", "message"),
        [
            ('async def a(self):\n    """A."""', "what does it return"),
            ('async def a(self) -> int:\n    """A."""\n    yield 1', "async generator"),
            ('async def a(self) -> AsyncIterator[int]:\n    """A."""', "no rule for returning"),
            ('async def a(self) -> list[Things]:\n    """A."""', "no rule for returning"),
            ('async def a(self, other: Things) -> int:\n    """A."""', "no rule to unwrap"),
            ('@cached\nasync def a(self) -> int:\n    """A."""', "no rule for the decorator cached"),
            ('async def a(self) -> Unheard:\n    """A."""', "where does Unheard come from"),
            ('async def a(self) -> int:\n    """Call it in a coroutine."""', "the docstring says 'coroutine'"),
            (
                'async def a(self) -> int:\n    """A."""\ndef __len__(self) -> int: ...',
                "no rule for this special method",
            ),
        ],
    )
    def test_what_is_unknown_is_an_error(self, method: str, message: str) -> None:
        with pytest.raises(UnknownError, match=message):
            written(method)

    def test_parameters_that_may_be_secret_leave_the_frame(self, monkeypatch: pytest.MonkeyPatch) -> None:
        for table in (rules, writer):
            monkeypatch.setattr(table, "SECRET_PARAMETERS", frozenset({"value"}))
        text = written('async def put(self, name: str, value: str) -> None:\n    """Put it."""')
        expected = [
            "        try:",
            "            self._lease.run(self._async.put(name, value))",
            "        finally:",
            "            del value",
        ]
        assert "\n".join(expected) in text

    def test_a_secret_parameter_without_a_rule_is_an_error(self) -> None:
        with pytest.raises(UnknownError, match="drops word; add it to SECRET_PARAMETERS"):
            written('async def put(self, word: str) -> None:\n    """Put it."""\n    del word')

    def test_a_base_from_elsewhere_is_an_error(self) -> None:
        with pytest.raises(UnknownError, match="no rule for its base Other"):
            written("async def a(self) -> int: ...", CLIENT.replace("AsyncAIHub:", "AsyncAIHub(Other):"))

    def test_a_rule_that_nothing_needs_is_an_error(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(rules, "OLD_NAMES", {"Things.gone": {"id": "thing_id"}})
        with pytest.raises(UnknownError, match=r"nothing needs any more: Things\.gone"):
            written('async def a(self) -> int:\n    """A."""')


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("async def f(c):\n    return await c.x()", "def f(c):\n    return c.x()"),
        ("return_ = (await c.x(1)).json()", "return_ = c.x(1).json()"),
        ("print(await c.x())", "print(c.x())"),
        ("[b.name async for b in c.iter()]", "[b.name for b in c.iter()]"),
        (
            "async with AsyncAIHub(api_key='…') as c:\n    await c.aclose()",
            "with AIHub(api_key='…') as c:\n    c.close()",
        ),
        ("async for b in c.iter():  # all\n    pass", "for b in c.iter():  # all\n    pass"),
        ("asyncio.run(main())", "main()"),
        ("run = await handle", "run = handle.wait()"),
        ("await c.jobs.handle(1)", "c.jobs.handle(1).wait()"),
        ("from aihub_async import AsyncAIHub, models", "from aihub_sync import AIHub, models"),
        ("'await the async'", "'await the async'"),
    ],
)
def test_examples_are_rewritten(code: str, expected: str) -> None:
    assert sync_code(code, "here") == expected


def test_examples_that_need_an_event_loop_are_an_error() -> None:
    with pytest.raises(UnknownError, match="uses asyncio"):
        sync_code("async def f():\n    await asyncio.gather(a(), b())", "here")
    with pytest.raises(UnknownError, match="not Python"):
        sync_code("for in", "here")


def test_docstrings_keep_their_prompts_and_lose_imports_of_asyncio() -> None:
    text = "Do it.\n\nExample:\n    >>> import asyncio\n"
    text += "    >>> async def f(c):\n    ...     await c.x()\n    >>> asyncio.run(f())"
    rewritten = Docstrings().rewrite(text, "here")
    assert rewritten == "Do it.\n\nExample:\n    >>> def f(c):\n    ...     c.x()\n    >>> f()"


def test_prose_is_rewritten() -> None:
    text = "``await handle`` or `await client.aclose()`, `async with AsyncAIHub`; takes an async iterable."
    expected = "``handle.wait()`` or `client.close()`, `with AIHub`; takes an async iterable."
    assert Docstrings().rewrite(text, "here") == expected


def test_stale_missing_and_orphaned_files_are_found(tmp_path) -> None:
    (tmp_path / "same.py").write_text("1")
    (tmp_path / "stale.py").write_text("2")
    (tmp_path / "orphan.py").write_text("3")
    (tmp_path / "__pycache__").mkdir()
    assert difference({"same.py": "1", "stale.py": "new", "missing.py": "4"}, tmp_path) == [
        "stale.py is out of date",
        "missing.py is out of date",
        "orphan.py has no source any more",
    ]


def test_the_command_writes_and_checks(tmp_path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "orphan.py").write_text("")
    assert main(["--check"], target=tmp_path) == 1
    assert "orphan.py has no source" in capsys.readouterr().err
    assert main([], target=tmp_path) == 0
    assert main(["--check"], target=tmp_path) == 0
    assert not (tmp_path / "orphan.py").exists()
    assert main(["--wrong"], target=tmp_path) == 2
