"""People and things that a desk names in a ticket."""

from typing import Any

from privacy.redaction.people import Person

_ROLES = ("requester", "technician", "created_by", "on_behalf_of", "editor")
# Attributes of a request in the vendor's v3 API; each is an object with a name, or a list of them.
_THINGS = (
    *("category", "subcategory", "item", "group", "site", "template"),
    *("service_category", "assets", "configuration_items"),
)
_LONGEST = 300
_MOST = 20
_MOST_TERMS = 50


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
    # Login and employee id were in no observed ticket; if present, they must be masked too.
    others = those("login_name", "employee_id")
    return Person(" ".join(name), those("email_id", "sms_mail"), those("phone", "mobile"), others)


def terms_of(ticket: dict[str, Any]) -> tuple[str, ...]:
    """Return the desk's names of categories, groups, services and assets, each once."""
    values = [each for value in map(ticket.get, _THINGS) for each in (value if isinstance(value, list) else [value])]
    names = (str(each.get("name") or "").strip()[:_LONGEST] for each in values if isinstance(each, dict))
    return tuple(dict.fromkeys(filter(None, names)))[:_MOST_TERMS]
