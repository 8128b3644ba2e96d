"""The page at `/`, for people who open the emulator's address in a browser."""

from aihub_async._version import __version__
from aihub_async.emulator.apps import Apps
from aihub_async.emulator.router import PREFIX
from aihub_async.emulator.wire import Response

_TEXT = """\
The emulator of AI Hub, aihub-async {version}.

API root     {root}
Apps         {apps}
Deployments  {deployments}

Every request needs the token that the emulator was started with:
  curl -H "Authorization: Bearer $AIHUB_API_KEY" {root}/v2/batches
"""


def index_page(apps: Apps, host: str) -> Response:
    """Return what can be known without a token: the root and the names of apps."""
    text = _TEXT.format(
        version=__version__,
        root=f"http://{host}{PREFIX}",
        apps=", ".join(apps.names),
        deployments=", ".join(apps.deployment_ids),
    )
    headers = {"Content-Type": "text/plain; charset=utf-8", "X-Content-Type-Options": "nosniff"}
    return Response(200, text.encode(), headers)
