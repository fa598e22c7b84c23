"""Tenants are settings: who may post webhooks, and which desk a ticket belongs to.

`<TENANT>` in a setting's name is the tenant id in capitals with `-` as `_`: `WEBHOOK_SECRET_ACME_EU` belongs to
`acme-eu`. They are read again while a process runs (`config.tenant_directory`).

A tenant whose settings are unusable is closed: it has neither secrets nor a desk. One that was open before keeps what
worked, its secrets or its desk, but for secrets that are not there any more.
"""

import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from config.secret_files import UNREADABLE, SecretFiles
from config.tenant_problems import (
    desk_problems,
    directory_problems,
    has_desk,
    id_problems,
    is_tenant_id,
    webhook_problems,
)

TENANT_SETTINGS: dict[str, str] = {
    "WEBHOOK_SECRET_": "Secret that signs the tenant's webhooks.",
    "PREVIOUS_WEBHOOK_SECRET_": "The secret before, still accepted during a rotation.",
    "WEBHOOK_REQUIRE_TIMESTAMP_": "`true`: a signature without a signed timestamp is refused, so that nobody can "
    "send an old request again (GitHub's scheme has none); `false` (default).",
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
_DIRECTORY = "SECRETS_DIR"
_WEBHOOK_SECRETS = ("WEBHOOK_SECRET", "PREVIOUS_WEBHOOK_SECRET")
_REQUIRE_TIMESTAMP = "WEBHOOK_REQUIRE_TIMESTAMP"
_CREDENTIALS = {"onpremises": ("api_key",), "cloud": ("client_secret", "refresh_token")}


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

    @property
    def credentials(self) -> dict[str, str]:
        """The secrets that are sent to the desk, by the names of their settings (without the tenant)."""
        return {f"SERVICEDESK_{name.upper()}": getattr(self, name) for name in _CREDENTIALS[self.edition]}


@dataclass(frozen=True, slots=True)
class Tenant:
    """One customer. `webhook_secrets` has the current secret, then the previous one if there is one.

    While its settings have to be mended it is not `usable`, and has what is left of those before: nothing, or a part.
    """

    id: str
    webhook_secrets: tuple[str, ...] = field(default=(), repr=False)
    desk: DeskSettings | None = None
    require_timestamp: bool = False
    usable: bool = True


def read_environment(
    secrets_dir: Path | None,
    *,
    on_problem: Callable[[str], None] = lambda _: None,
    now: Callable[[], float] = time.time,
) -> Callable[[], Mapping[str, str]]:
    """A reader of the environment with the tenants' files of `secrets_dir` laid over it. Empty values count as unset.

    `SECRETS_DIR` itself is UNREADABLE while its files could never be listed. `on_problem` hears of changed files that
    are not used as they are; `now` is the time that files are stamped with.
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
        values |= files.read()
        return values | ({_DIRECTORY: UNREADABLE} if files.never_listed else {})

    return read


@dataclass(frozen=True, slots=True)
class TenantProblem:
    """Why a tenant's settings can't be used: a sentence that names the setting and no value.

    `tenant_id` is as the setting's name has it, well-formed or not; empty where a file is not used that may be of no
    tenant. `closed`: nothing is left of settings before.
    """

    tenant_id: str
    sentence: str
    closed: bool = False


def names_tenant(values: Mapping[str, str], tenant_id: str) -> bool:
    """Return True if any of `values` (setting name -> value) is a setting of the tenant, usable or not.

    True as well while nobody knows, since `SECRETS_DIR` could never be listed.
    """
    return values.get(_DIRECTORY) == UNREADABLE or any(_owner(name)[1] == tenant_id for name in values)


def parse_tenants(values: Mapping[str, str]) -> tuple[dict[str, Tenant], list[TenantProblem]]:
    """The tenants that `values` (setting name -> value) describe, and what is wrong with the others."""
    tenants: dict[str, Tenant] = {}
    problems = [TenantProblem("", sentence) for sentence in directory_problems(values.get(_DIRECTORY))]
    for tenant_id, settings in sorted(_by_tenant(values).items()):
        wrong = id_problems(tenant_id) or (webhook_problems(tenant_id, settings) + desk_problems(tenant_id, settings))
        if wrong:
            problems += [TenantProblem(tenant_id, sentence) for sentence in wrong]
        else:
            tenants[tenant_id] = Tenant(
                tenant_id,
                _webhook_secrets(settings),
                _desk(settings),
                require_timestamp=settings.get(_REQUIRE_TIMESTAMP, "false").lower() == "true",
            )
    return tenants, problems


def tenants_after(
    before: Mapping[str, Tenant], values: Mapping[str, str]
) -> tuple[dict[str, Tenant], list[TenantProblem]]:
    """Return the tenants of `values`, of unusable ones what is left of those `before`, and what is wrong."""
    tenants, problems = parse_tenants(values)
    settings = _by_tenant(values)
    for tenant_id in {problem.tenant_id for problem in problems if is_tenant_id(problem.tenant_id)}:
        tenants[tenant_id] = _left(before.get(tenant_id, Tenant(tenant_id)), settings[tenant_id])
    return dict(sorted(tenants.items())), problems


def _by_tenant(values: Mapping[str, str]) -> dict[str, dict[str, str]]:
    """Tenant id -> setting without the tenant -> value."""
    found: dict[str, dict[str, str]] = {}
    for name, value in values.items():
        setting, tenant_id = _owner(name)
        if tenant_id:
            found.setdefault(tenant_id, {})[setting] = value
    # What only says how to check a signature makes no tenant.
    return {tenant_id: settings for tenant_id, settings in found.items() if settings.keys() != {_REQUIRE_TIMESTAMP}}


def _owner(name: str) -> tuple[str, str]:
    """Which setting of which tenant a name is; two empty texts for a setting of no tenant."""
    # Longest first: no name may be taken for another one that is its beginning.
    for prefix in sorted(TENANT_SETTINGS, key=len, reverse=True):
        if name.startswith(prefix) and len(name) > len(prefix):
            return prefix.rstrip("_"), name.removeprefix(prefix).lower().replace("_", "-")
    return "", ""


def _left(old: Tenant, settings: Mapping[str, str]) -> Tenant:
    """What goes on of a tenant whose settings have a problem now; nothing of one that was closed.

    Its secrets, whether a timestamp is required, and its desk stand by themselves: what is usable is as the settings
    have it now, what is not is as it was, but for secrets that are not there any more.
    """
    if not (old.webhook_secrets or old.desk):
        return Tenant(old.id, usable=False)
    secrets, desk = _webhook_secrets(settings), old.desk
    if "PREVIOUS_WEBHOOK_SECRET" in settings and settings.get("WEBHOOK_SECRET", UNREADABLE) == UNREADABLE:
        secrets = tuple(secret for secret in old.webhook_secrets if secret in secrets)
    if not desk_problems(old.id, settings):
        desk = _desk(settings)
    elif desk is not None and not desk.credentials.items() <= settings.items():
        desk = None
    required = settings.get(_REQUIRE_TIMESTAMP, "false").lower()
    require_timestamp = required == "true" if required in ("true", "false") else old.require_timestamp
    return Tenant(old.id, secrets, desk, require_timestamp, usable=False)


def _webhook_secrets(settings: Mapping[str, str]) -> tuple[str, ...]:
    return tuple(settings[name] for name in _WEBHOOK_SECRETS if settings.get(name, UNREADABLE) != UNREADABLE)


def _desk(settings: Mapping[str, str]) -> DeskSettings | None:
    """The desk of settings that have no problem; None where there is none."""
    if not has_desk(settings):
        return None
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
