"""The feedback page at its own port as the API serves it, and a visitor."""

import socket
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import date
from typing import Any
from uuid import UUID

import httpx2
import pytest

from api import feedback
from cli.pilot.postgres import Postgres
from config.settings import ApiSettings
from config.tenant_directory import TenantDirectory
from jobs.feedback import FeedbackLinks
from tests.kit.postgres import Store, Table

KEY, OLD_KEY = "k" * 32, "p" * 32
TODAY = date(2026, 3, 1)
NOTE: dict[str, Any] = {"state": "completed", "model": "gpt-6-luna-2026", "enhancement": '{"prompt": "7"}'}
NOWHERE = "postgresql://app:pw@127.0.0.1:1/ai_agents"


class Visit:
    """A visitor's browser, and a maker of links."""

    def __init__(self, url: str, client: httpx2.AsyncClient) -> None:
        self.url = url
        self.client = client
        self.links = FeedbackLinks(url, (KEY.encode(),))

    def link(self, job_id: UUID, tenant_id: str = "acme") -> str:
        return self.links.link(tenant_id, job_id)

    async def vote(self, link: str, vote: str = "useful", **more: str) -> httpx2.Response:
        return await self.client.post(link, data={"vote": vote, **more})


@asynccontextmanager
async def visiting(database_url: str, path: str = "", **settings: str) -> AsyncIterator[Visit]:
    """Serve the page of both tenants at a free port; its address ends with `path`."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    url = f"http://127.0.0.1:{port}{path}"
    values = {"feedback_url": url, "feedback_key": KEY, "feedback_port": port, **settings}
    given = ApiSettings.model_validate({"database_url": database_url, "redis_url": "redis://127.0.0.1:1/0", **values})
    tenants = TenantDirectory(lambda: {"WEBHOOK_SECRET_ACME": "s", "WEBHOOK_SECRET_GLOBEX": "s"})
    listener = feedback.listen(given)
    async with feedback.serve(given, tenants, listener), httpx2.AsyncClient(trust_env=False, timeout=30) as client:
        yield Visit(url, client)


@pytest.fixture
async def visit(table: Table, server: Postgres) -> AsyncIterator[Visit]:  # noqa: ARG001 -- emptied by it
    async with visiting(server.url) as opened:
        yield opened


def rows(store: Store) -> list[Mapping[str, object]]:
    return list(store.table.run("SELECT tenant_id, job_id, prompt, model, vote, reason FROM feedback"))
