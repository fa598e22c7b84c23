"""Contents of desk answers as own values: tickets, solutions, lists, times.

Each field may be missing or of another kind than documented; texts become plain, and are cut to a storable length.
"""

import html
import re
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any, Generic, NamedTuple, TypeVar

from integrations.errors import DeskUnavailable, TicketTrashed
from integrations.servicedesk.answers import SUCCESS, DeskAnswer
from integrations.servicedesk.people import people_of, terms_of
from integrations.values import DeskTicket
from retrieval.cleaning import lines_of, unwrapped

_TAGS = re.compile(r"<[/!?a-zA-Z][^<>]*>")
# The safe limit of a text index, for description and resolution together: it has room for 1,048,575 bytes of words, and
# a character costs up to 8.2 (words of four-byte characters with hyphens count as a whole and in parts).
_LONGEST_TEXT = 50_000
_LONGEST_NAME = 1_000
# A time in milliseconds: until the year 2286.
_MOST_DIGITS = 13
# A bare number, from the year 2001 on: any shorter one is no time.
_FEWEST_DIGITS = 12
_LONGEST_NUMBER = 20
Item = TypeVar("Item")
_CLOSED = frozenset({"closed", "resolved", "cancelled", "canceled"})


class ListedTicket(NamedTuple):
    """A ticket in a list."""

    ticket_id: str
    status: str
    is_trashed: bool = False
    display_id: str = ""
    """The number that people see; empty where it is the id, or the list does not tell."""
    kinds: Mapping[str, str] = MappingProxyType({})
    """Its category, group, site and template, those that the list tells of: empty for none."""
    subject: str = ""
    created_at: datetime | None = None
    """As the next one by the desk's clock; None where the list does not tell."""
    changed_at: datetime | None = None


class ListedSolution(NamedTuple):
    """A solution in a list."""

    solution_id: str
    title: str = ""
    topic: str = ""
    changed_at: datetime | None = None
    text: str | None = None
    """As the desk has it; None where the list does not tell."""
    expires_at: datetime | None = None


class ListPage(NamedTuple, Generic[Item]):
    """A page of one of the desk's lists."""

    items: Sequence[Item]
    has_more: bool
    """True if the desk says that there are more behind them."""


@dataclass(frozen=True, slots=True)
class Solution:
    """An article of the desk's knowledge base, as plain text."""

    solution_id: str
    title: str
    text: str
    topic: str = ""
    expires_at: datetime | None = None


def items_of(answer: DeskAnswer, *keys: str) -> list[dict[str, Any]]:
    """Return the list under the present one of `keys`; its items have ids.

    Editions differ in the key. A desk may omit an empty list. That counts only for a success without a list of another
    name, which may be the same under an unknown key. Raises DeskUnavailable for anything else.
    """
    body = answer.body
    found = next((body[key] for key in keys if key in body), None)
    if found is None and answer.code == SUCCESS and not any(key in body for key in keys):
        others = [name for name, value in body.items() if isinstance(value, list) and name != "response_status"]
        found = None if others else []
    if not isinstance(found, list) or not all(isinstance(item, dict) and item.get("id") for item in found):
        raise DeskUnavailable("invalid answer")
    return found


def has_more(answer: DeskAnswer) -> bool:
    info = answer.body.get("list_info")
    return isinstance(info, dict) and _is(info.get("has_more_rows"), truth=True)


def is_closed(body: dict[str, Any], closed_statuses: Set[str]) -> bool:
    """Return True if the ticket is closed, or its status in `closed_statuses`.

    The statuses are casefolded. The cloud's status has `in_progress` (true for one on hold). On premises it has only a
    name, which each site can change: closed by one of the default names, or because it has a `completed_time`.
    """
    value = body.get("status")
    status = value if isinstance(value, dict) else {}
    names = {str(status.get(field, "")).casefold() for field in ("name", "internal_name")}
    if names & closed_statuses:
        return True
    if status.get("in_progress") is not None:
        return _is(status["in_progress"], truth=False)
    return bool(names & _CLOSED) or body.get("completed_time") is not None


