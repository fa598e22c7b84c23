"""Tenants are settings: who may post webhooks, and which desk a ticket belongs to.

`<TENANT>` in a setting's name is the tenant id in capitals with `-` as `_`: `WEBHOOK_SECRET_ACME_EU` belongs to
`acme-eu`. The environment and `SECRETS_DIR` are read again after a few seconds, so that a new tenant or a rotated
secret needs no restart. A tenant whose new values are unusable keeps the old ones; a file that is being written counts
when it is finished (`config.secret_files`).
"""

import os
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from config.addresses import address_problem
from config.secret_files import SecretFiles

TENANT_ID = re.compile(r"[a-z0-9-]{1,63}")

TENANT_SETTINGS: dict[str, str] = {
    "WEBHOOK_SECRET_": "Secret that signs the tenant's webhooks.",
    "PREVIOUS_WEBHOOK_SECRET_": "The secret before, still accepted during a rotation.",
    "SERVICEDESK_URL_": "Address of the tenant's desk: what stands before `/api/v3` (cloud: with `/app/<portal>`).",
    "SERVICEDESK_EDITION_": "`onpremises` (default) or `cloud`.",
    "SERVICEDESK_API_KEY_": "On premises: the technician's API key.",
    "SERVICEDESK_CLIENT_ID_": "Cloud: OAuth client id.",
    "SERVICEDESK_CLIENT_SECRET_": "Cloud: OAuth client secret.",
    "SERVICEDESK_REFRESH_TOKEN_": "Cloud: OAuth refresh token.",
    "SERVICEDESK_ACCOUNTS_URL_": "Cloud: the accounts host that gives tokens, e.g. `https://accounts.zoho.eu`.",
    "SERVICEDESK_RATE_PER_MINUTE_": "Calls a minute that the desk takes, of all processes together: 300 on "
    "premises, 30 on cloud; from 1 on. Copying for context takes a third at most, and nothing while jobs wait for it.",
    "SERVICEDESK_FAILURE_NOTE_": "`context`: a ticket that GPT-4 fails for gets a short note with what was found; "
    "`none` (default).",
    "SERVICEDESK_CLOSED_STATUSES_": "More names of statuses that mean closed, separated by commas.",
}
_SECRETS = {
    "WEBHOOK_SECRET",
    "PREVIOUS_WEBHOOK_SECRET",
    "SERVICEDESK_API_KEY",
    "SERVICEDESK_CLIENT_SECRET",
    "SERVICEDESK_REFRESH_TOKEN",
}
_REREAD_SECONDS = 5.0
_CLOUD_NEEDS = ("CLIENT_ID", "CLIENT_SECRET", "REFRESH_TOKEN", "ACCOUNTS_URL")


@dataclass(frozen=True, slots=True)
class DeskSettings:
    """How to reach one tenant's ServiceDesk Plus. Credentials stay out of its text."""

    url: str
    edition: Literal["onpremises", "cloud"]
    api_key: str = field(default="", repr=False)
    client_id: str = field(default="", repr=False)
    client_secret: str = field(default="", repr=False)
    refresh_token: str = field(default="", repr=False)
    accounts_url: str = ""
    rate_per_minute: int = 300
    closed_statuses: frozenset[str] = frozenset()
    failure_note: bool = False


@dataclass(frozen=True, slots=True)
class Tenant:
    """One customer. `webhook_secrets` has the current secret, then the previous one if there is one."""

    id: str
    webhook_secrets: tuple[str, ...] = field(default=(), repr=False)
    desk: DeskSettings | None = None


def read_environment(
    secrets_dir: Path | None,
    *,
    on_problem: Callable[[str], None] = lambda _: None,
    now: Callable[[], float] = time.time,
) -> Callable[[], Mapping[str, str]]:
    """A reader of the environment with the tenants' files of `secrets_dir` laid over it. Empty values count as unset.

    `on_problem` hears of changed files that are not used as they are; `now` is the time that files are stamped with.
    """
    files = SecretFiles(
        secrets_dir,
        group=lambda name: _owner(name)[1],
        secret=lambda name: _owner(name)[0] in _SECRETS,
        on_problem=on_problem,
        now=now,
    )

    def read() -> Mapping[str, str]:
        values = {name: value.strip() for name, value in os.environ.items() if value.strip()}
        return values | files.read()

    return read


