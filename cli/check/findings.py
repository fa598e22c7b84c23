"""Findings of the checks, and those of settings, Postgres and Redis."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeVar

from redis.exceptions import AuthenticationError, RedisError

from config.settings import DeskClientSettings, LogSettings, SettingsError, StoreSettings, WorkerSettings, load
from config.tenant_directory import TenantDirectory, read_environment
from config.tenants import (
    ALL_KEYS,
    DESK_KEYS,
    MODEL_KEYS,
    PROCESS_KEYS,
    Keys,
    Tenant,
    key_name,
    secrets_in,
    setting_suffix,
)
from db.schema import DatabaseUnfitError, DatabaseUnreachableError, check
from db.session import Database
from jobs.payloads import WINDOW_SECONDS
from jobs.queue import QUEUE, SAFE_POLICY, eviction_policy, open_redis
from observability.startup import not_needed

_MIN_SECRET_LENGTH = 24
_MIN_CHARACTERS = 10
_STORE_SECONDS = 5.0

Part = TypeVar("Part", bound=LogSettings)


class State(StrEnum):
    """State of a finding."""

    OK = "ok"
    WARNING = "warning"
    """Works, but should be changed; does not change the exit status."""
    FAILED = "failed"
    NOT_CHECKED = "not checked"
    """Needs a change to be seen, was not requested, or depends on a failed check."""


CHECKS: dict[str, str] = {
    "settings": "All settings of a worker are set and valid.",
    "postgres address": "Postgres answers at `DATABASE_URL`.",
    "postgres role and tables": "The role may log in and can't bypass row-level security; the schema is of this "
    "release.",
    "redis address": "Redis answers at `REDIS_URL` and accepts the password.",
    "redis policy": "Redis refuses writes when its memory is full, instead of evicting keys.",
    "tenant settings": "All settings of the tenant are valid.",
    "secret strength": "The tenant's webhook secrets can't be guessed.",
    "missing webhooks": "Shows the handling of new tickets without a webhook, or that the desk is polled.",
    "desk address": "The desk answers.",
    "desk certificate": "Its certificate is trusted. A warning for `http://`, which is not encrypted.",
    "desk credentials": "It accepts the key, or the accounts host issues a token.",
    "desk portal": "The API of the right portal answers.",
    "desk rate": "The calls of this check were within the desk's limit.",
    "desk clock": "Its clock is within five minutes of this machine's, as signed webhooks require.",
    "desk ticket": "A ticket can be read.",
    "desk notes": "Its notes can be read.",
    "desk note writing": "Never checked, since that would add a note.",
    "desk solutions": "Solutions can be read.",
    "model address": "The model's service answers.",
    "model key": "It accepts the key.",
    "model credit": "The account has credit.",
    "model name": "It has the model.",
    "model answers": "The model returns the requested structured answer.",
    "model first token": "Its answer begins within `OPENAI_TIMEOUT_SECONDS`.",
    "model of checks": "The model of `OPENAI_CHECK_MODEL` or `openai.check_model` returns the requested answer. A "
    "warning if not: the notes then say that they were not checked.",
    "embeddings answer": "The embedder of a tenant with embeddings answers.",
    "webhook address": "The receiver answers at `--url`.",
    "webhook certificate": "Its certificate is trusted. A warning for `http://`, which is not encrypted.",
    "webhook clock": "Its clock is within five minutes of this machine's.",
    "webhook secret": "It accepts a probe signed here, or the tenant's token.",
    "feedback page": "A feedback link signed here opens its page.",
}
"""The checks in order: the name of each row, and its condition for `ok`."""


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
    """Findings of one subject in `CHECKS`; each is not checked until it has a result.

    The methods return all of them, in the order of `CHECKS`.
    """

    def __init__(self, subject: str, tenant_id: str = "", reason: str = "a check above failed") -> None:
        self._subject = subject
        self._tenant_id = tenant_id
        self._rows: dict[str, Finding] = {}
        self.not_checked(reason, *(name for name in CHECKS if f"{name} ".startswith(f"{subject} ")))

    def ok(self, seen: str, *names: str) -> list[Finding]:
        return self._set(State.OK, seen, "", *names)

    def failed(self, name: str, seen: str, remedy: str) -> list[Finding]:
        return self._set(State.FAILED, seen, remedy, name)

    def warning(self, name: str, seen: str, remedy: str) -> list[Finding]:
        return self._set(State.WARNING, seen, remedy, name)

    def not_checked(self, reason: str, *names: str) -> list[Finding]:
        """Record why these were not checked, or without names why none was."""
        return self._set(State.NOT_CHECKED, reason, "", *(names or self._rows))

    def answers(self, url: str) -> None:
        """Record an answer of `url`, and for HTTPS that its certificate is trusted."""
        self.ok("it answers", f"{self._subject} address")
        name = f"{self._subject} certificate"
        if url.lower().startswith("https:"):
            self.ok("it is trusted", name)
        else:
            remedy = "use https://, except on this machine or in a private network"
            self.warning(name, "none: http:// is not encrypted", remedy)

    def clock(self, ahead: float | None) -> bool:
        """Record the seconds that its clock is ahead; return True if that is too much."""
        name = f"{self._subject} clock"
        if ahead is None:
            self.not_checked("its answers have no Date header", name)
        elif abs(ahead) > WINDOW_SECONDS:
            direction = "ahead of" if ahead > 0 else "behind"
            remedy = "synchronize both clocks: a signed webhook is valid for five minutes"
            self.failed(name, f"{abs(ahead):.0f} s {direction} this machine's", remedy)
            return True
        else:
            self.ok(f"{abs(ahead):.0f} s from this machine's", name)
        return False

    def _set(self, state: State, seen: str, remedy: str, *names: str) -> list[Finding]:
        self._rows |= {name: Finding(name, state, seen, remedy, self._tenant_id) for name in names}
        return self.all

    @property
    def all(self) -> list[Finding]:
        return list(self._rows.values())


@dataclass(frozen=True, slots=True)
class Loaded:
    """Settings that could be loaded; None for an unusable part."""

    log: LogSettings | None
    stores: StoreSettings | None
    desks: DeskClientSettings | None
    worker: WorkerSettings | None
    keys: Keys = ALL_KEYS
    """The kinds of tenants' keys that should be here."""

    @property
    def has_no_keys(self) -> str:
        """The reason why desks and models are not called, as in an API pod; else empty."""
        return "" if self.keys else "no key of a desk or model is set here: run this where a worker runs"