def ticket_of(body: Any, closed_statuses: Set[str] = frozenset()) -> DeskTicket:
    """Return the ticket of an answer. Raises TicketTrashed or DeskUnavailable."""
    if isinstance(body, dict) and is_trashed(body):
        raise TicketTrashed
    if not isinstance(body, dict) or not body.get("id"):
        raise DeskUnavailable("invalid answer")
    return DeskTicket(
        ticket_id=str(body["id"]),
        subject=plain_text(str(body.get("subject") or ""))[:_LONGEST_NAME],
        description=unwrapped(lines_of(str(body.get("description") or ""))[:_LONGEST_TEXT]),
        priority=_name(body.get("priority")),
        category=_name(body.get("category")),
        status=_name(body.get("status")),
        resolution=_solved(body),
        requester=_address(body.get("requester")),
        display_id=_other_number(body),
        group=_name(body.get("group")),
        site=_name(body.get("site")),
        template=_name(body.get("template")),
        created_at=moment_of(body.get("created_time")),
        changed_at=moment_of(body.get("last_updated_time")),
        closed=is_closed(body, closed_statuses),
        people=people_of(body),
        conversation=_truth(body.get("has_conversation")),
        has_notes=_is(body.get("has_notes"), truth=True),
        terms=terms_of(body),
    )


def _solved(body: dict[str, Any]) -> str:
    """Return a ticket's solution: its resolution and the closure comments."""
    said = (("resolution", "content"), ("closure_info", "closure_comments"))
    found = [str(part.get(name) or "") for key, name in said if isinstance(part := body.get(key), dict)]
    lines = dict.fromkeys(unwrapped(lines_of(each)[:_LONGEST_TEXT]) for each in found)
    return "\n".join(filter(None, lines))[:_LONGEST_TEXT]


def listed_ticket_of(item: dict[str, Any]) -> ListedTicket:
    return ListedTicket(
        str(item["id"]),
        _name(item.get("status")),
        is_trashed(item),
        _other_number(item),
        kinds={kind: _name(item[kind]) for kind in ("category", "group", "site", "template") if kind in item},
        subject=str(item.get("subject") or ""),
        created_at=moment_of(item.get("created_time")),
        changed_at=moment_of(item.get("last_updated_time")),
    )


def listed_solution_of(item: dict[str, Any]) -> ListedSolution:
    text = str(item["description"]) if item.get("description") else None
    changed_at = moment_of(item.get("last_updated_time"))
    about = (str(item["id"]), str(item.get("title") or ""), _name(item.get("topic")))
    return ListedSolution(*about, changed_at, text, _expiry_of(item))


def numbers_in(listed: Sequence[ListedTicket]) -> dict[str, str]:
    return {ticket.ticket_id: ticket.display_id for ticket in listed if ticket.display_id}


def solution_of(solution_id: str, body: Any) -> Solution:
    """Return the solution of an answer. Raises DeskUnavailable if it is none."""
    if not isinstance(body, dict):
        raise DeskUnavailable("invalid answer")
    return Solution(
        solution_id,
        title=plain_text(str(body.get("title") or ""))[:_LONGEST_NAME],
        text=lines_of(str(body.get("description") or ""))[:_LONGEST_TEXT],
        topic=_name(body.get("topic")),
        expires_at=_expiry_of(body),
    )


def _expiry_of(body: dict[str, Any]) -> datetime | None:
    expiry = moment_of(body.get("expiry_date"))
    return expiry if expiry is not None and expiry.timestamp() > 0 else None


def moment_of(value: Any) -> datetime | None:
    """Return the time of `{"value": "<epoch ms>"}`, or in some builds the number."""
    told = str(value.get("value") if isinstance(value, dict) else value)
    fewest = 1 if isinstance(value, dict) else _FEWEST_DIGITS
    if not (told.isascii() and told.isdecimal() and fewest <= len(told) <= _MOST_DIGITS):
        return None
    return datetime.fromtimestamp(int(told) / 1000, UTC)


def _other_number(body: dict[str, Any]) -> str:
    """Return a display number that differs from the id; only digits, for the logs."""
    number = str(body.get("display_id") or "")
    return number if is_number(number) and number != str(body["id"]) else ""


def is_number(text: str) -> bool:
    return text.isascii() and text.isdecimal() and len(text) <= _LONGEST_NUMBER


def _name(value: Any) -> str:
    return str(value.get("name") or "")[:_LONGEST_NAME] if isinstance(value, dict) else ""


def _address(person: Any) -> str:
    return str(person.get("email_id") or "")[:_LONGEST_NAME] if isinstance(person, dict) else ""


def is_trashed(body: dict[str, Any]) -> bool:
    return _is(body.get("is_trashed"), truth=True)


def _truth(value: Any) -> bool | None:
    return next((truth for truth in (True, False) if _is(value, truth=truth)), None)


def _is(value: Any, *, truth: bool) -> bool:
    return value is truth or str(value).lower() == str(truth).lower()


def plain_text(markup: str) -> str:
    """Return HTML as plain text: tags removed, entities resolved, white space folded."""
    return " ".join(html.unescape(_TAGS.sub(" ", markup)).split())
