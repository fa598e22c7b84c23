"""The short way to what is called most, and the whole way to all else."""

import json
from typing import Any

import pytest
from fastapi import FastAPI
from httpx import ASGITransport, AsyncClient, Response
from starlette.requests import Request

from api.direct_route import DirectApplication, QuickJSONResponse


async def tell_headers(request: Request) -> QuickJSONResponse:
    """Answer with what the endpoint sees of a request."""
    headers = request.headers
    seen: dict[str, Any] = {
        "first": headers.get("X-Twice"),
        "looked up": headers["x-TWICE"],
        "all": headers.getlist("x-twice"),
        "there": "x-Twice" in headers,
        "absent": headers.get("x-absent"),
        "default": headers.get("x-absent", "-"),
        "not there": "x-absent" in headers,
        "state": request.app.state.word,
        "body": (await request.body()).decode(),
        "umlaut": headers["x-umlaut"],
    }
    return QuickJSONResponse(seen, 202)


def application(kind: type[FastAPI]) -> FastAPI:
    app = kind(redirect_slashes=False)
    app.state.word = "ours"
    app.router.add_api_route("/webhook", tell_headers, methods=["POST"], response_model=None)
    app.router.add_api_route("/webhook/{tenant_id}", tell_headers, methods=["POST"], response_model=None)
    if isinstance(app, DirectApplication):
        app.short_way = "/webhook", tell_headers
    return app


async def asked(app: FastAPI, method: str, path: str) -> Response:
    sent = [("x-twice", "1"), ("X-Twice", "2"), ("x-umlaut", b"\xfc".decode("latin-1"))]
    headers = [(name.encode(), value.encode("latin-1")) for name, value in sent]
    async with AsyncClient(transport=ASGITransport(app), base_url="http://api") as client:
        return await client.request(method, path, headers=headers, content=b"{}")


@pytest.mark.parametrize(
    ("method", "path"), [("POST", "/webhook"), ("POST", "/webhook/acme"), ("GET", "/webhook"), ("POST", "/else")]
)
async def test_whichever_way_a_request_goes_its_answer_is_fastapis(method: str, path: str) -> None:
    ours, theirs = [await asked(application(kind), method, path) for kind in (DirectApplication, FastAPI)]
    assert (ours.status_code, ours.content) == (theirs.status_code, theirs.content)
    assert dict(ours.headers) == dict(theirs.headers)


async def test_the_short_way_goes_past_the_middleware_and_no_other_one_does() -> None:
    app, passed = application(DirectApplication), []

    @app.middleware("http")
    async def note(request: Request, go_on: Any) -> Any:
        passed.append(request.url.path)
        return await go_on(request)

    for path in ("/webhook", "/webhook/acme"):
        assert json.loads((await asked(app, "POST", path)).content)["umlaut"] == "\xfc"
    assert passed == ["/webhook/acme"]
