"""Images: read by Pillow; their text comes from a file next to them or from tesseract, where it is installed."""

import csv
import importlib
import io
import shutil
import subprocess
from collections import defaultdict
from typing import Any

import attrs

from aihub_async.emulator.documents import Fragment, Glyph, Page
from aihub_async.emulator.reading.text import NoTextError, UnreadableFileError, decode, lay_out

_TIMEOUT = 120  # seconds for one page
_DPI = 72.0  # of images without a resolution: one pixel is one point
_MOST_FRAMES = 800


def read_image(content: bytes, sidecar: bytes | None) -> tuple[Page, ...]:
    """Return the pages of an image.

    Raises:
        NoTextError: there is neither a text file next to it nor OCR; the pages have the image's size.
        UnreadableFileError: damaged.
    """
    frames = _frames(content)
    if sidecar is not None:
        return _from_text(decode(sidecar), frames)
    if frames is None:
        raise NoTextError("The emulator reads images when Pillow is installed: pip install 'aihub-async[office]'.")
    tesseract = shutil.which("tesseract")
    if tesseract is None:
        pages = tuple(Page(number, "", *_size(frame)) for number, frame in enumerate(frames, 1))
        hint = "install tesseract, or put the text next to the image as NAME.png.txt"
        raise NoTextError(f"The emulator has no OCR to read the image with: {hint}.", pages)
    return tuple(_recognized(number, frame, tesseract) for number, frame in enumerate(frames, 1))


def _frames(content: bytes) -> list[Any] | None:
    """Return the pages of the image, or None without Pillow."""
    try:
        image_module = importlib.import_module("PIL.Image")
        sequence = importlib.import_module("PIL.ImageSequence")
    except ImportError:
        return None
    try:
        with image_module.open(io.BytesIO(content)) as image:
            frames = [frame.copy() for frame in sequence.Iterator(image)]
    # Pillow raises its own and many built-in exceptions for damaged files; each concerns this one file.
    except Exception as error:
        raise UnreadableFileError(f"The image cannot be read: {type(error).__name__}.") from error
    return frames[:_MOST_FRAMES]


def _size(frame: Any) -> tuple[float, float]:
    """Return width and height in points."""
    horizontal, vertical = _resolution(frame)
    return frame.width * 72 / horizontal, frame.height * 72 / vertical


def _resolution(frame: Any) -> tuple[float, float]:
    given = frame.info.get("dpi") or (_DPI, _DPI)
    horizontal, vertical = float(given[0]), float(given[1])
    return (horizontal if horizontal > 1 else _DPI, vertical if vertical > 1 else _DPI)


def _from_text(text: str, frames: list[Any] | None) -> tuple[Page, ...]:
    pages = lay_out(text)
    if not frames:
        return pages
    sizes = [_size(frame) for frame in frames]
    return (
        tuple(attrs.evolve(page, width=size[0], height=size[1]) for page, size in zip(pages, sizes, strict=False))
        + pages[len(sizes) :]
    )


def _recognized(number: int, frame: Any, tesseract: str) -> Page:
    picture = io.BytesIO()
    frame.convert("RGB").save(picture, "PNG")
    command = [tesseract, "stdin", "stdout", "tsv"]
    try:
        done = subprocess.run(  # noqa: S603 - the command is fixed, the image is its input
            command, input=picture.getvalue(), capture_output=True, timeout=_TIMEOUT, check=True
        )
    except (subprocess.SubprocessError, OSError) as error:
        raise UnreadableFileError(f"OCR failed: {type(error).__name__}.") from error
    return recognized_page(number, done.stdout.decode(errors="replace"), _size(frame), _resolution(frame))


def recognized_page(number: int, table: str, size: tuple[float, float], resolution: tuple[float, float]) -> Page:
    """Return a page from tesseract's table of words; `size` is in points, `resolution` in dots per inch."""
    lines: dict[tuple[str, ...], list[dict[str, str]]] = defaultdict(list)
    for word in csv.DictReader(io.StringIO(table), delimiter="\t", quoting=csv.QUOTE_NONE):
        if word.get("level") == "5" and (word.get("text") or "").strip():
            lines[word["block_num"], word["par_num"], word["line_num"]].append(word)
    fragments = tuple(_line(words, resolution) for words in lines.values())
    sure = [float(word["conf"]) / 100 for words in lines.values() for word in words]
    confidence = round(sum(sure) / len(sure), 4) if sure else None
    return Page(number, "\n".join(line.text for line in fragments), *size, fragments, confidence)


def _line(words: list[dict[str, str]], resolution: tuple[float, float]) -> Fragment:
    text, glyphs = "", list[Glyph | None]()
    for word in words:
        if text:
            text += " "
            glyphs.append(None)
        left, width = (float(word[key]) * 72 / resolution[0] for key in ("left", "width"))
        top, height = (float(word[key]) * 72 / resolution[1] for key in ("top", "height"))
        each = width / len(word["text"])
        glyphs += [(left + at * each, top, left + (at + 1) * each, top + height) for at in range(len(word["text"]))]
        text += word["text"]
    placed = [glyph for glyph in glyphs if glyph is not None]
    left, top = min(glyph[0] for glyph in placed), min(glyph[1] for glyph in placed)
    right, bottom = max(glyph[2] for glyph in placed), max(glyph[3] for glyph in placed)
    return Fragment(text, left, top, right - left, bottom - top, tuple(glyphs))
