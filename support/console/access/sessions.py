"""Who is logged in, as a signed cookie has it: a session is stored nowhere, so that no store has to be there.

What somebody may is not in it. That is looked up at each request, so that a token or a mapping which is gone ends its
sessions (docs/adr/0037).
"""

import re
import secrets
from dataclasses import dataclass
from typing import Any

from config.console_access import ConsoleAccess, OidcSettings
from config.console_roles import ConsoleRole
from support.console.access.keys import ConsoleKeys, NotOurs
from support.console.visitor import Visitor

LASTS_SECONDS = 8 * 3600
IDLE_SECONDS = 3600
_RENEWED_AFTER_SECONDS = 60
_SESSION, _CSRF, _TOKEN, _PROVIDER, _PERSON = "session", "csrf", "token", "provider", "person"
_OPAQUE = re.compile(r"[A-Za-z0-9._|:/+=~-]{1,100}")


@dataclass(frozen=True, slots=True)
class Account:
    """By what somebody logged in.

    `kind` is `token` or `provider`, `mark` tells that one from others, and `id` is what the log calls the person: a
    token's name, or the provider's subject, of which only a mark is left where that is an address or could be taken for
    more than an id. `value` is what the claim of a provider had.
    """

    kind: str
    id: str
    mark: str
    name: str
    value: str = ""


@dataclass(frozen=True, slots=True)
class LoggedIn:
    """Somebody's, since `issued_at` (seconds since 1970), last renewed at `signed_at`."""

    id: str
    account: Account
    issued_at: int
    signed_at: int


class Sessions:
    """Makes sessions and reads them, and their tokens against forged forms."""

    def __init__(self, keys: ConsoleKeys) -> None:
        self._keys = keys

    def begin(self, account: Account) -> LoggedIn:
        """Begin one, with an id that nobody knew before."""
        now = int(self._keys.now())
        return LoggedIn(secrets.token_urlsafe(18), account, now, now)

    def write(self, session: LoggedIn) -> str:
        """Return what a cookie says of it, from now on."""
        account = session.account
        told = [account.kind, account.id, account.mark, account.name, account.value]
        return self._keys.sign(_SESSION, [session.id, session.issued_at, told])

    def read(self, text: str) -> LoggedIn:
        """Return the session of such a text. Raises NotOurs; also an hour after it was written, and when it is over."""
        content, signed_at = self._keys.read(_SESSION, text, IDLE_SECONDS)
        session_id, issued_at, told = content
        if self._keys.now() - issued_at >= LASTS_SECONDS:
            raise NotOurs
        return LoggedIn(session_id, Account(*told), issued_at, signed_at)

    def is_due(self, session: LoggedIn) -> bool:
        """Return True if it was written long enough ago to be written anew."""
        return self._keys.now() - session.signed_at >= _RENEWED_AFTER_SECONDS

    def csrf(self, session_id: str) -> str:
        """Return what each form of the session has to send along."""
        return self._keys.mark(_CSRF, session_id)

    def is_csrf(self, given: str, session_id: str) -> bool:
        """Return True for that."""
        return self._keys.is_mark(given, _CSRF, session_id)

    def by_token(self, name: str, token: str) -> Account:
        """Return the account of who logged in with a token."""
        return Account(_TOKEN, name, self._keys.mark(_TOKEN, token), name)

    def by_provider(self, oidc: OidcSettings, subject: str, name: str, value: str) -> Account:
        """Return the account of whom a provider vouched for; the `value` of the claim is one that has a role."""
        is_id = _OPAQUE.fullmatch(subject) is not None and "error" not in subject.lower()
        person = subject if is_id else self._keys.mark(_PERSON, subject)
        return Account(_PROVIDER, person, self._keys.mark(_PROVIDER, _provider(oidc)), name, value)

    def visitor(self, account: Account, access: ConsoleAccess) -> Visitor | None:
        """Return what the account may now; None if it has no place any more."""
        role = self._role(account, access)
        return None if role is None else Visitor(account.name, role.kind, role.tenant_id, role.reads_texts, account.id)

    def _role(self, account: Account, access: ConsoleAccess) -> ConsoleRole | None:
        if account.kind == _TOKEN:
            named = [token for token in access.tokens if token.name == account.id]
            return next((one.role for one in named if self._keys.is_mark(account.mark, _TOKEN, one.token)), None)
        oidc = access.oidc
        if oidc is None or not self._keys.is_mark(account.mark, _PROVIDER, _provider(oidc)):
            return None
        return oidc.roles.get(account.value)


def _provider(oidc: OidcSettings) -> str:
    """Return what a session by the provider is bound to: another claim's values mean something else."""
    return "\0".join((oidc.issuer, oidc.client_id, oidc.claim))


def as_text(value: Any, longest: int = 80) -> str:
    """Return a name from outside as a session holds it: one line, and not long."""
    text = value if isinstance(value, str) else ""
    return "".join(character if character.isprintable() else " " for character in text).strip()[:longest]
