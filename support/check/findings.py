"""Findings of the checks: name, state, observation and remedy."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum


class State(StrEnum):
    """State of a finding."""

    OK = "ok"
    WARNING = "warning"
    """It works, and something about it is not as it should be; the exit status does not tell of it."""
    FAILED = "failed"
    NOT_CHECKED = "not checked"
    """It can't be seen without a change, was not asked for, or stands behind something that has failed."""


CHECKS: dict[str, str] = {
    "settings": "Each setting of a worker is there and usable.",
    "postgres address": "Postgres answers at `DATABASE_URL`.",
    "postgres role and tables": "The role is let in, can't get around row-level security, and finds the tables of this "
    "release.",
    "redis address": "Redis answers at `REDIS_URL`, and takes the password.",
    "redis policy": "Redis refuses writes when its memory is full, and forgets nothing.",
    "tenant settings": "Each of the tenant's settings is usable.",
    "secret strength": "The tenant's webhook secrets can't be guessed.",
    "missing webhooks": "Tells what is done about a new ticket whose webhook never comes, or that the desk is polled.",
    "desk address": "The desk answers.",
    "desk certificate": "Its certificate is trusted. A warning at `http://`, where nothing is encrypted.",
    "desk credentials": "It takes the key, or the accounts host gives a token.",
    "desk portal": "What answers is the API of the right portal.",
    "desk rate": "The calls of this look were within the desk's own limit.",
    "desk clock": "Its clock is within five minutes of this machine's: a signed webhook counts for as long.",
    "desk ticket": "A ticket can be read.",
    "desk notes": "Its notes can be read.",
    "desk note writing": "Never checked: it would take a note.",
    "desk solutions": "Solutions can be read.",
    "model address": "The model's service answers.",
    "model key": "It takes the key.",
    "model credit": "The account may spend.",
    "model name": "It has the model.",
    "model answers": "The model gives the structured answer that is asked for.",
    "model first token": "Its answer begins before the silence that a job bears.",
    "embeddings answer": "What makes the tenant's embeddings answers, for a tenant that wants them.",
    "webhook address": "The receiver answers at the address that `--url` names.",
    "webhook certificate": "Its certificate is trusted. A warning at `http://`, where nothing is encrypted.",
    "webhook clock": "Its clock is within five minutes of this machine's.",
    "webhook secret": "It takes what this process signs, or the tenant's token.",
    "feedback page": "A link for feedback, as this process signs it for notes, leads to its page.",
}
"""What is looked at, in the order of the rows: the name of each row, and when it is in order."""


def checks_of(subject: str) -> tuple[str, ...]:
    return tuple(name for name in CHECKS if name.startswith(f"{subject} "))


BEHIND = "something above has failed"


def proxy_remedy(host: str) -> str:
    """Return the remedy for an `HTTPS_PROXY` that is down or refuses a host."""
    return (
        f"see that the proxy of HTTPS_PROXY runs, takes the credentials given there and lets calls to {host} through, "
        "or name it in NO_PROXY"
    )


@dataclass(frozen=True, slots=True)
class Finding:
    """Result of one check, by its name in `CHECKS`.

    `remedy` is the action for a failure or warning; `tenant_id` is empty for a check of all tenants.
    """

    name: str
    state: State
    seen: str
    remedy: str = ""
    tenant_id: str = ""


class Findings:
    """Findings of one subject; each of `names` is not checked until it has a result."""

    def __init__(self, names: Iterable[str], tenant_id: str = "", why_not: str = BEHIND) -> None:
        self._tenant_id = tenant_id
        self._rows = {name: Finding(name, State.NOT_CHECKED, why_not, tenant_id=tenant_id) for name in names}

    def ok(self, seen: str, *names: str) -> None:
        self._set(State.OK, seen, "", names)

    def warn(self, name: str, seen: str, remedy: str) -> None:
        self._set(State.WARNING, seen, remedy, [name])

    def answers(self, subject: str, url: str) -> None:
        """Record an answer of `url`, and for HTTPS that its certificate is trusted."""
        self.ok("it answers", f"{subject} address")
        name = f"{subject} certificate"
        if url.lower().startswith("https:"):
            self.ok("it is trusted", name)
        else:
            remedy = "take https://, unless it is this machine or a network of your own"
            self.warn(name, "there is none: at an http:// address nothing is encrypted", remedy)

    def failed(self, name: str, seen: str, remedy: str) -> None:
        self._set(State.FAILED, seen, remedy, [name])

    def not_checked(self, why: str, *names: str) -> None:
        self._set(State.NOT_CHECKED, why, "", names)

    def _set(self, state: State, seen: str, remedy: str, names: Iterable[str]) -> None:
        for name in names:
            if name not in self._rows:
                raise KeyError(name)
            self._rows[name] = Finding(name, state, seen, remedy, self._tenant_id)

    @property
    def all(self) -> list[Finding]:
        return list(self._rows.values())
