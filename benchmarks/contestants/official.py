"""The official SDK, one call after the other and in a pool of threads."""

import io
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from benchmarks.contestants.job import BATCH, WINDOW, Job


def _client(job: Job):
    from aihub import AIHub

    client = AIHub(api_root=job.root, api_key="benchmark", ib_context="benchmark")
    if job.certificate is not None:
        _trust(client, job.certificate)
    return client


def _trust(client: object, certificate: str) -> None:
    """Its connection pool takes the certificate from a setting that `AIHub()` does not pass on."""
    import urllib3

    rest = client.batches.api_instance.api_client.rest_client
    rest.pool_manager = urllib3.PoolManager(num_pools=4, maxsize=4, cert_reqs="CERT_REQUIRED", ca_certs=certificate)


def sequence(job: Job) -> Callable[[], None]:
    client = _client(job)

    def put_all() -> None:
        for path in job.files:
            client.batches.add_file(BATCH, path.name, path.read_bytes())

    def put_large() -> None:
        (path,) = job.files
        client.batches.add_large_file(BATCH, path.name, str(path))

    return put_large if job.large else put_all


def threads(job: Job) -> Callable[[], None]:
    client = _client(job)

    def put(path):
        client.batches.add_file(BATCH, path.name, io.BytesIO(path.read_bytes()))

    def put_all() -> None:
        with ThreadPoolExecutor(job.concurrency or WINDOW) as pool:
            for _ in pool.map(put, job.files):
                pass

    return put_all
