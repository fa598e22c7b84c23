"""Console roles and their notation: `support`, `support:acme`, `operator+texts`."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

_ROLE = re.compile(r"(operator|support(?::(?P<tenant>[a-z0-9-]{1,63}))?)(?P<texts>\+texts)?")
ROLE_FORM = "must be support, support:TENANT or operator, each with +texts behind it or without"


class RoleUnreadable(Exception):
    """Invalid role. The message describes the valid form without quoting the value."""


@dataclass(frozen=True, slots=True)
class ConsoleRole:
    """`tenant_id`: the only visible tenant, None for all. `reads_texts`: may read texts sent to a model."""

    kind: Literal["support", "operator"]
    tenant_id: str | None = None
    reads_texts: bool = False


def parse_role(text: str) -> ConsoleRole:
    """Parse a role. Raises RoleUnreadable."""
    found = _ROLE.fullmatch(text.strip())
    if found is None:
        raise RoleUnreadable(ROLE_FORM)
    kind: Literal["support", "operator"] = "operator" if found[1] == "operator" else "support"
    return ConsoleRole(kind, found["tenant"], found["texts"] is not None)


def parse_roles(text: str) -> Mapping[str, ConsoleRole]:
    """Parse comma-separated `VALUE=ROLE` entries in order. Raises RoleUnreadable."""
    roles: dict[str, ConsoleRole] = {}
    for entry in filter(None, map(str.strip, text.split(","))):
        value, _, role = entry.rpartition("=")
        if not value.strip():
            raise RoleUnreadable("must be VALUE=ROLE entries separated by commas")
        if value.strip() in roles:
            raise RoleUnreadable("must name each value once")
        roles[value.strip()] = parse_role(role)
    if not roles:
        raise RoleUnreadable("must be VALUE=ROLE entries separated by commas")
    return roles
