"""Whom a desk names for a ticket."""

from typing import Any

from masking.people import Person

_ROLES = ("requester", "technician", "created_by", "on_behalf_of", "editor")
_LONGEST = 300
_MOST = 20


def people_of(ticket: dict[str, Any]) -> tuple[Person, ...]:
    """Return the people of a ticket's body, the requester first, each once."""
    named = [each for role in map(ticket.get, _ROLES) for each in (role if isinstance(role, list) else [role])]
    told = [_person(each) for each in named if isinstance(each, dict)]
    return tuple(dict.fromkeys(person for person in told if any(person)))[:_MOST]


def _person(body: dict[str, Any]) -> Person:
    def those(*names: str) -> tuple[str, ...]:
        values = (str(body.get(name) or "").strip()[:_LONGEST] for name in names)
        return tuple(dict.fromkeys(filter(None, values)))

    name = those("name") or those("first_name", "last_name")
    # Neither login nor employee id was seen in a ticket; where they are they must not leave either.
    others = those("login_name", "employee_id")
    return Person(" ".join(name), those("email_id", "sms_mail"), those("phone", "mobile"), others)
