"""The route of what is called most."""

import json
from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.routing import APIRoute
from starlette.datastructures import Headers
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

_in_json = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


class DirectRoute(APIRoute):
    """Hands the request to its endpoint, with what stands in the path, and sends what it returns.

    Its endpoints read bodies and make responses themselves, so FastAPI has nothing to look for, check or convert: that
    would be 60 of the 140 microseconds that it takes for a webhook. The schema is made from the endpoint as ever.
    """

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Return what is called for each request."""
        endpoint: Callable[..., Coroutine[Any, Any, Response]] = self.endpoint

        async def handle(request: Request) -> Response:
            return await endpoint(request, **request.path_params)

        return handle


class DirectApplication(FastAPI):
    """FastAPI, in which a webhook is told by its address, in front of all middleware.

    That is there for what an endpoint raises or leaves open, and for addresses that have to be looked for: a sixth of
    a webhook's CPU. An endpoint that takes the short way answers whatever goes wrong itself; it stands in the router
    as well, which answers other methods, and describes it.
    """

    short_way: tuple[str, Callable[[Request], Coroutine[Any, Any, Response]]] | None = None
    """An address, and what answers a POST to it."""

    def build_middleware_stack(self) -> ASGIApp:
        """Return what each request is given to."""
        whole_way = super().build_middleware_stack()
        if self.short_way is None:
            return whole_way
        path, endpoint = self.short_way

        async def choose(scope: Scope, receive: Receive, send: Send) -> None:
            if scope["type"] == "http" and scope["path"] == path and scope["method"] == "POST":
                response = await endpoint(_IndexedRequest(scope, receive))
                await response(scope, receive, send)
            else:
                await whole_way(scope, receive, send)

        return choose


class QuickJSONResponse(JSONResponse):
    """JSON as ever, by an encoder that is not made anew for each answer."""

    def render(self, content: Any) -> bytes:
        """Return the body."""
        return _in_json(content).encode()


class _IndexedHeaders(Headers):
    """Headers that are looked up: Starlette goes through all of them for each name, and a webhook's are a dozen."""

    def __init__(self, scope: Scope) -> None:
        super().__init__(scope=scope)
        # The first of a name counts, as ever.
        self._index = {name.decode("latin-1"): value.decode("latin-1") for name, value in reversed(self._list)}

    def __getitem__(self, key: str) -> str:
        return self._index[key.lower()]

    def get(self, key: str, default: Any = None) -> Any:
        """Return the first value of a name."""
        return self._index.get(key.lower(), default)

    def __contains__(self, key: object) -> bool:
        return isinstance(key, str) and key.lower() in self._index


class _IndexedRequest(Request):
    """A request whose headers are looked up."""

    def __init__(self, scope: Scope, receive: Receive) -> None:
        super().__init__(scope, receive)
        self._indexed = _IndexedHeaders(scope)

    @property
    def headers(self) -> Headers:
        """The headers, by names in lower case."""
        return self._indexed
