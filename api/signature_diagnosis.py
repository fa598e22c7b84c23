"""Search for the cause of a signature mismatch, for support only.

A guess is a key, signed bytes and an encoding; a match proves the cause, because it requires the secret. The search is
bounded, so that a flood of bad signatures costs little. The caller never gets the cause.
"""

import asyncio
import base64
import hmac
import json
import re
import time
from collections.abc import Callable, Iterator
from itertools import chain, islice
from typing import Any

from api.authentication import Cause, SignatureClaim, SignatureMismatch
from config.tenant_directory import TenantDirectory

MAX_GUESSES = 2000
SEARCH_SECONDS = 0.025
BETWEEN_SEARCHES_SECONDS = 0.5
# A batch of this size takes a few milliseconds; other requests are served in between.
_AT_ONCE = 8
_TIMESTAMPS_APART_SECONDS = 5
_UNSENT_TIMESTAMP_SECONDS = 30
_HEX = re.compile(r"[0-9A-Fa-f]{64}")
_DIGEST_BYTES = 32
_AROUND = {
    "{}\n": "a line break behind",
    "{}\r\n": "a line break behind",
    "{} ": "a blank beside",
    " {}": "a blank beside",
    '"{}"': "quotes around",
    "'{}'": "quotes around",
}
_LAYOUTS: tuple[dict[str, Any], ...] = (
    {"separators": (",", ":")},
    {"separators": (",", ":"), "sort_keys": True},
    {},
    {"sort_keys": True},
    {"indent": 2},
    {"indent": 4},
)
RETIRED_CAUSE = "the retired secret"
# Serializing a large body again is slow.
_LARGEST_SERIALIZED_BYTES = 4096
_CHARSETS = ("latin-1", "cp1252", "utf-16-le", "utf-8-sig")


Guess = tuple[bytes, bytes, Cause]
"""A possible key and signed text, with the cause if it matches."""


def readings(claim: SignatureClaim) -> list[tuple[bytes, str]]:
    """Return digests that the header may contain, each with its encoding mistake."""
    found = [(signature, "") for signature in claim.signatures]
    text = claim.written.strip()
    code = text.rpartition(",")[2] if claim.standard else re.sub(r"^sha256[=:]", "", text, flags=re.IGNORECASE)
    if hexadecimal := _HEX.search(text):
        wrong = "the signature is written in hex" if claim.standard else "the signature has other characters around it"
        found.append((bytes.fromhex(hexadecimal[0]), wrong))
    plain = code.strip().rstrip("=").replace("-", "+").replace("_", "/")
    try:
        raw = base64.b64decode(plain + "=" * (-len(plain) % 4), validate=True)
    except ValueError:
        return found
    if len(raw) == _DIGEST_BYTES:
        wrong = "the signature lacks its v1" if claim.standard else "the signature is written in base64"
        found.append((raw, wrong))
    elif _HEX.fullmatch(raw.decode("latin-1")):
        found.append((bytes.fromhex(raw.decode()), "the signature is hex that is written in base64"))
    return found


def guesses(mismatch: SignatureMismatch, tenants: TenantDirectory) -> Iterator[Guess]:
    """Yield guesses, likely ones first, those of other tenants and times last."""
    claim, body = mismatch.claim, mismatch.body
    plain = claim.prefix + body
    keys = [claim.key_of(secret) for secret in mismatch.secrets]
    yield from ((key, plain, Cause("")) for key in keys)
    yield claim.key_of(mismatch.retired), plain, Cause(f"signed with {RETIRED_CAUSE}")
    forms = (_secret_forms(secret, claim) for secret in mismatch.secrets)
    for key, words in chain(*forms, _extended_forms(mismatch.retired, RETIRED_CAUSE)):
        yield key, plain, Cause(f"signed with {words}")
    for signed, words in chain(_timestamp_forms(claim, body), _body_forms(claim.prefix, body)):
        yield from ((key, signed, Cause(words)) for key in keys)
    owners = _foreign_secrets(mismatch, tenants)
    for secret, owner in owners.items():
        yield claim.key_of(secret), plain, _of_another(_secret_of(owner), owner)
    if claim.timestamp is None:
        for seconds in range(-_UNSENT_TIMESTAMP_SECONDS, _UNSENT_TIMESTAMP_SECONDS + 1):
            signed = f"{int(mismatch.now) + seconds}.".encode() + body
            yield from ((key, signed, Cause("signed with a timestamp that was not sent")) for key in keys)
    for secret, owner in owners.items():
        for key, words in _extended_forms(secret, _secret_of(owner)):
            yield key, plain, _of_another(words, owner)


def _extended_forms(secret: str, name: str) -> Iterator[tuple[bytes, str]]:
    return ((form.format(secret).encode(), f"{words} {name}") for form, words in _AROUND.items())


def _secret_forms(secret: str, claim: SignatureClaim) -> Iterator[tuple[bytes, str]]:
    yield from _extended_forms(secret, "the secret")
    if secret[:1] in ('"', "'") and secret[-1:] == secret[:1]:
        yield secret[1:-1].encode(), "the secret without the quotes around it"
    if claim.key_of(secret) != secret.encode():
        yield secret.encode(), "the secret itself, not decoded from base64"
    code = secret.removeprefix("whsec_")
    for decode, words in ((base64.b64decode, "base64"), (bytes.fromhex, "hex")):
        try:
            key = decode(code)
        except ValueError:
            continue
        if key:  # an empty key proves nothing
            yield key, f"the secret decoded from {words}"


