"""What an answer of the API means for a webhook, and how long to wait where it was not accepted."""

from dataclasses import dataclass
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Literal

from config.tenant_names import setting_suffix

FIRST_PAUSE_SECONDS = 1.0
FIRST_SLOW_PAUSE_SECONDS = 30.0
LONGEST_PAUSE_SECONDS = 300.0
_LONGEST_RETRY_AFTER_SECONDS = 3600.0


@dataclass(frozen=True, slots=True)
class Verdict:
    """`aside`: no try will ever do better. `slow`: a person has to mend something first. `words` are for the log.

    Not `reached`: the API has not seen it, so nothing speaks against this webhook more than against another one.
    """

    what: Literal["accepted", "aside", "later"]
    words: str
    slow: bool = False
    reached: bool = True


_ASIDE = {
    400: "the API can't read it",
    413: "it is too large for the API",
    415: "the API does not take its type",
    422: "the API finds no usable ticket id in it",
}
# How the API begins to say so: what stands in between may answer in JSON as well.
_REASONS = {
    400: ("malformed payload",),
    413: ("body too large",),
    415: ("compressed body", "unsupported content type"),
    422: ("malformed payload",),
}
_IN_ITS_PLACE = "is --to right, or does a proxy answer in its place"
_MENDED_BY_PEOPLE = {
    401: "what answers wants other credentials: is --to the API's address",
    403: "is WEBHOOK_SECRET_{tenant} the same as the API's, the tenant known there, and this machine's clock right",
    404: "is --to right, to its end /webhook",
    405: "is --to right, to its end /webhook",
    407: "the proxy wants credentials: they belong into HTTPS_PROXY",
}


def is_reason(status: int, detail: object) -> bool:
    """Return True if `detail` says in the API's words why it refuses a webhook for good with this status."""
    return isinstance(detail, str) and detail.startswith(_REASONS.get(status, ()))


def judge(status: int, tenant_id: str, *, by_api: bool = True) -> Verdict:
    """Return what an answer with this status means for a webhook of the tenant.

    `by_api`: its body is what the API says with it. What stands in between may answer anything, and under any status.
    """
    taken = 200 <= status < 300
    if not by_api and (taken or status in _ASIDE):
        return Verdict("later", f"status {status}, but not of the API: {_IN_ITS_PLACE}", slow=True)
    if taken:
        return Verdict("accepted", f"status {status}")
    if status in _ASIDE:
        return Verdict("aside", f"status {status}, {_ASIDE[status]}")
    if 300 <= status < 400:
        return Verdict("later", f"status {status}, redirected: --to must be the address itself", slow=True)
    if status in _MENDED_BY_PEOPLE:
        setting = setting_suffix(tenant_id)
        return Verdict("later", f"status {status}, {_MENDED_BY_PEOPLE[status].format(tenant=setting)}", slow=True)
    return Verdict("later", f"status {status}")


def pause_seconds(failures: int, *, slow: bool, jitter: float) -> float:
    """How long to wait after so many failures in a row; `jitter` from 0 to 1 takes up to a half of it away."""
    first = FIRST_SLOW_PAUSE_SECONDS if slow else FIRST_PAUSE_SECONDS
    # A power without a bound would not be a number any more.
    whole = min(LONGEST_PAUSE_SECONDS, first * 2.0 ** min(failures - 1, 20))
    return whole * (1 - jitter / 2)


def retry_after_seconds(header: str | None, now: float) -> float:
    """Return the wait of a `Retry-After`, given in seconds or as a date (RFC 9110): an hour at most; 0 without one."""
    if not header:
        return 0.0
    if header.isascii() and header.isdecimal():
        asked = float(header[:9])
    else:
        try:
            date = parsedate_to_datetime(header)
            asked = (date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp() - now
        except (ValueError, OverflowError):
            return 0.0
    return min(_LONGEST_RETRY_AFTER_SECONDS, max(0.0, asked))
