"""Packets: cross-class fields, which consolidate the fields of all documents of a run."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

import attrs


@attrs.frozen
class RunDocument:
    """One document of a run as a packet function sees it; `index` counts all documents of the run from 0."""

    index: int
    file_name: str
    class_name: str | None
    values: dict[str, str]


@attrs.frozen
class PacketField:
    """One cross-class field.

    Attributes:
        name: Name of the field.
        value: Its value.
        inputs: The options of a ranked field, as pairs of document index and field name.
        chosen: The option that was taken.
        failures: Failed validations, as pairs of type (such as `all_inputs_match`) and message.
        error: Why there is no value.
    """

    name: str
    value: str
    inputs: tuple[tuple[int, str], ...] = ()
    chosen: tuple[int, str] | None = None
    failures: tuple[tuple[str, str], ...] = ()
    error: str | None = None

    def view(self) -> dict[str, Any]:
        """Return the field in the shape of the API, with everything that any include flag may select."""
        view: dict[str, Any] = {
            "name": self.name,
            "value": "ERROR" if self.error else self.value,
            "edit_history": [],
            "validations": {
                "valid": not self.failures and not self.error,
                "failures": [{"type": kind, "msg": message} for kind, message in self.failures],
            },
        }
        if self.inputs:
            view["input_fields"] = [_option(option) for option in self.inputs]
        if self.chosen is not None:
            view["chosen_field"] = _option(self.chosen)
        if self.error:
            view["error_msg"] = self.error
        return view


def _option(option: tuple[int, str]) -> dict[str, Any]:
    return {"record_index": option[0], "refined_phrase_name": option[1]}


def run_documents(entries: Iterable[dict[str, Any]]) -> list[RunDocument]:
    """Return the documents of the stored results of a run, failed fields left out."""
    found: list[RunDocument] = []
    for entry in entries:
        for document in entry["documents"]:
            values = {field["field_name"]: field["value"] for field in document["fields"] if "error_msg" not in field}
            found.append(RunDocument(len(found), entry["original_file_name"], document["class_name"], values))
    return found


def shared_fields(documents: Sequence[RunDocument]) -> list[PacketField]:
    """Consolidate the fields that occur in several documents: the most frequent value wins.

    Values that differ are a failed validation of the type `all_inputs_match`.
    """
    places: dict[str, list[RunDocument]] = defaultdict(list)
    for document in documents:
        for name in document.values:
            places[name].append(document)
    return [_shared(name, holders) for name, holders in places.items() if len(holders) > 1]


def _shared(name: str, holders: Sequence[RunDocument]) -> PacketField:
    values = [document.values[name] for document in holders]
    value = max(values, key=values.count)  # of equally frequent ones, the first
    failures = () if len(set(values)) == 1 else (("all_inputs_match", f"The documents disagree on {name}."),)
    inputs = tuple((document.index, name) for document in holders)
    return PacketField(name, value, inputs, inputs[values.index(value)], failures)
