"""Who asks for a page, and what that person may see and do."""

from dataclasses import dataclass
from typing import Literal

Role = Literal["support", "operator"]


@dataclass(frozen=True, slots=True)
class Visitor:
    """Somebody who has logged in.

    `tenant_id`: the one tenant that is seen, None for all of them. `reads_texts`: may see what a model was told and
    what it answered. An operator may change several jobs at once; support one. `account` is what the log calls the
    visitor, whose name it never has.
    """

    name: str
    role: Role
    tenant_id: str | None = None
    reads_texts: bool = False
    account: str = ""

    def sees(self, tenant_id: str) -> bool:
        """Return True if what is the tenant's may be shown."""
        return self.tenant_id is None or self.tenant_id == tenant_id
