"""Servers of 2024, which name some parameters and fields differently."""

import pytest

from aihub_async import AsyncAIHub, errors
from aihub_async.emulator import Emulator
from aihub_sync import AIHub


@pytest.fixture
async def old_hub():
    async with Emulator(api_version="2024", list_page_size=2) as hub:
        yield hub


async def test_batches_are_listed_page_by_page(old_hub):
    async with AsyncAIHub(old_hub.api_key, api_root=old_hub.api_root, api_version="2024") as client:
        ids = [(await client.batches.create(f"b{number}")).id for number in range(5)]
        assert sorted([batch.id async for batch in client.batches.iter(page_size=2)]) == ids
        assert len((await client.batches.list(limit=2, offset=4)).batches) == 1


async def test_without_the_version_the_list_repeats_itself(old_hub):
    async with AsyncAIHub(old_hub.api_key, api_root=old_hub.api_root) as client:
        for number in range(5):
            await client.batches.create(f"b{number}")
        with pytest.raises(errors.PaginationError):
            [batch async for batch in client.batches.iter(page_size=2)]


async def test_results_of_that_time(old_hub):
    async with AsyncAIHub(old_hub.api_key, api_root=old_hub.api_root, api_version="2024") as client:
        sources = [("a.txt", b"Total: 7")]
        processed = await client.process(sources, app_name="key-values", output_workspace="ops")
        results = await client.apps.runs.results(processed.run.id, include_confidence_scores=True)
        (document,) = results.files[0].documents
        assert document.doc_id == 0
        assert document.classification_confidence.to_dict().keys() == {"ocr"}
        assert [run.id for run in (await client.apps.runs.list(output_workspaces="ops")).runs] == [processed.run.id]
        assert (await client.apps.runs.list(output_workspaces=["nobody"])).runs == []


def test_the_sync_client_has_it_too():
    with Emulator(api_version="2024", list_page_size=2) as hub:
        with AIHub(hub.api_key, api_root=hub.api_root, api_version="2024") as client:
            for number in range(5):
                client.batches.create(f"b{number}")
            assert len(list(client.batches.iter(page_size=2))) == 5
