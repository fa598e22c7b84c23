"""The console in a real browser: light, dark, phone, keyboard, and axe."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from playwright.sync_api import Browser, Page

from tests.kit.browser import needs_chromium, overflow, running_chromium, violations
from tests.system.console_ground import TOKENS, ConsoleGround, ConsoleRoute, address, places

pytestmark = [pytest.mark.slow, needs_chromium]
LOOKS: dict[str, dict[str, Any]] = {
    "light": {"color_scheme": "light", "viewport": {"width": 1280, "height": 900}},
    "dark": {"color_scheme": "dark", "viewport": {"width": 1280, "height": 900}},
    "phone": {"color_scheme": "light", "viewport": {"width": 360, "height": 740}, "is_mobile": True, "has_touch": True},
    "dark phone": {"color_scheme": "dark", "viewport": {"width": 360, "height": 740}, "is_mobile": True},
}


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with running_chromium() as browser:
        yield browser


@contextmanager
def opened(chromium: Browser, ground: ConsoleGround, **look: Any) -> Iterator[tuple[Page, list[str]]]:
    """Open a page; yield it and the browser's errors: policy violations, failing scripts, missing files."""
    complaints: list[str] = []
    with chromium.new_context(base_url=ground.url, **look) as context:
        page = context.new_page()
        page.on("console", lambda said: complaints.append(said.text) if said.type in ("error", "warning") else None)
        page.on("pageerror", lambda failure: complaints.append(str(failure)))
        yield page, complaints


def log_in(page: Page, name: str) -> None:
    page.goto("/login")
    page.fill("#token", TOKENS[name])
    page.click("button.first")
    page.wait_for_url("/")


def pages(ground: ConsoleGround) -> list[tuple[ConsoleRoute, str]]:
    # A file is downloaded.
    return [(place, address(place, ground.ticket)) for place in places("GET") if "." not in place.path]


@pytest.mark.parametrize("look", LOOKS)
def test_each_page_is_accessible(look: str, console_ground: ConsoleGround, chromium: Browser) -> None:
    with opened(chromium, console_ground, **LOOKS[look]) as (page, complaints):
        page.goto("/login")
        found = {"/login": violations(page)}
        log_in(page, "operator")
        for place, path in pages(console_ground):
            answer = page.goto(path)
            assert answer is not None
            assert answer.status == 200, path
            # A part of a page is checked within its page.
            if page.locator("main").count():
                found[place.path] = violations(page)
                assert overflow(page) <= 0, place.path
        page.goto("/nothing")
        found["an error"] = violations(page)
    assert {path: wrong for path, wrong in found.items() if wrong} == {}
    assert [said for said in complaints if "404" not in said] == []


def test_one_logs_in_looks_and_leaves_by_keyboard_alone(console_ground: ConsoleGround, chromium: Browser) -> None:
    with opened(chromium, console_ground) as (page, complaints):
        page.goto("/tickets/acme/40011")
        assert page.evaluate("document.activeElement.id") == "token"
        page.keyboard.type("not the token")
        page.keyboard.press("Enter")
        page.wait_for_selector("[role=alert]")
        assert page.evaluate("document.activeElement.id") == "token"
        page.keyboard.type(TOKENS["support"])
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.textContent") == "Log in"
        assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
        page.keyboard.press("Enter")
        page.wait_for_selector(".who")
        assert page.url.startswith(f"{console_ground.url}/")
        page.goto("/")
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.textContent") == "Skip to content"
        page.keyboard.press("Enter")
        assert page.evaluate("document.activeElement.id") == "main"
        page.locator(".who button").focus()
        page.keyboard.press("Enter")
        page.wait_for_url("/login")
    # Chromium logs each response with an error status.
    assert [said for said in complaints if "403" not in said and "404" not in said] == []


def test_the_forms_of_report_and_jobs_are_filled_by_keyboard_alone(
    console_ground: ConsoleGround, chromium: Browser
) -> None:
    with opened(chromium, console_ground) as (page, complaints):
        log_in(page, "operator")
        page.goto("/report")
        tab_to(page, "tenant")
        page.keyboard.type("acme")
        tab_to(page, "minutes")
        page.keyboard.type("7")
        page.keyboard.press("Enter")
        page.wait_for_url("**/report?tenant=acme&*&minutes=7")
        assert page.text_content("h1") == "Value report of acme"
        page.goto("/")
        tab_to(page, "ticket")
        page.keyboard.type("40011")
        page.keyboard.press("Enter")
        page.wait_for_url("**ticket=40011*")
    assert complaints == []


def tab_to(page: Page, field: str) -> None:
    for _ in range(100):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.id") == field:
            assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
            return
    raise AssertionError(f"{field} is not reached")


def test_parts_are_renewed_and_an_ended_session_leads_to_login(
    console_ground: ConsoleGround, chromium: Browser
) -> None:
    with opened(chromium, console_ground) as (page, complaints):
        log_in(page, "operator")
        if not page.locator("[hx-get]").count():
            pytest.skip("no page has a live part")
        part = page.locator("[hx-get]").first.get_attribute("hx-get")
        with page.expect_response(f"**{part}") as again:
            pass
        assert again.value.status == 200
        assert again.value.request.headers["hx-request"] == "true"
        assert complaints == []
        page.context.clear_cookies()
        page.wait_for_url("**/login?next=*")


def test_a_refreshed_part_keeps_the_focus(console_ground: ConsoleGround, chromium: Browser) -> None:
    """Otherwise its stop link would lose the keyboard focus every five seconds."""
    with opened(chromium, console_ground) as (page, complaints):
        log_in(page, "operator")
        page.locator("#queue-updates").focus()
        before = page.locator("#queue").element_handle()
        assert before is not None
        page.wait_for_function("part => !part.isConnected", arg=before)
        assert page.evaluate("document.activeElement.textContent") == "Pause updates"
        page.keyboard.press("Enter")
        page.wait_for_url("**/?paused=yes")
    assert complaints == []


def test_without_scripts_all_of_it_works(console_ground: ConsoleGround, chromium: Browser) -> None:
    with opened(chromium, console_ground, java_script_enabled=False) as (page, _):
        log_in(page, "support")
        for _, path in pages(console_ground):
            answer = page.goto(path)
            assert answer is not None
            assert answer.status in (200, 403)
        page.goto("/")
        page.click(".who button")
        page.wait_for_url("/login")
