"""Hostile cases 5 and 6: names that collide, and names that no URL can carry."""

import os

import pytest

from aihub_async.errors import InvalidRequestError
from aihub_async.uploads.names import NameSet, fold

NFC, NFD = "caf\u00e9.pdf", "cafe\u0301.pdf"


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("a.pdf", "a.pdf"),
        ("Scan.PDF", "scan.pdf"),
        (NFC, NFD),
        ("STRASSE.txt", "stra\u00dfe.txt"),
        ("K.txt", "\u212a.txt"),
    ],
)
async def test_colliding_names_never_replace_each_other(client, hub, batch, stored, sha256, first, second):
    report = await client.batches.upload(batch, [(first, b"first"), (second, b"second")], on_error="collect")
    assert report.records[0].error is None
    assert isinstance(report.records[1].error, InvalidRequestError)
    assert stored() == {first: sha256(b"first")}
    assert hub.requests.counts == {"addFileToBatch": 1}


async def test_a_non_utf8_name_is_that_files_error(client, hub, batch, folder, stored):
    folder.add(os.fsdecode(b"bad-\xff.txt"))
    folder.add("good.txt")
    report = await client.batches.upload(batch, folder.path, on_error="collect")
    assert [type(record.error) for record in report.failed] == [InvalidRequestError]
    assert report.failed[0].name == "bad-\udcff.txt"
    assert list(stored()) == ["good.txt"]
    assert hub.requests.total == 1


@pytest.mark.parametrize("name", ["", ".", "..", "a\0b", "a\nb", "x" * 256])
async def test_names_that_are_refused_before_anything_is_sent(client, hub, batch, name):
    report = await client.batches.upload(batch, [(name, b"x")], on_error="collect")
    assert isinstance(report.records[0].error, InvalidRequestError)
    for call in (client.batches.add_file, client.batches.add_large_file):
        with pytest.raises(InvalidRequestError):
            await call(batch, name, b"x")
    assert hub.requests.total == 0


async def test_odd_names_round_trip(client, batch, stored):
    names = ["a b?.pdf", "100%.pdf", "%2F.pdf", "a;b+c&d#e.pdf", "\u00e4\U0001f600.pdf", "\u6587" * 255]
    await client.batches.upload(batch, [(name, b"x") for name in names])
    assert set(stored()) == set(names)


def test_a_name_set_tells_new_from_known():
    names = NameSet()
    assert all(names.add(f"file-{number}.pdf") for number in range(50_000))
    assert not any(names.add(f"FILE-{number}.pdf") for number in range(50_000))


def test_folding_is_stable():
    for name in (NFC, NFD, "STRASSE", "\u0130.txt", "a"):
        assert fold(fold(name)) == fold(name)
    assert fold(NFC) == fold(NFD)
