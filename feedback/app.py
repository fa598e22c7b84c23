"""The page behind a note's link, as an ASGI application: it answers `<path>/f/<token>`, and nothing else.

Whoever has a link may vote for its job, as often as they like: the last vote counts. Reading a link asks no database
and changes nothing, since scanners of mail and chat open whatever they find.
"""

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from types import MappingProxyType
from urllib.parse import parse_qs, unquote, urlsplit

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from config.tenant_directory import TenantDirectory
from feedback import page
from feedback.links import PATH, FeedbackLinks, JobLink, NotOurLink
from feedback.texts import TEXTS, Message, PageTexts, texts_for
from observability import note_metrics, phrases
from observability.logging import say
from storage.feedback import RecordedVote, Vote, VoteReason, record_vote
from storage.session import DATABASE_FAILURES, Database
from webhooks.bodies import read_within

LARGEST_BODY_BYTES = 1024
MOST_AT_ONCE = 8
_BODY_SECONDS = 5.0
_RECORD_SECONDS = 4.0
_RETRY_SECONDS = 60
_LINE_SECONDS = 10.0
_METHODS = ("GET", "HEAD", "POST")
_FORM = "application/x-www-form-urlencoded"
_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": f"default-src 'none'; style-src '{page.STYLE_HASH}'; form-action 'self'; "
    "frame-ancestors 'none'; base-uri 'none'",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "X-Robots-Tag": "noindex, nofollow",
}


@cache
def _asked(language: str) -> bytes:
    return page.ask(TEXTS[language])


class _Told(Exception):
    """A request that is answered with a status and a message; `again`: and asked once more."""

    def __init__(
        self, status: int, message: Message, *, again: bool = False, headers: Mapping[str, str] = MappingProxyType({})
    ) -> None:
        super().__init__(status)
        self.status = status
        self.message = message
        self.again = again
        self.headers = headers


@dataclass(frozen=True, slots=True)
class _Choice:
    vote: Vote
    reason: VoteReason | None