def _timestamp_forms(claim: SignatureClaim, body: bytes) -> Iterator[tuple[bytes, str]]:
    sent = claim.timestamp
    if sent is None:
        return
    yield body, "signed without the timestamp that was sent"
    front = claim.prefix.removesuffix(sent.encode() + b".")
    if claim.standard:
        yield sent.encode() + b"." + body, "signed without the id that was sent"
    for joint in (b"", b":", b"\n", b","):
        signed = front + sent.encode() + joint + body
        yield signed, "signed with timestamp and body not joined by a dot"
    yield body + b"." + sent.encode(), "signed with the timestamp behind the body"
    if not (sent.isascii() and sent.isdecimal() and len(sent) <= 15):
        return
    timestamps = {
        int(sent) // 1000: "the timestamp in seconds, but sent in another unit",
        int(sent) * 1000: "the timestamp in milliseconds, but sent in another unit",
    }
    for apart in range(1, _TIMESTAMPS_APART_SECONDS + 1):
        timestamps[int(sent) - apart] = f"a timestamp {apart} s earlier than the one sent"
        timestamps[int(sent) + apart] = f"a timestamp {apart} s later than the one sent"
    for timestamp, words in timestamps.items():
        yield front + f"{timestamp}.".encode() + body, f"signed with {words}"


def _body_forms(prefix: bytes, body: bytes) -> Iterator[tuple[bytes, str]]:
    tried = {body}
    for form, words in _changed_bodies(body):
        if form not in tried:
            tried.add(form)
            yield prefix + form, f"the body that was signed had {words}"


def _changed_bodies(body: bytes) -> Iterator[tuple[bytes, str]]:
    for form in (body + b"\n", body + b"\r\n", body.rstrip(b"\r\n"), body.strip()):
        yield form, "other blanks or line breaks at its ends"
    unix = body.replace(b"\r\n", b"\n")
    for form in (unix, unix.replace(b"\n", b"\r\n")):
        yield form, "other line breaks"
    text = body.decode("utf-8")
    for charset in _CHARSETS:
        try:
            yield text.encode(charset), "another character set"
        except UnicodeEncodeError:
            continue
    if len(body) > _LARGEST_SERIALIZED_BYTES:
        return
    value = json.loads(text)
    for layout in _LAYOUTS:
        for ascii_only in (True, False):
            written = json.dumps(value, ensure_ascii=ascii_only, **layout).encode("utf-8", "replace")
            for form in (written, written.replace(b"/", b"\\/")):
                yield form, "its JSON written in another way"


def _foreign_secrets(mismatch: SignatureMismatch, tenants: TenantDirectory) -> dict[str, str]:
    """Map each secret of other tenants to its tenant id, or to "" if several have it."""
    found: dict[str, str] = {}
    for tenant in tenants.all():
        if tenant.id != mismatch.tenant_id:
            for secret in tenant.webhook_secrets:
                found[secret] = "" if secret in found else tenant.id
    return found


def _secret_of(owner: str) -> str:
    return f"the secret of tenant {owner}" if owner else "a secret of several tenants"


def _of_another(words: str, owner: str) -> Cause:
    return Cause(f"signed with {words}", "signed with another tenant's secret", owner)


class SignatureDiagnosis:
    """Search for one cause at a time.

    A search takes at most `search_seconds` of thread time. Mismatches during a search, or soon after it, get none.
    """

    def __init__(
        self,
        between_seconds: float = BETWEEN_SEARCHES_SECONDS,
        search_seconds: float = SEARCH_SECONDS,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._between = between_seconds
        self._seconds = search_seconds
        self._now = now
        self._searches = False
        self._next_at = now()

    async def cause(self, mismatch: SignatureMismatch, tenants: TenantDirectory) -> Cause | None:
        """Return the proven cause; None if there is none or no time for a search."""
        if self._searches or self._now() < self._next_at:
            return None
        self._searches = True
        self._next_at = self._now() + self._between
        try:
            return await self._search(readings(mismatch.claim), islice(guesses(mismatch, tenants), MAX_GUESSES))
        finally:
            self._searches = False

    async def _search(self, digests: list[tuple[bytes, str]], remaining: Iterator[Guess]) -> Cause | None:
        spent = 0.0
        while spent < self._seconds:
            began = time.thread_time()
            batch = list(islice(remaining, _AT_ONCE))
            for key, signed, cause in batch:
                digest = hmac.digest(key, signed, "sha256")
                for signature, reading in digests:
                    if (cause.text or reading) and hmac.compare_digest(digest, signature):
                        text, stored = (
                            " and ".join(filter(None, (words, reading)))
                            for words in (cause.text, cause.stored or cause.text)
                        )
                        return Cause(text, stored, cause.owner)
            if len(batch) < _AT_ONCE:
                return None
            spent += time.thread_time() - began
            await asyncio.sleep(0)
        return None
