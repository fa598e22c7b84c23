"""The webhook routes: plain ones, whose endpoints read the request themselves."""

from typing import Any

import pytest
from starlette.requests import Request

from tests.kit.receiver import SECRET, Receiver, raw
from tests.kit.signing import github

BODY = b'{"tenant_id": "acme", "ticket_id": "1"}'


async def test_added_middleware_sees_each_webhook() -> None:
    receiver, seen = Receiver(), []

    @receiver.app.middleware("http")
    async def note(request: Request, call_next: Any) -> Any:
        seen.append(request.url.path)
        return await call_next(request)

    assert (await receiver.post([BODY], raw(github(SECRET, BODY))))[0] == 202
    assert (await receiver.post([BODY], [], path="/webhook/acme"))[0] == 403
    assert seen == ["/webhook", "/webhook/acme"]


@pytest.mark.parametrize(("secrets", "status"), [((SECRET, "another"), 202), (("another", SECRET), 403)])
async def test_of_two_headers_of_a_name_the_first_counts(secrets: tuple[str, str], status: int) -> None:
    headers = [header for secret in secrets for header in raw(github(secret, BODY))]
    assert (await Receiver().post([BODY], headers))[0] == status