class TenantDirectory:
    """The tenants that are configured now; `on_problem` hears of settings that became unusable."""

    def __init__(
        self,
        read: Callable[[], Mapping[str, str]],
        *,
        on_problem: Callable[[str], None] = lambda _: None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._read = read
        self._on_problem = on_problem
        self._monotonic = monotonic
        self._tenants, self.problems = parse_tenants(read())
        self._read_at = monotonic()

    def get(self, tenant_id: str) -> Tenant | None:
        """The tenant of that id, or None."""
        self._refresh()
        return self._tenants.get(tenant_id)

    def all(self) -> list[Tenant]:
        """Each tenant, by id."""
        self._refresh()
        return list(self._tenants.values())

    def _refresh(self) -> None:
        now = self._monotonic()
        if now - self._read_at < _REREAD_SECONDS:
            return
        self._read_at = now
        fresh, problems = parse_tenants(self._read())
        for problem in problems:
            if problem not in self.problems:
                self._on_problem(problem.sentence)
            old = self._tenants.get(problem.tenant_id)
            if old is not None:
                fresh[old.id] = old
        self.problems = problems
        self._tenants = dict(sorted(fresh.items()))


@dataclass(frozen=True, slots=True)
class TenantProblem:
    """Why a tenant's settings can't be used: a sentence that names the setting and no value."""

    tenant_id: str
    sentence: str


def parse_tenants(values: Mapping[str, str]) -> tuple[dict[str, Tenant], list[TenantProblem]]:
    """The tenants that `values` (setting name -> value) describe, and what is wrong with the others."""
    by_tenant: dict[str, dict[str, str]] = {}
    for name, value in values.items():
        setting, tenant_id = _owner(name)
        if tenant_id:
            by_tenant.setdefault(tenant_id, {})[setting] = value
    tenants: dict[str, Tenant] = {}
    problems: list[TenantProblem] = []
    for tenant_id, settings in sorted(by_tenant.items()):
        try:
            tenants[tenant_id] = _tenant(tenant_id, settings)
        except _UnusableError as unusable:
            problems += [TenantProblem(tenant_id, sentence) for sentence in unusable.sentences]
    return tenants, problems


def _owner(name: str) -> tuple[str, str]:
    """Which setting of which tenant a name is; two empty texts for a setting of no tenant."""
    # Longest first: no name may be taken for another one that is its beginning.
    for prefix in sorted(TENANT_SETTINGS, key=len, reverse=True):
        if name.startswith(prefix) and len(name) > len(prefix):
            return prefix.rstrip("_"), name.removeprefix(prefix).lower().replace("_", "-")
    return "", ""


class _UnusableError(ValueError):
    """`sentences` has one for each setting to mend."""

    def __init__(self, *sentences: str) -> None:
        super().__init__(*sentences)
        self.sentences = sentences


def _tenant(tenant_id: str, settings: Mapping[str, str]) -> Tenant:
    suffix = tenant_id.upper().replace("-", "_")
    if not TENANT_ID.fullmatch(tenant_id):
        raise _UnusableError(f"WEBHOOK_SECRET_{suffix[:63]}: a tenant id has only a-z, 0-9 and -, at most 63 of them")
    wrong: list[str] = []
    if "error" in tenant_id:
        wrong.append(f"WEBHOOK_SECRET_{suffix}: a tenant id must not contain 'error', since support greps for it")
    if "PREVIOUS_WEBHOOK_SECRET" in settings and "WEBHOOK_SECRET" not in settings:
        wrong.append(f"WEBHOOK_SECRET_{suffix} is missing, but PREVIOUS_WEBHOOK_SECRET_{suffix} is set")
    desk_named = any(name.startswith("SERVICEDESK_") for name in settings)
    if desk_named:
        wrong += _desk_problems(suffix, settings)
    if wrong:
        raise _UnusableError(*wrong)
    secrets = [settings[name] for name in ("WEBHOOK_SECRET", "PREVIOUS_WEBHOOK_SECRET") if name in settings]
    return Tenant(tenant_id, tuple(secrets), _desk(settings) if desk_named else None)


def _desk_problems(suffix: str, settings: Mapping[str, str]) -> list[str]:
    """A sentence for each setting of a desk that is missing or wrong."""
    edition = settings.get("SERVICEDESK_EDITION", "onpremises").lower()
    wrong = []
    if edition not in ("onpremises", "cloud"):
        # What else is needed depends on it.
        wrong.append(f"SERVICEDESK_EDITION_{suffix} must be onpremises or cloud")
        needed: tuple[str, ...] = ("URL",)
    else:
        needed = ("URL", *(_CLOUD_NEEDS if edition == "cloud" else ("API_KEY",)))
    wrong += [f"SERVICEDESK_{name}_{suffix} is missing" for name in needed if f"SERVICEDESK_{name}" not in settings]
    rate = settings.get("SERVICEDESK_RATE_PER_MINUTE", "1")
    if not (rate.isascii() and rate.isdecimal() and int(rate[:9]) >= 1):
        wrong.append(f"SERVICEDESK_RATE_PER_MINUTE_{suffix} must be a number from 1")
    if settings.get("SERVICEDESK_FAILURE_NOTE", "none").lower() not in ("none", "context"):
        wrong.append(f"SERVICEDESK_FAILURE_NOTE_{suffix} must be none or context")
    for name in ("SERVICEDESK_URL", *(("SERVICEDESK_ACCOUNTS_URL",) if edition == "cloud" else ())):
        problem = address_problem(settings[name], secure=edition == "cloud") if name in settings else None
        if problem is not None:
            wrong.append(f"{name}_{suffix} {problem}")
    return wrong


def _desk(settings: Mapping[str, str]) -> DeskSettings:
    """The desk of settings that have no problem."""
    cloud = settings.get("SERVICEDESK_EDITION", "onpremises").lower() == "cloud"
    closed = settings.get("SERVICEDESK_CLOSED_STATUSES", "")
    return DeskSettings(
        url=settings["SERVICEDESK_URL"].rstrip("/").removesuffix("/api/v3"),
        edition="cloud" if cloud else "onpremises",
        api_key=settings.get("SERVICEDESK_API_KEY", ""),
        client_id=settings.get("SERVICEDESK_CLIENT_ID", ""),
        client_secret=settings.get("SERVICEDESK_CLIENT_SECRET", ""),
        refresh_token=settings.get("SERVICEDESK_REFRESH_TOKEN", ""),
        accounts_url=settings["SERVICEDESK_ACCOUNTS_URL"].rstrip("/") if cloud else "",
        rate_per_minute=int(settings.get("SERVICEDESK_RATE_PER_MINUTE", "30" if cloud else "300")[:9]),
        failure_note=settings.get("SERVICEDESK_FAILURE_NOTE", "none").lower() == "context",
        closed_statuses=frozenset(name.strip().casefold() for name in closed.split(",") if name.strip()),
    )
