"""`ai-agents diagnose` without a verdict: the reason as text and as JSON."""

import asyncio
import json
from typing import Any

import pytest

from config.exits import NOT_DONE_EXIT, NOT_UNDERSTOOD_EXIT
from devstack.postgres import Postgres
from tests.kit.postgres import Store
from tests.system.by_hand import here

pytestmark = pytest.mark.usefixtures("untouched_logging")
SECRETS = {f"WEBHOOK_SECRET_{tenant}": f"secret of {tenant}, which is long" for tenant in ("ACME", "GLOBEX")}
BOTH = ["acme", "globex"]
NOBODYS = "01936b2e-7c1a-7000-8000-0123456789ab"


@pytest.mark.parametrize(
    ("words", "status", "says", "tenants"),
    [
        (["--ticket", "124"], NOT_UNDERSTOOD_EXIT, "Whose ticket is it? Say --tenant: acme, globex", BOTH),
        (["--ticket", "124", "--tenant", "nobody"], NOT_UNDERSTOOD_EXIT, "No tenant nobody is known here", BOTH),
        (["--job", NOBODYS], NOT_DONE_EXIT, "No job has the id", []),
    ],
)
async def test_without_a_verdict_there_is_json_all_the_same(
    words: list[str], status: int, says: str, tenants: list[str], store: Store, server: Postgres
) -> None:
    for tenant_id in BOTH:
        await store.accept(ticket_id="124", tenant_id=tenant_id)
    settings = {"DATABASE_URL": server.url, **SECRETS}
    answer = await asyncio.to_thread(here, "diagnose", *words, "--json", **settings)
    said: dict[str, Any] = json.loads(answer.stdout)
    assert (answer.returncode, said["exit_status"], said["verdict"]) == (status, status, None)
    assert said["tenants"] == tenants
    assert says in said["says"]
    assert said["says"] in answer.stderr
