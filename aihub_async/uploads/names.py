"""The names used in an upload, so that no file replaces another of the same upload."""

import unicodedata
from array import array

_SHARDS = 256
_FIRST_SLOTS = 16


def fold(name: str) -> str:
    r"""Return a text that is equal for names which some file system takes for the same: case and Unicode form.

    This is the only such rule: uploads and the plan of a bulk job must agree on it.

    Example:
        >>> fold("STRASSE.pdf") == fold("straße.pdf"), fold("\u0390.pdf") == fold("\u03aa\u0301.pdf")
        (True, True)
    """
    if name.isascii():
        return name.lower()
    # Folding can undo the normal form, and composing can make letters that fold: until nothing changes.
    folded = name
    while (again := unicodedata.normalize("NFC", unicodedata.normalize("NFD", folded).casefold())) != folded:
        folded = again
    return folded


class NameSet:
    """A set of names that keeps 64 bits of each, at most 22 bytes with its share of empty slots.

    A million names take 17 MB, where a set of strings would take 150. Two different names are mistaken for one with a
    probability of 3 in 100 million for a million names; the second is then refused, never lost.
    """

    def __init__(self) -> None:
        # Many small tables: none takes long when it has to grow.
        self._shards = [_Table() for _ in range(_SHARDS)]

    def add(self, name: str) -> bool:
        """Add a name; return False when it, or one that folds to the same, is there already."""
        # Python's string hash is keyed with a random number per process: a collision cannot be provoked.
        key = hash(fold(name)) & 0xFFFF_FFFF_FFFF_FFFF or 1
        return self._shards[key % _SHARDS].add(key)


class _Table:
    """An open-addressing hash table of non-zero 64-bit numbers."""

    __slots__ = ("_count", "_mask", "_slots")

    def __init__(self) -> None:
        self._slots = array("Q", bytes(8 * _FIRST_SLOTS))
        self._mask = _FIRST_SLOTS - 1
        self._count = 0

    def add(self, key: int) -> bool:
        slots, mask = self._slots, self._mask
        position = key >> 8 & mask
        while (found := slots[position]) != 0:
            if found == key:
                return False
            position = position + 1 & mask
        slots[position] = key
        self._count += 1
        if self._count * 4 > mask * 3:
            self._grow()
        return True

    def _grow(self) -> None:
        size = (self._mask + 1) * 2
        slots, mask = array("Q", bytes(8 * size)), size - 1
        for key in self._slots:
            if key:
                position = key >> 8 & mask
                while slots[position]:
                    position = position + 1 & mask
                slots[position] = key
        self._slots, self._mask = slots, mask
