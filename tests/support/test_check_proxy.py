"""`ai-agents check` with a failing proxy, and with addresses without TLS."""

import asyncio

import pytest

from config.settings import DeskClientSettings
from config.tenant_directory import TenantDirectory
from devstack.free_ports import free_port
from simulators.serving import serve_in_thread
from support.check.desk import desk_rows
from support.check.findings import Finding, State
from support.check.webhook import webhook_rows
from tests.config.given import ACME, CLOUD, tenant
from tests.kit.logs import StartLog
from tests.kit.proxy import ConnectProxy, serving_proxy
from tests.kit.receiver import Receiver
from tests.kit.tenants_toml import filed

SECRET = {"WEBHOOK_SECRET_GLOBEX": "s3cret"}
SERVERS = {"database_url": "postgresql://a:b@db/x", "redis_url": "redis://redis:6379/0"}
SEEN = {
    "http://u:wrong@127.0.0.1:%d": "407",
    "http://u:p@127.0.0.1:%d": "403",
    "http://127.0.0.1:1": "proxy unreachable",
    "http://proxy.invalid:3128": "proxy unreachable",
}


def failed(rows: list[Finding]) -> Finding:
    (row,) = (row for row in rows if row.state is State.FAILED)
    return row


@pytest.mark.parametrize("address", SEEN)
def test_a_proxy_that_refuses_or_is_not_there_has_its_own_remedy(address: str, start_log: StartLog) -> None:
    start_log()
    found: list[Finding] = []
    with serving_proxy(ConnectProxy(credentials="u:p", otherwise=403)) as proxy:
        url = address % proxy.port if "%" in address else address
        settings = DeskClientSettings(**SERVERS, https_proxy=url)  # type: ignore[arg-type]  # pydantic parses
        found += [failed(asyncio.run(desk_rows(tenant(given), settings, None))) for given in (ACME, CLOUD | SECRET)]
        found += [failed(asyncio.run(webhook_rows(tenant(ACME), "https://api.example.com/webhook", settings)))]
    assert [row.name for row in found] == ["desk address", "desk credentials", "webhook address"]
    for row, host in zip(found, ("desk.acme.example", "accounts.zoho.eu", "api.example.com"), strict=True):
        assert SEEN[address] in row.seen
        assert "HTTPS_PROXY" in row.remedy
        assert host in row.remedy


def test_an_accounts_host_that_is_not_reached_says_nothing_of_its_secrets(start_log: StartLog) -> None:
    start_log()
    given = filed(CLOUD | SECRET, {"globex.servicedesk.accounts_url": f"https://localhost:{free_port()}"})
    settings = DeskClientSettings(**SERVERS)  # type: ignore[arg-type]  # pydantic parses
    row = failed(asyncio.run(desk_rows(tenant(given), settings, None)))
    assert row.name == "desk credentials"
    assert "globex.servicedesk.accounts_url in tenants.toml is the accounts host" in row.remedy


def test_an_address_without_tls_has_no_certificate_that_is_in_order(start_log: StartLog) -> None:
    start_log()
    (acme,) = TenantDirectory(lambda: {"WEBHOOK_SECRET_ACME": "s3cret-of-acme"}).all()
    with serve_in_thread(Receiver().app) as address:
        rows = {row.name: row for row in asyncio.run(webhook_rows(acme, f"{address}/webhook", None))}
    assert rows["webhook secret"].state is State.OK
    assert rows["webhook certificate"].state is State.WARNING
    assert "nothing is encrypted" in rows["webhook certificate"].seen
    assert "https://" in rows["webhook certificate"].remedy
