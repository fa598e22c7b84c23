"""A tenant's desk for tests, on premises or in the cloud."""

import json
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import httpx2
import pytest
from redis.asyncio import Redis

from config.tenants import DeskSettings
from integrations.errors import ExternalError
from integrations.http import open_client
from integrations.ports import DeskLimits
from integrations.rate_limit import DeskRate
from integrations.resilience import Breaker, DeskHoldReason, Hold
from integrations.servicedesk.client import SERVICEDESK, ServiceDeskPlus
from observability import metrics
from tests.kit.clock import Clock
from tests.kit.simulators import Simulator

Edition = Literal["onpremises", "cloud"]
EDITIONS = pytest.mark.parametrize("edition", ["onpremises", "cloud"])
TENANT_OF = {"onpremises": "acme", "cloud": "globex"}
_EXTRA_KEY = {"status_code": 4001, "type": "failed", "message": "EXTRA_KEY_FOUND_IN_JSON", "field": "note"}
EXTRA_KEY_REFUSED: Any = {"response_status": {"status_code": 4000, "messages": [_EXTRA_KEY], "status": "failed"}}
"""A desk's answer to a note under the other edition's key."""
_RECORDED = Path(__file__).parents[1] / "integrations" / "recorded"


def settings(base: str, edition: Edition = "onpremises", name: str | None = None, **changed: Any) -> DeskSettings:
    tenant = name or TENANT_OF[edition]
    values: dict[str, Any] = {"url": f"{base}/{tenant}", "edition": edition, "api_key": "acme-key"}
    if edition == "cloud":
        values |= {"url": f"{base}/{tenant}/app/it", "accounts_url": f"{base}/{tenant}"}
        values |= {"client_id": "id", "client_secret": "secret", "refresh_token": "refresh"}
    return DeskSettings(**values | changed)


@asynccontextmanager
async def opened(
    desk: DeskSettings,
    *,
    timeout: float = 5,  # noqa: ASYNC109 -- the client's own limit is tested
    redis: Redis | None = None,
    transport: httpx2.AsyncBaseTransport | None = None,
    breaker: Breaker | None = None,
    rate: DeskRate | None = None,
    most_at_once: int = 32,
    holds: Mapping[str, Any] | None = None,
) -> AsyncIterator[ServiceDeskPlus]:
    http = open_client(connections=8) if transport is None else httpx2.AsyncClient(transport=transport)
    tenant_id = TENANT_OF[desk.edition]
    async with http:
        breaker = breaker or Breaker("desk", "desk unavailable")
        limits = DeskLimits(breaker, rate or DeskRate(tenant_id, 100_000, None), most_at_once, **holds or {})
        yield SERVICEDESK.open(tenant_id, desk, http, redis, timeout, limits)


def holds_by(clock: Clock) -> dict[str, Any]:
    """Return a desk client's holds on the test clock, without jitter."""
    hold_for = partial(Hold, "desk of acme", gauge=metrics.DESK_HELD, monotonic=clock, jitter=lambda low, _high: low)
    return {
        "hold": hold_for(reasons=[DeskHoldReason.CREDENTIALS_REFUSED]),
        "note_hold": hold_for(reasons=[DeskHoldReason.NOTES_REFUSED]),
    }


def new_ticket(desks: Simulator, edition: Edition = "onpremises", **more: Any) -> str:
    order = {"tenant": TENANT_OF[edition], "subject": "S", "send_webhook": False}
    return str(desks.change("POST", "/tickets", **order | more)["ticket_id"])


def has(words: str) -> Callable[[str], bool]:
    return lambda text: words in text


def notes_of(desks: Simulator, ticket_id: str, edition: Edition = "onpremises") -> list[dict[str, Any]]:
    notes: list[dict[str, Any]] = desks.look(f"/tickets/{TENANT_OF[edition]}/{ticket_id}")["notes"]
    return notes


def line_of(failure: ExternalError) -> str:
    return failure.phrase.template.format(**failure.values)


@dataclass(frozen=True)
class RecordedAnswer:
    """An answer of a desk of that edition to a request of that `kind`.

    Its `source` is a public project and its file, or an authority (`vendor` or `others`) and the place.
    """

    name: str
    source: str
    edition: str
    kind: str
    status: int
    body: dict[str, Any]


def recorded_answers() -> list[RecordedAnswer]:
    files = sorted(_RECORDED.glob("*.json"))
    return [RecordedAnswer(file.stem, **json.loads(file.read_text(encoding="utf-8"))) for file in files]
