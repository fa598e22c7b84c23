"""Link tokens: content, forgery and lifetime."""

import base64
import re
from datetime import date, timedelta
from hashlib import sha384
from uuid import UUID

import pytest
from itsdangerous import URLSafeSerializer

from config.settings import FeedbackPageSettings
from feedback.links import FeedbackLinks
from tests.feedback.visiting import KEY, OLD_KEY, TODAY

JOB = UUID("01936b2e-7c1a-7000-8000-0123456789ab")
URL = "https://feedback.example.com/notes"


def links(*keys: str, today: date = TODAY) -> FeedbackLinks:
    return FeedbackLinks(URL, tuple(key.encode() for key in keys or (KEY,)), today=lambda: today)


def token_of(link: str) -> str:
    return link.removeprefix(f"{URL}/f/")


TOKEN = token_of(links().link("acme", JOB))


@pytest.mark.parametrize("tenant_id", ["a", "acme", "x" * 63])
def test_a_link_says_its_tenant_and_its_job_and_stands_in_an_address_as_it_is(tenant_id: str) -> None:
    link = links().link(tenant_id, JOB)
    assert re.fullmatch(rf"{URL}/f/[A-Za-z0-9_.-]+", link)
    assert links().read(token_of(link)) == (tenant_id, JOB, False)


def test_a_link_works_for_90_days_and_then_is_known_as_expired() -> None:
    for days, expired in ((90, False), (91, True)):
        assert links(today=TODAY + timedelta(days=days)).read(TOKEN) == ("acme", JOB, expired)


def test_no_character_of_a_token_can_be_changed() -> None:
    for at, character in enumerate(TOKEN):
        for other in "AQgw-_" if character != "A" else "BQgw-_":
            if other != character:
                assert links().read(TOKEN[:at] + other + TOKEN[at + 1 :]) is None


@pytest.mark.parametrize(
    "token",
    [
        *("", "A", "x" * 10_000, TOKEN[:-1], TOKEN[1:], TOKEN + "A", TOKEN + "=", TOKEN + "\n", "../" + TOKEN),
        *(f"{TOKEN[:20]} {TOKEN[20:]}", TOKEN.replace("A", "\u0410")),
        base64.urlsafe_b64encode(b"\x01" + bytes(90)).decode().rstrip("="),
    ],
)
def test_what_is_cut_guessed_or_too_long_is_not_ours(token: str) -> None:
    assert links().read(token) is None


def test_what_the_key_signs_for_another_purpose_is_no_link() -> None:
    signed = URLSafeSerializer(KEY, salt="another", signer_kwargs={"key_derivation": "hmac", "digest_method": sha384})
    assert links().read(signed.dumps([TODAY.toordinal(), JOB.hex, "acme"])) is None


def test_links_of_the_key_before_go_on_working_and_those_of_others_do_not() -> None:
    old = token_of(links(OLD_KEY).link("acme", JOB))
    assert links(KEY, OLD_KEY).read(old) == ("acme", JOB, False)
    assert links(KEY, OLD_KEY).link("acme", JOB) == links(KEY).link("acme", JOB)
    assert links(KEY).read(old) is None


def test_a_link_shows_no_key() -> None:
    assert KEY not in repr(links())
    given = {"feedback_url": URL, "feedback_key": KEY, "feedback_previous_key": OLD_KEY}
    settings = FeedbackPageSettings.model_validate(given)
    assert KEY not in repr(settings)
    assert OLD_KEY not in repr(settings)