class FeedbackPage:
    """The application. Votes are recorded with `database`, of which a few connections are enough.

    `most_at_once`: of so many votes that are being recorded the next one is told to come again. `monotonic` is the
    clock of how often a line is said.
    """

    def __init__(
        self,
        links: FeedbackLinks,
        tenants: TenantDirectory,
        database: Database,
        *,
        most_at_once: int = MOST_AT_ONCE,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._links = links
        self._tenants = tenants
        self._database = database
        self._free = most_at_once
        self._refusals = _Refusals(monotonic)
        # A proxy in front may take the path of the address off, or leave it. A request's is not escaped any more.
        self._paths = {PATH, unquote(urlsplit(links.url).path) + PATH}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        request = Request(scope, receive)
        texts = texts_for(request.headers.get("accept-language", ""))
        try:
            response = await self._answer(request, texts)
        except ClientDisconnect:
            return
        except _Told as told:
            response = _page(told.status, page.tell(texts, told.message, again=told.again), texts, told.headers)
        except Exception as failure:  # noqa: BLE001 -- the web server would quote it, and show a page of its own
            say(phrases.FEEDBACK_FAILED, failure=failure)
            response = _page(500, page.tell(texts, texts.later), texts)
        await response(scope, receive, send)

    async def _answer(self, request: Request, texts: PageTexts) -> Response:
        """Answer a request. Raises _Told, or ClientDisconnect."""
        path, slash, token = str(request.scope["path"]).rpartition("/")
        if path + slash not in self._paths:
            raise _Told(404, texts.unknown)
        if request.method not in _METHODS:
            raise _Told(405, texts.method, headers={"Allow": ", ".join(_METHODS)})
        link = self._read(token, texts)
        if request.method != "POST":
            return _page(200, _asked(texts.language), texts)
        choice = await _choice(request, texts)
        if await self._record(link, choice, texts) is None:
            _refuse(link, "job gone")
            raise _Told(410, texts.gone)
        return _page(200, page.thank(texts, choice.vote, choice.reason), texts)

    def _read(self, token: str, texts: PageTexts) -> JobLink:
        """Return what a token of ours says that is still good. Raises _Told."""
        try:
            link = self._links.read(token)
        except NotOurLink:
            self._refusals.one_more()
            raise _Told(404, texts.unknown) from None
        if link.expired:
            _refuse(link, "link expired")
            raise _Told(410, texts.expired)
        if self._tenants.get(link.tenant_id) is None:
            _refuse(link, "tenant left")
            raise _Told(410, texts.gone)
        return link

    async def _record(self, link: JobLink, choice: _Choice, texts: PageTexts) -> RecordedVote | None:
        """Store a vote, say and count it; None where its job is gone. Raises _Told."""
        if not self._free:
            raise _later(link, "too many at once", texts)
        self._free -= 1
        try:
            async with asyncio.timeout(_RECORD_SECONDS):
                recorded = await record_vote(self._database, link.tenant_id, link.job_id, choice.vote, choice.reason)
        except (*DATABASE_FAILURES, TimeoutError) as failure:
            raise _later(link, "the database does not answer", texts, failure) from failure
        finally:
            self._free += 1
        if recorded is not None:
            reason = choice.reason.value if choice.reason else "none"
            say(phrases.FEEDBACK_RECORDED, _ids(link), vote=choice.vote.value, reason=reason)
        if recorded is not None and recorded.changed:
            version = recorded.version
            note_metrics.voted(link.tenant_id, version.prompt, version.model, choice.vote.value)
        return recorded


class _Refusals:
    """Links that are not ours: a line in ten seconds tells how many there were, since anyone can make them up."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._untold = 0
        self._told_at = -_LINE_SECONDS

    def one_more(self) -> None:
        """Count one, and say so if it is time."""
        self._untold += 1
        now = self._monotonic()
        if now - self._told_at >= _LINE_SECONDS:
            say(phrases.FEEDBACK_LINKS_UNKNOWN, count=self._untold)
            self._untold, self._told_at = 0, now


async def _choice(request: Request, texts: PageTexts) -> _Choice:
    """Read the form. Raises _Told, or ClientDisconnect."""
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != _FORM:
        raise _Told(415, texts.unreadable, again=True)
    try:
        async with asyncio.timeout(_BODY_SECONDS):
            body = await read_within(request.stream(), LARGEST_BODY_BYTES)
    except TimeoutError:
        raise _Told(408, texts.unreadable, again=True) from None
    if body is None:
        raise _Told(413, texts.unreadable, again=True)
    try:
        fields = parse_qs(body.decode("ascii"), max_num_fields=4)
        (given,) = fields["vote"]
        (reason,) = fields.get("reason", [None])
        vote = Vote(given)
        # A reason is why it was not: who chose one may have thought better of it.
        return _Choice(vote, VoteReason(reason) if reason is not None and vote is Vote.NOT_USEFUL else None)
    except (ValueError, KeyError):
        raise _Told(400, texts.unreadable, again=True) from None


def _ids(link: JobLink) -> dict[str, object]:
    return {"tenant_id": link.tenant_id, "job_id": link.job_id}


def _refuse(link: JobLink, reason: str) -> None:
    say(phrases.FEEDBACK_REFUSED, _ids(link), reason=reason)


def _later(link: JobLink, reason: str, texts: PageTexts, failure: BaseException | None = None) -> _Told:
    say(phrases.FEEDBACK_NOT_RECORDED, _ids(link), reason=reason, failure=failure)
    return _Told(503, texts.later, again=True, headers={"Retry-After": str(_RETRY_SECONDS)})


def _page(status: int, body: bytes, texts: PageTexts, headers: Mapping[str, str] = MappingProxyType({})) -> Response:
    return Response(body, status, {**_HEADERS, "Content-Language": texts.language, **headers}, media_type="text/html")
