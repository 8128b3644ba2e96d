"""The visible text of HTML, parsed by lxml."""

import codecs
import re
from html import escape

from lxml import etree, html  # pyright: ignore[reportAttributeAccessIssue]  # a C extension without stubs

from aihub_async.emulator.reading.text import UnreadableFileError, decode

_CHARSET = re.compile(rb"""<(?:meta|\?xml)[^>]*?(?:charset|encoding)\s*=\s*["']?\s*([\w.:-]+)""", re.IGNORECASE)
_XML = re.compile(r"^\s*<\?xml[^>]*\?>")
_CDATA = re.compile(r"<!\[CDATA\[(.*?)\]\]>", re.DOTALL)
_PRESCAN = 4096  # bytes in which a declaration of the encoding is looked for; browsers look at 1,024

# The encoding standard of the web reads these names as the Windows encodings that contain them.
_WEB_NAMES = {"iso8859-1": "cp1252", "ascii": "cp1252", "iso8859-9": "cp1254", "tis-620": "cp874"}

_HIDDEN = frozenset({"script", "style", "template", "title", "head", "noscript"})
_BLOCKS = frozenset(
    [
        "address",
        "article",
        "aside",
        "blockquote",
        "body",
        "caption",
        "center",
        "dd",
        "details",
        "dialog",
        "div",
        "dl",
        "dt",
        "fieldset",
        "figcaption",
        "figure",
        "footer",
        "form",
        "h1",
        "h2",
        "h3",
        "h4",
        "h5",
        "h6",
        "header",
        "hr",
        "html",
        "legend",
        "li",
        "main",
        "nav",
        "ol",
        "option",
        "p",
        "pre",
        "section",
        "summary",
        "table",
        "tbody",
        "tfoot",
        "thead",
        "ul",
    ]
)


def html_text(content: bytes) -> str:
    """Return the visible text of an HTML file, a line per block or table row.

    Raises:
        UnreadableFileError: not text.
    """
    return markup_text(decode(content, _declared(content)))


def markup_text(markup: str) -> str:
    """Return the visible text of HTML."""
    if _XML.match(markup):
        # XHTML has character data sections, which HTML takes for comments. A declaration of the encoding would be
        # refused: the text is decoded already.
        markup = _CDATA.sub(lambda found: escape(found[1]), _XML.sub("", markup))
    if not markup.strip():
        return ""
    try:
        root = html.document_fromstring(markup, parser=html.HTMLParser(remove_comments=True, remove_pis=True))
    except (etree.ParserError, ValueError) as error:
        if "empty" in str(error):
            return ""
        raise UnreadableFileError(f"The HTML cannot be read: {error}.") from error
    return "\n".join(_lines(root))


def _declared(content: bytes) -> str | None:
    found = _CHARSET.search(content[:_PRESCAN])
    if found is None:
        return None
    try:
        name = codecs.lookup(found[1].decode("ascii")).name
    except LookupError:
        return None
    # The declaration was read as ASCII, so the file is not UTF-16, even if it declares so.
    return "utf-8" if name.startswith("utf-16") else _WEB_NAMES.get(name, name)


class _Lines:
    """Collects text; `end_line` closes the current line."""

    def __init__(self) -> None:
        self.done: list[str] = []
        self._current: list[str] = []

    def add(self, text: str | None) -> None:
        if text:
            self._current.append(text)

    def end_line(self) -> None:
        line = " ".join("".join(self._current).split())
        self._current = []
        if line:
            self.done.append(line)


def _lines(element: etree._Element) -> list[str]:
    lines = _Lines()
    _walk(element, lines)
    lines.end_line()
    return lines.done


def _walk(element: etree._Element, lines: _Lines) -> None:
    tag = element.tag if isinstance(element.tag, str) else ""
    if tag in _HIDDEN or "hidden" in element.attrib:
        return
    if tag == "br":
        lines.end_line()
    elif tag == "tr":
        lines.end_line()
        lines.done += _row([child for child in element if child.tag in {"td", "th"}])
    elif tag == "pre":
        for line in (element.text_content() if isinstance(element, html.HtmlElement) else "").splitlines():
            lines.end_line()
            lines.add(line)
        lines.end_line()
    else:
        _walk_children(element, lines, block=tag in _BLOCKS)


def _walk_children(element: etree._Element, lines: _Lines, *, block: bool) -> None:
    if block:
        lines.end_line()
    lines.add(element.text)
    for child in element:
        _walk(child, lines)
        lines.add(child.tail)
    if block:
        lines.end_line()


def _row(cells: list[etree._Element]) -> list[str]:
    """Return the lines of a table row: cells of one line side by side, the further lines of others below them."""
    done, beside, below = list[str](), list[str](), list[str]()
    for lines, nested in (content for content in map(_cell, cells) if content):
        if nested:
            done += [*_beside(beside), *below, *lines]
            beside, below = [], []
        else:
            beside.append(lines[0])
            below += lines[1:]
    return [*done, *_beside(beside), *below]


def _beside(cells: list[str]) -> list[str]:
    if len(cells) == 2:
        # Pages lay out a label and its value as a row of two cells.
        return [f"{cells[0].rstrip(':')}: {cells[1]}"]
    return ["  ".join(cells)] if cells else []


def _cell(cell: etree._Element) -> tuple[list[str], bool] | None:
    lines = _lines(cell)
    return (lines, cell.find(".//table") is not None) if lines else None
