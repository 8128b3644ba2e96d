"""Counting pages without any PDF library: PDF, TIFF, and images of one page. The count of other files is unknown."""

import re
import struct
import zlib
from pathlib import Path
from typing import BinaryIO, Final

_IMAGES: Final = frozenset({"bmp", "gif", "heic", "jpe", "jpeg", "jpg", "png", "webp"})
_TOKEN: Final = re.compile(rb"<<|>>|\bendobj\b|/Type\s*/Pages\b|/Count\s+(\d+)")
_STREAM: Final = re.compile(rb"/Type\s*/ObjStm\b.*?stream\r?\n", re.DOTALL)
_MOST_OBJECTS: Final = 64 << 20
"""Bytes of one decompressed object stream at most, so that a small file cannot fill the memory."""
_MOST_IMAGES: Final = 1_000_000


def count_pages(path: Path) -> int | None:
    """Return the number of pages of a file; None where it is not known, such as for office formats.

    A damaged or encrypted PDF may be unknown too. The whole file is read.
    """
    kind = path.suffix.lower().lstrip(".")
    try:
        if kind == "pdf":
            return _pdf_pages(path.read_bytes())
        if kind in {"tif", "tiff"}:
            with path.open("rb") as file:
                return _tiff_pages(file)
    except (OSError, struct.error):
        return None
    return 1 if kind in _IMAGES else None


def _pdf_pages(content: bytes) -> int | None:
    counts = _page_counts(content)
    for match in _STREAM.finditer(content):
        try:
            objects = zlib.decompressobj().decompress(content[match.end() :], _MOST_OBJECTS)
        except zlib.error:
            continue
        counts += _page_counts(objects)
    # The root of the page tree has the highest count.
    return max(counts, default=0) or None


def _page_counts(content: bytes) -> list[int]:
    """Return the counts of all page tree nodes."""
    found: list[int] = []
    open_nodes: list[list[int]] = []
    for match in _TOKEN.finditer(content):
        token = match[0]
        if token == b"<<":
            open_nodes.append([0, 0])
        elif token == b"endobj":
            # What looked like brackets in binary data ends with its object.
            open_nodes.clear()
        elif not open_nodes:
            continue
        elif token == b">>":
            is_node, count = open_nodes.pop()
            if is_node and count:
                found.append(count)
        elif match[1] is not None:
            open_nodes[-1][1] = int(match[1][:9])
        else:
            open_nodes[-1][0] = 1
    return found


def _tiff_pages(file: BinaryIO) -> int | None:
    """Return the number of images in a TIFF or BigTIFF file."""
    head = file.read(16)
    order = {b"II": "<", b"MM": ">"}.get(head[:2])
    if order is None:
        return None
    (version,) = struct.unpack(order + "H", head[2:4])
    is_big = version == 43
    count_kind, offset_kind, entry = ("Q", "Q", 20) if is_big else ("H", "I", 12)
    (offset,) = struct.unpack(order + offset_kind, head[8:16] if is_big else head[4:8])
    seen: set[int] = set()
    while offset and offset not in seen and len(seen) < _MOST_IMAGES:
        seen.add(offset)
        file.seek(offset)
        (entries,) = struct.unpack(order + count_kind, file.read(struct.calcsize(count_kind)))
        file.seek(entries * entry, 1)
        (offset,) = struct.unpack(order + offset_kind, file.read(struct.calcsize(offset_kind)))
    return len(seen) or None