def required_keys(values: Mapping[str, str]) -> Keys:
    """Return the kinds of keys to require: none if only webhook secrets are set."""
    kinds = {setting for _, setting in secrets_in(values)}
    return ALL_KEYS if not kinds or kinds & {*DESK_KEYS, *MODEL_KEYS, *PROCESS_KEYS} else ()


def load_parts() -> tuple[Loaded, list[Finding]]:
    """Load a worker's settings, or their usable parts, with a row for the problems."""
    rows = Findings("settings")
    problems: list[str] = []

    def usable(kind: type[Part], **defaults: str) -> Part | None:
        try:
            return load(kind, **defaults)
        except SettingsError as failure:
            problems[:] = failure.problems
            return None

    log = usable(LogSettings)
    read = read_environment(log.secrets_dir if log else None)
    keys = required_keys(read())
    stores, desks = usable(StoreSettings), usable(DeskClientSettings)
    # Last, since it has all settings and so all problems.
    worker = usable(WorkerSettings, **not_needed(TenantDirectory(read))) if keys else None
    loaded = Loaded(log, stores, desks, worker, keys)
    if problems:
        rows.failed("settings", "; ".join(problems), "fix these settings where a worker runs")
    elif loaded.has_no_keys:
        rows.not_checked(loaded.has_no_keys)
    else:
        rows.ok("complete for a worker", "settings")
    return loaded, rows.all


