"""The base of every response model."""

from typing import Any, Self

from aihub_async.models.decode import decode, encode_any
from aihub_async.models.raw import KeepsRaw
from aihub_async.models.tolerant import structure_model


class Model(KeepsRaw):
    """An answer of the API: typed fields, and everything else that the server sent in `raw` and `extra`.

    Models are frozen attrs classes with fields named as on the wire. What the server left out, sent as null,
    or sent in a form that cannot be understood is None (for lists: empty); only a missing id is an error.
    """

    __slots__ = ()

    def to_json(self) -> str:
        """Return `to_dict()` as JSON text; NaN becomes null."""
        return encode_any(self.to_dict())

    @classmethod
    def from_dict(cls, obj: dict[str, Any]) -> Self:
        """Build the model from plain JSON types; `obj` is kept, not copied, as its `raw`.

        Raises:
            DecodeError: not an object, or a required id is missing.
        """
        return structure_model(cls, obj)

    @classmethod
    def from_json(cls, data: str | bytes) -> Self:
        """Build the model from JSON, as from an answer of the API.

        Raises:
            DecodeError: not JSON, not an object, or a required id is missing.
        """
        return decode(cls, data.encode(errors="surrogatepass") if isinstance(data, str) else data)
