import pytest

from aihub_async import operations as ops
from aihub_async.errors import PaginationError, ProtocolError
from aihub_async.models import ListBatches
from aihub_async.models.decode import decode
from aihub_async.pagination import Page, Pages, listed, offset_page


def pages_of(*pages, key=None, start=None):
    asked = []

    async def fetch(cursor):
        asked.append(cursor)
        if len(asked) > 50:
            raise AssertionError("an endless loop")
        return pages[min(len(asked), len(pages)) - 1]

    return Pages(ops.LIST_FILES, fetch, key=key, start=start), asked


async def test_all_items_of_all_pages_in_order():
    pages, asked = pages_of(Page([1, 2], "a"), Page([3], "b"), Page([], None))
    assert [item async for item in pages] == [1, 2, 3]
    assert asked == [None, "a", "b"]
    assert await pages.next_page() is None
    assert [item async for item in pages] == []


async def test_page_by_page_and_going_on():
    pages, _ = pages_of(Page([1, 2], "a"), Page([3], None))
    assert await pages.next_page() == [1, 2]
    assert [item async for item in pages] == [3]
    assert await pages.next_page() is None


async def test_start():
    pages, asked = pages_of(Page([7], None), start=5)
    assert [item async for item in pages] == [7]
    assert asked == [5]


@pytest.mark.parametrize(
    ("pages", "requests"),
    [
        ([Page([1], "a"), Page([2], "a")], 2),
        ([Page([1], "a"), Page([2], "b"), Page([3], "a")], 3),
        ([Page([], "a")], 1),
        ([Page([1], "a"), Page([], "b")], 2),
        ([Page([1, 2], 2), Page([1, 2], 4)], 2),
    ],
    ids=["same token", "cycle of tokens", "empty first", "empty later", "same page"],
)
async def test_what_would_never_end_is_an_error(pages, requests):
    endless, asked = pages_of(*pages)
    with pytest.raises(PaginationError) as caught:
        [item async for item in endless]
    assert caught.value.operation == "listFiles"
    assert len(asked) == requests


async def test_an_offset_that_is_ignored_is_an_error_with_keys_too():
    pages, asked = pages_of(offset_page([1, 2], 0, 2), offset_page([1, 2], 2, 2), key=lambda item: item)
    with pytest.raises(PaginationError, match="repeats"):
        [item async for item in pages]
    assert asked == [None, 2]


async def test_items_that_moved_to_the_next_page_come_once():
    pages, _ = pages_of(Page([1, 2], 2), Page([2, 3], 4), Page([], None), key=lambda item: item)
    assert [item async for item in pages] == [1, 2, 3]


@pytest.mark.parametrize("body", [b'{"batches": []}', b'{"batches": null}', b"{}"])
def test_an_answer_without_items_is_the_end(body):
    answer = decode(ListBatches, body)
    assert listed(ops.LIST_BATCHES, answer, answer.batches, "batches") == []


@pytest.mark.parametrize("body", [b'{"error": "try later"}', b'{"status": "ERROR", "msg": "no"}'])
def test_an_answer_of_another_kind_is_not(body):
    answer = decode(ListBatches, body)
    with pytest.raises(ProtocolError) as caught:
        listed(ops.LIST_BATCHES, answer, answer.batches, "batches")
    assert caught.value.operation == "listBatches"
    assert "the answer has no `batches`, so it is not the end of the list" in str(caught.value)


async def test_a_list_that_grows_with_every_look_at_it_ends():
    pages, asked = pages_of(offset_page([2, 1], 0, 5), offset_page([1], 2, 5), key=lambda item: item)
    assert [item async for item in pages] == [2, 1]
    one, _ = pages_of(offset_page([1], 0, 5), offset_page([1], 1, 5), key=lambda item: item)
    assert [item async for item in one] == [1]
    assert asked == [None, 2]


def test_only_an_empty_page_ends_a_list_by_offset():
    assert offset_page([1, 2, 3], 10, 3) == Page([1, 2, 3], 13)
    assert offset_page([1, 2, 3], 10, 100) == Page([1, 2, 3], 13, short=True)
    assert offset_page([], 13, 3) == Page([], None, short=True)
