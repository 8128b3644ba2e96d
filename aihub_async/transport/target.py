"""Where requests go, and what every one of them carries."""

import attrs
from multidict import CIMultiDict
from yarl import URL

from aihub_async.config import ClientConfig


@attrs.frozen
class Target:
    """Where requests go: `api_root` in pieces, so that a URL is put together without parsing or normalising."""

    scheme: str
    authority: str
    base_path: str

    @classmethod
    def of(cls, api_root: str) -> "Target":
        """Take an `api_root` apart."""
        url = URL(api_root)
        return cls(url.scheme, url.raw_authority, url.raw_path.rstrip("/"))

    @property
    def server(self) -> str:
        """Host and port."""
        url = URL.build(scheme=self.scheme, authority=self.authority, encoded=True)
        return f"{url.raw_host}:{url.port}"

    def url(self, path: str, query: str) -> URL:
        """Return the URL of an encoded path below `api_root`, with an encoded query."""
        return URL.build(
            scheme=self.scheme,
            authority=self.authority,
            path=self.base_path + path,
            query_string=query,
            encoded=True,
        )


def default_headers(settings: ClientConfig, user_agent: str) -> CIMultiDict[str]:
    """Return the headers of every request."""
    headers = CIMultiDict({"User-Agent": user_agent, "Accept": "*/*"})
    if settings.key_source is None:
        headers["Authorization"] = f"Bearer {settings.api_key.reveal()}"
    if settings.ib_context is not None:
        headers["IB-Context"] = settings.ib_context
    headers.update(settings.headers.reveal())
    return headers
