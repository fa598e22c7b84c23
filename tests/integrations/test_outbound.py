"""Calls to a desk: TLS checks, bounded answers, credentials for its host only."""

from pathlib import Path

import pytest
import trustme

from config.tenants import DeskSettings, Tenant
from integrations.errors import DeskUnavailable
from integrations.http import LARGEST_ANSWER_BYTES, Outward, open_client
from integrations.rate_limit import DeskRate
from integrations.resilience import Breaker
from integrations.servicedesk.auth import DeskTokens
from integrations.servicedesk.calls import Limits
from integrations.servicedesk.client import ServiceDeskPlus
from tests.integrations.canned import CannedServer, serving, with_certificate
from tests.kit.desk import line_of


def limits() -> Limits:
    return Limits(Breaker("desk", "desk unavailable"), DeskRate("acme", 100_000, None), 8)


async def read_ticket(url: str, ca_bundle: Path | None = None) -> str:
    desk = DeskSettings(url=url, edition="onpremises", api_key="key-of-acme")
    async with open_client(connections=2, outward=Outward(ca_bundle=ca_bundle)) as http:
        client = ServiceDeskPlus(Tenant("acme", desk=desk), http, DeskTokens(http, None, 5), 5, limits())
        return (await client.read_ticket("1")).subject


async def test_a_private_authority_is_trusted_with_its_bundle_and_not_without(tmp_path: Path) -> None:
    authority = trustme.CA()
    bundle = tmp_path / "authority.pem"
    authority.cert_pem.write_to_path(str(bundle))
    with serving(CannedServer(), with_certificate(authority)) as server:
        assert await read_ticket(server.url, bundle) == "S"
        with pytest.raises(DeskUnavailable) as refused:
            await read_ticket(server.url)
    assert line_of(refused.value) == "ServiceDesk Plus API error: connection: certificate not trusted"
    assert server.authorities == ["key-of-acme"]


async def test_a_certificate_for_another_name_is_not_trusted_and_gets_no_key(tmp_path: Path) -> None:
    authority = trustme.CA()
    bundle = tmp_path / "authority.pem"
    authority.cert_pem.write_to_path(str(bundle))
    with (
        serving(CannedServer(), with_certificate(authority, "desk.example")) as server,
        pytest.raises(DeskUnavailable, match="certificate not trusted"),
    ):
        await read_ticket(server.url, bundle)
    assert server.authorities == []


async def test_an_answer_that_is_too_large_or_compressed_is_not_read() -> None:
    for body, encoding in ((b" " * (LARGEST_ANSWER_BYTES + 1), ""), (b"\x1f\x8b", "gzip"), (b"?", "br")):
        with (
            serving(CannedServer(body=body, encoding=encoding)) as server,
            pytest.raises(DeskUnavailable, match="invalid answer"),
        ):
            await read_ticket(server.url)


async def test_a_token_of_one_desk_is_not_sent_to_the_one_that_took_its_place() -> None:
    issued = CannedServer(body=b'{"access_token": "token-1", "expires_in": 3600}')
    with serving(issued) as accounts, serving(CannedServer()) as first, serving(CannedServer()) as second:
        async with open_client(connections=2) as http:
            tokens = DeskTokens(http, None, 5)
            for desk_server, token in ((first, b"token-1"), (second, b"token-2")):
                accounts.body = b'{"access_token": "%s", "expires_in": 3600}' % token
                desk = DeskSettings(
                    url=desk_server.url,
                    edition="cloud",
                    client_id="id",
                    client_secret="secret",
                    refresh_token="refresh",
                    accounts_url=accounts.url,
                )
                await ServiceDeskPlus(Tenant("acme", desk=desk), http, tokens, 5, limits()).read_ticket("1")
    assert first.authorities == ["Zoho-oauthtoken token-1"]
    assert second.authorities == ["Zoho-oauthtoken token-2"]


async def test_a_session_of_one_tenants_desk_is_not_anothers_on_the_same_host() -> None:
    with serving(CannedServer()) as server:
        async with open_client(connections=2) as http:
            for tenant_id in ("acme", "globex"):
                desk = DeskSettings(url=f"{server.url}/{tenant_id}", edition="onpremises", api_key="key")
                client = ServiceDeskPlus(Tenant(tenant_id, desk=desk), http, DeskTokens(http, None, 5), 5, limits())
                await client.read_ticket("1")
                await client.read_ticket("1")
    assert server.cookies == [""] * 4
