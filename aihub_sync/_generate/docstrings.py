"""Rewrite docstrings and examples of the async client for the sync one."""

import ast
import re
from collections.abc import Callable, Iterator

_Placed = ast.expr | ast.stmt


class UnknownError(Exception):
    """The generator met something that it has no rule for."""


PHRASES = {
    "A client of AI Hub for asyncio programs.": (
        "A client of AI Hub for scripts, threads, notebooks and workers.\n\n"
        "All clients of a process share one background thread; hooks, callbacks and sources are called there."
    ),
    "It can be used with or without `async with`, and by several `asyncio.run()` calls after each other.": (
        "It can be used with or without `with`, by many threads concurrently, inside a running loop, and after a fork."
    ),
}
"""Sentences that need other words; line breaks inside them do not matter."""

_WORDS = (
    (re.compile(r"\bAsyncAIHub\b"), "AIHub"),
    (re.compile(r"\baihub_async\b"), "aihub_sync"),
    (re.compile(r"\baclose\b"), "close"),
    (re.compile(r"(`+)await (\w+)`"), r"\1\2.wait()`"),
    (re.compile(r"(`+)await ([^`]+)`"), r"\1\2`"),
    (re.compile(r"(`+)async (with|for)\b"), r"\1\2"),
)
_LEFT_OVER = re.compile(
    r"\b(await\w*|async(?! (iterable|stream))|asyncio|anyio|coroutines?|event loops?)\b", re.IGNORECASE
)
_LITERAL = re.compile(r"``[^`]*``")
_EXAMPLE = re.compile(r"^( *)(>>>|\.\.\.)(?: (.*))?$")


class Docstrings:
    """Rewrite docstrings, and record which phrases were found."""

    def __init__(self) -> None:
        self.used: set[str] = set()

    def rewrite(self, text: str, where: str) -> str:
        """Return the docstring for the sync client.

        Raises:
            UnknownError: Words or code are left that only make sense with asyncio.
        """
        pieces = []
        for is_example, lines in _blocks(text.split("\n")):
            pieces.append(_example(lines, where) if is_example else self._prose("\n".join(lines), where))
        return "\n".join(pieces)

    def _prose(self, text: str, where: str) -> str:
        for phrase, other in PHRASES.items():
            pattern = r"\s+".join(map(re.escape, phrase.split()))
            if re.search(pattern, text):
                self.used.add(phrase)
                text = re.sub(pattern, lambda _, other=other: other, text)  # type: ignore[misc]
        for word, replacement in _WORDS:
            text = word.sub(replacement, text)
        left = _LEFT_OVER.search(_LITERAL.sub("", text))
        if left is not None:
            raise UnknownError(f"{where}: the docstring says {left[0]!r}; add its sentence to PHRASES")
        return text


def _blocks(lines: list[str]) -> Iterator[tuple[bool, list[str]]]:
    block: list[str] = []
    inside = False
    for line in lines:
        if block and bool(_EXAMPLE.match(line)) != inside:
            yield inside, block
            block = []
        inside = bool(_EXAMPLE.match(line))
        block.append(line)
    yield inside, block


def _example(lines: list[str], where: str) -> str:
    matches = [match for line in lines if (match := _EXAMPLE.match(line))]
    indent = matches[0][1]
    code = sync_code("\n".join(match[3] or "" for match in matches), where)
    numbered = [(">>>" if match[2] == ">>>" else "...") for match in matches]
    changed = code.split("\n")
    if len(changed) != len(numbered):
        raise UnknownError(f"{where}: the example changed its number of lines")
    return "\n".join(
        f"{indent}{prompt} {line}".rstrip() for prompt, line in zip(numbered, changed, strict=True) if line != _GONE
    )


_GONE = "\0"


def sync_code(code: str, where: str) -> str:
    """Remove `async` and `await` from code, and keep the layout of the rest.

    Raises:
        UnknownError: What is left is not sync code.
    """
    try:
        edits = sorted(_edits(ast.parse(code), code), reverse=True)
    except SyntaxError as error:
        raise UnknownError(f"{where}: the example is not Python: {error}") from None
    data = code.encode()
    for start, end, replacement in edits:
        data = data[:start] + replacement + data[end:]
    result = data.decode()
    for node in ast.walk(ast.parse(result.replace(_GONE, ""))):
        if isinstance(node, ast.Name) and node.id in {"asyncio", "anyio"}:
            raise UnknownError(f"{where}: the example uses {node.id} in a way that has no rule")
    return result


def _edits(tree: ast.Module, code: str) -> Iterator[tuple[int, int, bytes]]:
    data = code.encode()
    starts = [0]
    for line in data.split(b"\n"):
        starts.append(starts[-1] + len(line) + 1)

    def start(node: _Placed) -> int:
        return starts[node.lineno - 1] + node.col_offset

    def end(node: _Placed) -> int:
        return starts[(node.end_lineno or 0) - 1] + (node.end_col_offset or 0)

    for node in ast.walk(tree):
        yield from _edit(node, data, start, end)


def _edit(  # noqa: C901  # a table: one case for each thing that changes
    node: ast.AST, data: bytes, start: Callable[[_Placed], int], end: Callable[[_Placed], int]
) -> Iterator[tuple[int, int, bytes]]:
    """Yield the edits that one node needs: start, end and replacement."""
    match node:
        case ast.AsyncFor() | ast.AsyncWith() | ast.AsyncFunctionDef():
            yield start(node), start(node) + len(b"async "), b""
        case ast.comprehension(is_async=1):
            found = data.rindex(b"async for", 0, start(node.target))
            yield found, found + len(b"async "), b""
        case ast.Await(value=ast.Name() | ast.Call(func=ast.Attribute(attr="handle"))):
            yield start(node), start(node.value), b""
            yield end(node), end(node), b".wait()"
        case ast.Await():
            first, last = start(node), end(node)
            if re.search(rb"(^|[^\w)\]])\($", data[:first]) and data[last : last + 1] == b")":
                yield first - 1, start(node.value), b""
                yield last, last + 1, b""
            else:
                yield first, start(node.value), b""
        case ast.Call(func=ast.Attribute(value=ast.Name("asyncio"), attr="run"), args=[inner]):
            yield start(node), start(inner), b""
            yield end(inner), end(node), b""
        case ast.Import(names=[ast.alias("asyncio", None)]):
            yield start(node), end(node), _GONE.encode()
        case ast.Attribute(attr="aclose"):
            yield end(node) - len(b"aclose"), end(node), b"close"
        case ast.Name("AsyncAIHub"):
            yield start(node), end(node), b"AIHub"
        case ast.ImportFrom(module=str(module)) if module.split(".")[0] == "aihub_async":
            line = data[start(node) : end(node)]
            changed = line.replace(b"aihub_async", b"aihub_sync").replace(b"AsyncAIHub", b"AIHub")
            yield start(node), end(node), changed
        case _:
            pass