def tenant_rows(tenants: TenantDirectory, tenant_id: str = "") -> list[Finding]:
    """Return the tenant's row; without an id, other problems or the lack of tenants."""
    rows, tenant_ids = Findings("tenant settings", tenant_id), {tenant.id for tenant in tenants.all()}
    sentences = [
        problem.sentence
        for problem in tenants.problems
        if (problem.tenant_id in (tenant_id, "") if tenant_id else problem.tenant_id not in tenant_ids)
    ]
    if sentences:
        remedy = "fix these settings; no restart is needed"
        return rows.failed("tenant settings", "; ".join(sentences), remedy)
    if tenant_id and tenants.get(tenant_id) is not None:
        return rows.ok("usable", "tenant settings")
    if tenant_ids and not tenant_id:
        return []
    seen = "the tenant has no settings here" if tenant_id else "no tenant is set up"
    return rows.failed("tenant settings", seen, "set WEBHOOK_SECRET_<TENANT> and the tenant's other settings")


def secret_rows(tenant: Tenant) -> list[Finding]:
    rows = Findings("secret strength", tenant.id)
    if tenant.polled and not tenant.accepts_webhooks:
        return rows.not_checked("not needed: the desk is polled")
    if not tenant.webhook_secrets:
        return rows.not_checked("the tenant has no webhook secret here")
    for secret in tenant.webhook_secrets:
        if len(secret) < _MIN_SECRET_LENGTH or len(set(secret)) < _MIN_CHARACTERS:
            seen = f"a secret has {len(secret)} characters, {len(set(secret))} of them different"
            value = "one of `openssl rand -hex 32` (docs/runbooks/secret-rotation.md)"
            return rows.failed("secret strength", seen, f"rotate WEBHOOK_SECRET_{setting_suffix(tenant.id)} to {value}")
    return rows.ok(f"at least {_MIN_SECRET_LENGTH} characters", "secret strength")


def reconcile_rows(tenant: Tenant) -> list[Finding]:
    rows = Findings("missing webhooks", tenant.id)
    if tenant.desk is None:
        return rows.not_checked("the tenant has no desk")
    if tenant.polled:
        return rows.ok("none expected: the desk is polled", "missing webhooks")
    name = key_name(tenant.id, "reconcile")
    handling = "get a job" if tenant.recovers else "are reported; with on, they get a job too"
    text = f"{name} is {'on' if tenant.recovers else 'report'}: new tickets without a webhook {handling}"
    return rows.ok(text, "missing webhooks")


async def postgres_rows(url: str | None) -> list[Finding]:
    """Check that Postgres answers, admits the role and has this release's schema."""
    rows = Findings("postgres")
    if url is None:
        return rows.not_checked("DATABASE_URL is missing or invalid")
    database = Database(url, application_name="ai-agents check", pool_size=2)
    try:
        async with asyncio.timeout(_STORE_SECONDS):
            await check(database)
    except (DatabaseUnreachableError, TimeoutError):
        remedy = "check that the server of DATABASE_URL runs and is reachable from here"
        rows.failed("postgres address", "it does not answer", remedy)
    except DatabaseUnfitError as unfit:
        rows.ok("it answers", "postgres address")
        rows.failed("postgres role and tables", str(unfit), "see docs/running.md for roles and migration")
    else:
        rows.ok("it answers", "postgres address")
        rows.ok("the role can't bypass row-level security; schema is current", "postgres role and tables")
    finally:
        await database.close()
    return rows.all


async def redis_rows(url: str | None) -> list[Finding]:
    """Check that Redis answers and refuses writes when its memory is full."""
    rows = Findings("redis")
    if url is None:
        return rows.not_checked("REDIS_URL is missing or invalid")
    redis = open_redis(url, seconds=_STORE_SECONDS)
    try:
        waiting = await redis.llen(QUEUE)
        rows.ok(f"it answers, {waiting} jobs queued", "redis address")
        policy = await eviction_policy(redis)
    except AuthenticationError:
        rows.failed("redis address", "the password is refused", "correct the password in REDIS_URL")
    except (RedisError, OSError):
        remedy = "check that the server of REDIS_URL runs and is reachable from here"
        rows.failed("redis address", "it does not answer", remedy)
    else:
        if policy is None:
            rows.not_checked("it does not show its policy", "redis policy")
        elif policy == SAFE_POLICY:
            rows.ok(policy, "redis policy")
        else:
            rows.failed(
                "redis policy",
                policy,
                f"set maxmemory-policy {SAFE_POLICY}: with this policy jobs and events may be evicted",
            )
    finally:
        await redis.aclose()
    return rows.all
