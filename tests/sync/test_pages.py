import gc
from collections.abc import Iterator

from aihub_async.emulator import Emulator
from aihub_sync import AIHub, Pages
from aihub_sync._facade import Lease


class Source:
    """Two pages, and a note of being closed."""

    def __init__(self) -> None:
        self.pages = iter([["a", "b"], ["c"]])
        self.closed = 0

    async def next_page(self) -> list[str] | None:
        return next(self.pages, None)

    async def aclose(self) -> None:
        self.closed += 1


def test_one_crossing_a_page(client: AIHub, hub: Emulator) -> None:
    for number in range(5):
        client.batches.create(f"batch {number}")
    hub.requests.clear()
    assert len(list(client.batches.iter(page_size=2))) == 5
    # Three pages with items, and the empty one that is the end.
    assert hub.requests.count("listBatches") == 4


def test_iterating_goes_on_where_it_stopped(client: AIHub) -> None:
    pages = Pages(Source(), client._lease)
    assert next(pages) == "a"
    assert list(pages) == ["b", "c"]
    assert list(pages) == []


def test_pages_and_items_do_not_lose_anything(client: AIHub) -> None:
    pages = Pages(Source(), client._lease)
    assert next(pages) == "a"
    assert pages.next_page() == ["b"]
    assert pages.next_page() == ["c"]
    assert pages.next_page() is None


def test_left_half_way_by_close(client: AIHub) -> None:
    source = Source()
    with Pages(source, client._lease) as pages:
        assert next(pages) == "a"
    assert source.closed == 1
    assert list(pages) == []
    pages.close()
    assert source.closed == 1


def test_left_half_way_by_a_break(client: AIHub) -> None:
    source = Source()
    for item in Pages(source, client._lease):
        assert item == "a"
        break
    gc.collect()
    # A call behind it: the loop takes one after the other.
    client.batches.list()
    assert source.closed == 1


def test_a_client_that_is_closed_first(client: AIHub) -> None:
    source = Source()
    pages = Pages(source, client._lease)
    assert next(pages) == "a"
    client.close()
    del pages
    gc.collect()
    assert source.closed == 0


def test_an_upload_left_half_way(client: AIHub, hub: Emulator) -> None:
    batch = client.batches.create("x")
    asked: list[int] = []

    def sources() -> Iterator[tuple[str, bytes]]:
        for number in range(10_000):
            asked.append(number)
            yield f"{number}.txt", b"x"

    with client.batches.iter_upload(batch.id, sources()) as records:
        assert next(records).error is None
    total = len(asked)
    assert total < 2_000
    client.batches.list()
    assert len(asked) == total


def test_a_lease_outlives_its_client_in_what_came_from_it(hub: Emulator) -> None:
    pages = AIHub(hub.api_key, api_root=hub.api_root).batches.iter()
    gc.collect()
    assert isinstance(pages._lease, Lease)
    assert list(pages) == []
