"""Link tokens: content, forgery and lifetime."""

import base64
import re
from datetime import date, timedelta
from hashlib import sha384
from uuid import UUID

import pytest
from itsdangerous import URLSafeSerializer

from config.settings import FeedbackPageSettings
from feedback.links import LASTS_DAYS, FeedbackLinks, JobLink
from tests.feedback.visiting import KEY, OLD_KEY, TODAY

JOB = UUID("01936b2e-7c1a-7000-8000-0123456789ab")
URL = "https://feedback.example.com/notes"


def read(token: str, *keys: str, today: date = TODAY) -> JobLink:
    found = links(*keys, today=today).read(token)
    assert found is not None
    return found


def links(*keys: str, today: date = TODAY) -> FeedbackLinks:
    return FeedbackLinks(URL, tuple(key.encode() for key in keys or (KEY,)), today=lambda: today)


def token_of(link: str) -> str:
    return link.removeprefix(f"{URL}/f/")


TOKEN = token_of(links().link("acme", JOB))


def test_a_link_says_its_tenant_and_its_job_and_stands_in_an_address_as_it_is() -> None:
    assert re.fullmatch(rf"{URL}/f/[A-Za-z0-9_.-]+", links().link("acme", JOB))
    assert read(TOKEN) == ("acme", JOB, False)


@pytest.mark.parametrize("tenant_id", ["a", "x" * 63])
def test_the_shortest_and_the_longest_tenant_have_links(tenant_id: str) -> None:
    assert read(token_of(links().link(tenant_id, JOB))).tenant_id == tenant_id


def test_a_link_works_for_90_days_and_then_is_known_as_expired() -> None:
    assert LASTS_DAYS == 90
    assert not read(TOKEN, today=TODAY + timedelta(days=90)).expired
    assert read(TOKEN, today=TODAY + timedelta(days=91)).expired


def test_no_character_of_a_token_can_be_changed() -> None:
    for at, character in enumerate(TOKEN):
        for other in "AQgw-_" if character != "A" else "BQgw-_":
            if other != character:
                assert links().read(TOKEN[:at] + other + TOKEN[at + 1 :]) is None


@pytest.mark.parametrize(
    "token",
    [
        "",
        "A",
        "x" * 10_000,
        TOKEN[:-1],
        TOKEN[1:],
        TOKEN + "A",
        TOKEN + "=",
        TOKEN + "\n",
        f"{TOKEN[:20]} {TOKEN[20:]}",
        TOKEN.replace("A", "\u0410"),
        base64.urlsafe_b64encode(b"\x01" + bytes(90)).decode().rstrip("="),
        "../" + TOKEN,
    ],
)
def test_what_is_cut_guessed_or_too_long_is_not_ours(token: str) -> None:
    assert links().read(token) is None


def test_what_the_key_signs_for_another_purpose_is_no_link() -> None:
    signed = URLSafeSerializer(KEY, salt="another", signer_kwargs={"key_derivation": "hmac", "digest_method": sha384})
    assert links().read(signed.dumps([TODAY.toordinal(), JOB.hex, "acme"])) is None


def test_links_of_the_key_before_go_on_working_and_those_of_others_do_not() -> None:
    old = token_of(links(OLD_KEY).link("acme", JOB))
    assert read(old, KEY, OLD_KEY).job_id == JOB
    assert links(KEY, OLD_KEY).link("acme", JOB) == links(KEY).link("acme", JOB)
    assert links(KEY).read(old) is None


def test_a_link_shows_no_key() -> None:
    assert KEY not in repr(links())
    settings = FeedbackPageSettings.model_validate(
        {"feedback_url": URL, "feedback_key": KEY, "feedback_previous_key": OLD_KEY}
    )
    assert KEY not in repr(settings)
    assert OLD_KEY not in repr(settings)
    made = FeedbackLinks.of(settings)
    assert made is not None
    assert made.keys == (KEY.encode(), OLD_KEY.encode())
