"""From a raw request target to an operation: the operations table as a tree of path segments."""

from collections.abc import Mapping
from urllib.parse import unquote

import attrs

from aihub_async.emulator.wire import ApiError, Handler
from aihub_async.operations import Operation

PREFIX = "/api"


@attrs.define
class _Node:
    fixed: dict[str, "_Node"] = attrs.field(factory=dict)
    variable: "_Node | None" = None
    takes_rest: bool = False
    routes: dict[str, "Route"] = attrs.field(factory=dict)


@attrs.frozen
class Route:
    """An operation, the handler that serves it, and the names of its path values in order."""

    operation: Operation
    handler: Handler
    names: tuple[str, ...]


class Router:
    """Finds the route of a method and a raw path; percent-encoded slashes stay within their segment."""

    def __init__(self, handlers: Mapping[Operation, Handler]) -> None:
        self._root = _Node()
        for operation, handler in handlers.items():
            self._add(operation, handler)

    def find(self, method: str, raw_path: str) -> tuple[Route, dict[str, str]]:
        """Return the route and the decoded values of its path.

        Raises:
            ApiError: 404 no such path, 405 no such method on it, 400 a segment that is not UTF-8.
        """
        if not raw_path.startswith(f"{PREFIX}/"):
            raise ApiError(404, "The API is below /api.")
        segments = raw_path[len(PREFIX) + 1 :].split("/")
        node, values = self._root, list[str]()
        for index, segment in enumerate(segments):
            if (fixed := node.fixed.get(segment)) is not None:
                node = fixed
            elif node.takes_rest:
                values.append("/".join(segments[index:]))
                break
            elif node.variable is not None:
                values.append(segment)
                node = node.variable
            else:
                raise ApiError(404, "There is no such endpoint.")
        if not node.routes:
            raise ApiError(404, "There is no such endpoint.")
        route = node.routes.get(method)
        if route is None:
            raise ApiError(405, f"{method} is not allowed here.", {"Allow": ", ".join(sorted(node.routes))})
        try:
            decoded = [unquote(value, errors="strict") for value in values]
        except UnicodeDecodeError:
            raise ApiError(400, "The path is not valid UTF-8.") from None
        return route, dict(zip(route.names, decoded, strict=True))

    def _add(self, operation: Operation, handler: Handler) -> None:
        node, names = self._root, list[str]()
        for segment in operation.path.strip("/").split("/"):
            if not segment.startswith("{"):
                node = node.fixed.setdefault(segment, _Node())
                continue
            names.append(segment.strip("{}*"))
            if segment.endswith("*}"):
                node.takes_rest = True
                break
            if node.variable is None:
                node.variable = _Node()
            node = node.variable
        node.routes[operation.method] = Route(operation, handler, tuple(names))
