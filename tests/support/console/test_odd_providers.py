"""Slow providers, unusual keys and unusual claims."""

import asyncio
from typing import Any

import pytest

from tests.kit.logs import StartLog
from tests.support.console.provided import begun, came_back, with_provider
from tests.support.console.site import TOKENS, csrf_of


async def test_of_those_who_ask_for_a_silent_provider_few_wait() -> None:
    """No token is needed, and each waiting login holds a connection that users need."""
    async with with_provider() as (_, issuer, browser):
        issuer.silent_until = asyncio.Event()
        asked = [asyncio.ensure_future(browser.get("/login/provider")) for _ in range(20)]
        answers = asyncio.as_completed(asked)
        assert [(await next(answers)).status_code for _ in range(12)] == [503] * 12
        issuer.silent_until.set()
        assert [(await answer).status_code for answer in answers] == [303] * 8


@pytest.mark.parametrize("other", [{"kty": "EC", "crv": "BP-256", "x": "AA", "y": "AA"}, {"kty": "AKP"}, 7])
async def test_a_key_of_a_kind_that_we_do_not_know_takes_none_of_the_others(other: Any) -> None:
    async with with_provider() as (_, issuer, browser):
        issuer.others = [other]
        assert (await came_back(issuer, browser)).status_code == 303


async def test_a_provider_whose_keys_are_all_unknown_is_away() -> None:
    async with with_provider() as (_, issuer, browser):
        issuer.others, issuer.shown[:] = [{"kty": "AKP"}], []
        assert (await came_back(issuer, browser)).status_code == 503


async def test_a_provider_whose_keys_are_where_no_address_can_be_made_of_is_away() -> None:
    async with with_provider() as (_, issuer, browser):
        issuer.told = {"jwks_uri": f"https://ä{'a' * 70}.example/keys"}
        assert (await browser.get("/login/provider")).status_code == 503


@pytest.mark.parametrize("subject", ["jane.doe@desk.example", "x, role=operator", "an ERROR", "terror", "\u202eanna"])
async def test_a_subject_that_is_more_than_an_id_is_in_no_line(subject: str, start_log: StartLog) -> None:
    lines = start_log()
    async with with_provider() as (_, issuer, browser):
        issuer.claims = {"sub": subject}
        assert (await came_back(issuer, browser)).status_code == 303
        await browser.send("/change")
    said = [line for line in lines.getvalue().splitlines() if "visitor=" in line]
    marks = {line.partition("visitor=")[2].partition(",")[0] for line in said}
    assert (len(said), len(marks), subject in lines.getvalue()) == (2, 1, False)
    assert marks.pop().isalnum()


async def test_logins_in_several_tabs_do_not_end_each_other() -> None:
    async with with_provider() as (_, issuer, browser):
        query = await begun(browser)
        page = await browser.get("/login")
        back = {"code": issuer.grant(query), "state": query["state"]}
        assert (await browser.client.get("/login/provider/back", params=back)).status_code == 303
        form = {"token": TOKENS["ANNA"], "csrf": csrf_of(page)}
        assert (await browser.client.post("/login", data=form)).status_code == 303
        assert "anna" in (await browser.get("/")).text
    async with with_provider() as (_, _issuer, browser):
        page = await browser.get("/login")
        await begun(browser)
        form = {"token": TOKENS["ANNA"], "csrf": csrf_of(page)}
        assert (await browser.client.post("/login", data=form)).status_code == 303
