"""The markup of the page. Everything that comes from documents, names or servers is escaped here."""

import base64
import hashlib
import html
import importlib.resources
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from aihub_async.results.fields import Box
from aihub_async.results.view.contents import ShownDocument, ShownField
from aihub_async.results.view.pictures import Pages, Picture, TextPages, UnreadablePages


def escaped(text: str) -> str:
    """Return a text for markup and quoted attributes; control characters become the replacement character."""
    plain = "".join(char if char in "\n\t" or char.isprintable() or char == " " else "\ufffd" for char in text)
    return html.escape(plain.encode("utf-8", "replace").decode())


def _asset(name: str) -> str:
    return importlib.resources.files("aihub_async.results.view").joinpath(name).read_text(encoding="utf-8")


def _digest(text: str) -> str:
    return "'sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() + "'"


def head(title: str, subtitle: str, facts: str, classes: Iterable[str], notices: Iterable[str]) -> str:
    """Return everything before the first document.

    The policy permits this one script and this one style sheet by their digests, pictures as data, and nothing else: no
    request leaves the page, and no script that a document brings can run.
    """
    style, script = _asset("style.css"), _asset("script.js")
    policy = (
        f"default-src 'none'; img-src data:; style-src {_digest(style)}; script-src {_digest(script)}; "
        "base-uri 'none'; form-action 'none'"
    )
    options = "".join(f'<option value="{escaped(name)}">{escaped(name)}</option>' for name in classes)
    shown = "".join(f'<p class="notice">{escaped(notice)}</p>' for notice in notices)
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{html.escape(policy)}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="referrer" content="no-referrer">
<title>{escaped(title)} {escaped(subtitle)}</title>
<style>{style}</style>
</head>
<body>
<header class="top">
<h1>{escaped(title)} <code>{escaped(subtitle)}</code></h1>
<p class="facts">{facts}</p>
<div class="tools">
<input type="search" id="search" placeholder="Search values" aria-label="Search files, names and values">
<select id="class" aria-label="Class of document"><option value="">All classes</option>{options}</select>
<label class="range">Confidence below
<input type="range" id="limit" min="0" max="100" value="100"><output id="limit-text">any</output></label>
<button type="button" id="problems" aria-pressed="false">Problems only</button>
<button type="button" id="next" title="Next problem (n)">Next problem</button>
<button type="button" id="theme" aria-label="Light or dark" title="Light or dark (t)">&#9680;</button>
</div>
</header>
<main>
{shown}<p class="none" id="none" hidden>Nothing matches the filters.</p>
"""


def foot() -> str:
    """Return everything after the last document."""
    keys = (
        ("n", "next problem"), ("p", "previous"), ("j", "next field"), ("k", "previous"), ("f", "problems only"),
        ("/", "search"), ("t", "theme"),
    )  # fmt: skip
    listed = " &nbsp; ".join(f"<kbd>{key}</kbd> {what}" for key, what in keys)
    return f'<p class="keys">{listed}</p>\n</main>\n<script>{_asset("script.js")}</script>\n</body>\n</html>\n'


def document(shown: ShownDocument, place: int, pages: Pages | None, numbers: Sequence[int]) -> Iterator[str]:
    """Return one document, a page at a time: pictures are large.

    Args:
        shown: the document.
        place: its number on the page, for ids.
        pages: the pages of its file; None to show the fields alone.
        numbers: the pages to show, counted from 1.
    """
    problem = ' data-problem=""' if shown.problems else ""
    bare = pages is None
    yield (
        f'<section class="doc" id="d{place}" data-class="{escaped(shown.class_name or "")}" '
        f'data-file="{escaped(shown.file)}"{problem}>\n<header><h2>{escaped(shown.file)}</h2>'
        f'<span class="facts">{_where(shown, numbers)}</span>{_chips(shown)}</header>\n'
    )
    if shown.reasons:
        yield "".join(f'<p class="notice">{escaped(reason)}</p>\n' for reason in shown.reasons)
    yield f'<div class="split{" bare" if bare else ""}">\n'
    if pages is not None:
        yield '<div class="pages">\n'
        yield from _pages(shown, place, pages, numbers)
        yield "</div>\n"
    yield '<ol class="fields">\n'
    yield from (_field(field, f"d{place}f{number}") for number, field in enumerate(shown.fields))
    yield "</ol>\n</div>\n</section>\n"


def _where(shown: ShownDocument, numbers: Sequence[int]) -> str:
    parts = [] if shown.number is None or shown.class_name == "packet" else [f"document {shown.number + 1}"]
    if numbers:
        span = f"{numbers[0]}" if len(numbers) == 1 else f"{numbers[0]}&ndash;{numbers[-1]}"
        parts.append(f"page{'s' if len(numbers) > 1 else ''} {span}")
    return " &middot; ".join(parts)


def _chips(shown: ShownDocument) -> str:
    chips = [*shown.chips]
    if shown.problems:
        chips.append(("bad", f"{shown.problems} problem{'s' if shown.problems > 1 else ''}"))
    return "".join(f'<span class="chip {kind}">{escaped(text)}</span>' for kind, text in chips)


def _field(field: ShownField, key: str) -> str:
    attributes = f'id="{key}" data-f="{key}" tabindex="0"'
    attributes += ' data-problem=""' if field.state == "bad" else ""
    attributes += ' data-box=""' if field.boxes else ""
    attributes += "" if field.score is None else f' data-score="{field.score:.6g}"'
    value = f'<div class="value">{escaped(field.value)}</div>' if field.value else _nothing(field)
    reasons = "".join(f'<div class="why">{escaped(reason)}</div>' for reason in field.reasons)
    notes = "".join(f'<div class="note">{escaped(note)}</div>' for note in field.notes)
    name = f'<div class="name"><span>{escaped(field.name)}</span>{_score(field)}</div>'
    return f'<li class="field {field.state}" {attributes}>{name}{value}{reasons}{notes}</li>\n'


def _nothing(field: ShownField) -> str:
    return f'<div class="value empty">{"failed" if field.state == "bad" and field.reasons else "not found"}</div>'


def _score(field: ShownField) -> str:
    if field.scores is None:
        return '<span class="score"></span>'
    if field.score is None:
        return f'<span class="score" title="{escaped(field.scores)}">not measured</span>'
    share = min(max(field.score, 0.0), 1.0)
    bar = f'<svg viewBox="0 0 100 10" preserveAspectRatio="none"><rect width="{share * 100:.0f}" height="10"/></svg>'
    return f'<span class="score {field.state}" title="{escaped(field.scores)}">{bar}{share:.0%}</span>'


def _pages(shown: ShownDocument, place: int, pages: Pages, numbers: Sequence[int]) -> Iterator[str]:
    if isinstance(pages, TextPages):
        yield f'<pre class="sheet" tabindex="0">{escaped(pages.text)}</pre>\n'
        return
    if isinstance(pages, UnreadablePages):
        yield f'<div class="sheet blank">{escaped(pages.reason)}</div>\n'
        return
    for number in numbers:
        picture = pages.picture(number)
        caption = f"<figcaption>page {number}</figcaption>"
        if picture is None:
            yield f'<figure class="page"><div class="sheet blank">Page {number} is not shown.</div>{caption}</figure>\n'
        else:
            yield f'<figure class="page">{_sheet(shown, place, number, picture)}{caption}</figure>\n'


def _sheet(shown: ShownDocument, place: int, number: int, picture: Picture) -> str:
    # Boxes are in the units of the layout; without one, in those of the file itself.
    width, height = shown.layouts.get(number, picture.units)
    rects = "".join(
        _rect(box, f"d{place}f{index}", field, width * _MARGIN)
        for index, field in enumerate(shown.fields)
        for box in field.boxes
        if box.page == number
    )
    return (
        f'<div class="sheet"><img width="{picture.width}" height="{picture.height}" alt="page {number}" '
        f'data-src="{picture.url}"><svg viewBox="0 0 {width:g} {height:g}" preserveAspectRatio="none" '
        f'aria-hidden="true">{rects}</svg></div>'
    )


_MARGIN: Final = 0.0016
"""Between a value and its frame, as a part of the page's width: one point on paper of letter size."""


def _rect(box: Box, key: str, field: ShownField, margin: float) -> str:
    values = {
        "x": box.left - margin,
        "y": box.top - margin,
        "width": box.right - box.left + 2 * margin,
        "height": box.bottom - box.top + 2 * margin,
        "rx": 1.5 * margin,
    }
    numbers = " ".join(f'{name}="{value:.6g}"' for name, value in values.items())
    return f'<rect data-f="{key}" class="{field.state}" {numbers}/>'
