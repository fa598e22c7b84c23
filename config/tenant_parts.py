"""A tenant from its settings (named without the tenant), part by part: webhooks, desk, model, tickets, share, notes."""

from collections.abc import Mapping
from dataclasses import replace

from config.reconcile_settings import is_polled, reconcile_problems, recovers
from config.secret_files import UNREADABLE
from config.tenant_names import ALL_KEYS, Keys
from config.tenant_problems import (
    audit_problems,
    desk_problems,
    has_desk,
    model_problems,
    note_problems,
    share_problems,
    ticket_problems,
    webhook_problems,
)
from config.tenants import EMBEDDINGS, MASKINGS, DeskSettings, JobShare, ModelSettings, NoteSettings, Tenant
from config.ticket_rules import TicketRules, fold, parse_names

_WEBHOOK_SECRETS = ("WEBHOOK_SECRET", "PREVIOUS_WEBHOOK_SECRET")
_REQUIRE_TIMESTAMP = "WEBHOOK_REQUIRE_TIMESTAMP"


def tenant_of(tenant_id: str, settings: Mapping[str, str]) -> Tenant:
    """Return the tenant of settings that have no problem."""
    return Tenant(
        tenant_id,
        _webhook_secrets(settings),
        _desk(settings),
        require_timestamp=settings.get(_REQUIRE_TIMESTAMP, "false").lower() == "true",
        webhook_token=settings.get("WEBHOOK_TOKEN", ""),
        retired_secret=settings.get("RETIRED_WEBHOOK_SECRET", ""),
        model=_model(settings),
        rules=_rules(settings),
        dry_run=settings.get("MODE", "live").lower() == "dry-run",
        share=_share(settings),
        note=_note(settings),
        audit_days=int(settings.get("AUDIT_DAYS", "0")),
        polled=is_polled(settings),
        recovers=recovers(settings),
    )


def tenant_left(old: Tenant, settings: Mapping[str, str], keys: Keys = ALL_KEYS) -> Tenant:
    """Return what goes on of a tenant whose settings have a problem now; nothing of one that was closed.

    Its webhooks' secrets and how they are checked, its desk, its model, its tickets, its share, its notes, its audit
    records and what is done without a webhook stand by themselves.
    What is usable is as the settings have it now, what is not is as it was, but for secrets that are not there any
    more.
    """
    if not (old.opens_webhook or old.desk):
        return Tenant(old.id, usable=False)
    lacks_current = settings.get("WEBHOOK_SECRET", UNREADABLE) == UNREADABLE
    left = replace(old, usable=False, webhook_secrets=_webhook_secrets(settings), lacks_current_secret=lacks_current)
    if "PREVIOUS_WEBHOOK_SECRET" in settings and lacks_current:
        known = (secret for secret in old.webhook_secrets if secret in left.webhook_secrets)
        left = replace(left, webhook_secrets=tuple(known))
    required = settings.get(_REQUIRE_TIMESTAMP, "false").lower()
    if required in ("true", "false"):
        left = replace(left, require_timestamp=required == "true")
    token = settings.get("WEBHOOK_TOKEN", "")
    if not webhook_problems(old.id, settings):
        left = replace(left, webhook_token=token, retired_secret=settings.get("RETIRED_WEBHOOK_SECRET", ""))
    elif token != old.webhook_token or left.require_timestamp:
        left = replace(left, webhook_token="")
    return _with_other_parts(left, settings, keys)


def _with_other_parts(left: Tenant, settings: Mapping[str, str], keys: Keys) -> Tenant:
    if not desk_problems(left.id, settings, keys):
        left = replace(left, desk=_desk(settings))
    elif left.desk is not None and not left.desk.credentials.items() <= settings.items():
        left = replace(left, desk=None)
    if not model_problems(left.id, settings, keys):
        left = replace(left, model=_model(settings))
    elif left.model.api_key and settings.get("OPENAI_API_KEY") != left.model.api_key:
        left = replace(left, model=replace(left.model, api_key="", withdrawn=True))
    if not ticket_problems(left.id, settings):
        left = replace(left, rules=_rules(settings), dry_run=settings.get("MODE", "live").lower() == "dry-run")
    if not share_problems(left.id, settings):
        left = replace(left, share=_share(settings))
    if not note_problems(left.id, settings):
        left = replace(left, note=_note(settings))
    if not audit_problems(left.id, settings):
        left = replace(left, audit_days=int(settings.get("AUDIT_DAYS", "0")))
    if not reconcile_problems(left.id, settings):
        left = replace(left, polled=is_polled(settings), recovers=recovers(settings))
    return left


def _webhook_secrets(settings: Mapping[str, str]) -> tuple[str, ...]:
    return tuple(settings[name] for name in _WEBHOOK_SECRETS if settings.get(name, UNREADABLE) != UNREADABLE)


def _desk(settings: Mapping[str, str]) -> DeskSettings | None:
    """Return the desk of settings that have no problem; None where there is none."""
    if not has_desk(settings):
        return None
    cloud = settings.get("SERVICEDESK_EDITION", "onpremises").lower() == "cloud"
    closed, languages = settings.get("SERVICEDESK_CLOSED_STATUSES", ""), settings.get("SERVICEDESK_LANGUAGES", "")
    return DeskSettings(
        url=settings["SERVICEDESK_URL"].rstrip("/").removesuffix("/api/v3"),
        edition="cloud" if cloud else "onpremises",
        portal_id=settings.get("SERVICEDESK_PORTAL_ID", ""),
        api_key=settings.get("SERVICEDESK_API_KEY", ""),
        client_id=settings.get("SERVICEDESK_CLIENT_ID", ""),
        client_secret=settings.get("SERVICEDESK_CLIENT_SECRET", ""),
        refresh_token=settings.get("SERVICEDESK_REFRESH_TOKEN", ""),
        accounts_url=settings["SERVICEDESK_ACCOUNTS_URL"].rstrip("/") if cloud else "",
        rate_per_minute=int(settings.get("SERVICEDESK_RATE_PER_MINUTE", "30" if cloud else "60")[:9]),
        failure_note=settings.get("SERVICEDESK_FAILURE_NOTE", "none").lower() == "context",
        closed_statuses=frozenset(name.strip().casefold() for name in closed.split(",") if name.strip()),
        embeddings=EMBEDDINGS[settings.get("SERVICEDESK_EMBEDDINGS", "none").lower()],
        conversation=settings.get("SERVICEDESK_CONVERSATION", "none").lower() == "copy",
        history_days=int(settings.get("SERVICEDESK_HISTORY_DAYS", "365")),
        languages=tuple(code.strip().lower() for code in languages.split(",") if code.strip()),
    )


def _model(settings: Mapping[str, str]) -> ModelSettings:
    tokens, dollars = settings.get("OPENAI_DAILY_TOKENS"), settings.get("OPENAI_DAILY_DOLLARS")
    return ModelSettings(
        api_key=settings.get("OPENAI_API_KEY", ""),
        base_url=settings.get("OPENAI_BASE_URL", "").rstrip("/"),
        name=settings.get("OPENAI_MODEL", ""),
        daily_tokens=None if tokens is None else int(tokens),
        daily_dollars=None if dollars is None else float(dollars),
    )


def _share(settings: Mapping[str, str]) -> JobShare:
    running, waiting = settings.get("JOBS_MOST_RUNNING"), settings.get("JOBS_MOST_WAITING")
    return JobShare(
        weight=float(settings.get("JOBS_WEIGHT", "1")),
        most_running=None if running is None else int(running),
        most_waiting=None if waiting is None else int(waiting),
    )


def _note(settings: Mapping[str, str]) -> NoteSettings:
    language = settings.get("NOTE_LANGUAGE", "ticket").lower()
    return NoteSettings(
        language="" if language == "ticket" else language,
        rules=settings.get("NOTE_RULES", ""),
        if_nothing_found=settings.get("NOTE_IF_NOTHING_FOUND", "write").lower() == "write",
        if_reopened=settings.get("NOTE_IF_REOPENED", "write").lower() == "write",
        prompt_tokens=int(settings.get("NOTE_PROMPT_TOKENS", "8000")),
        masking=MASKINGS[settings.get("MASKING", "personal").lower()],
    )


def _rules(settings: Mapping[str, str]) -> TicketRules:
    names = ("TICKETS_ONLY", "TICKETS_NEVER", "CONTEXT_WITHIN")
    only, never, within = (parse_names(settings.get(name, "")) for name in names)
    topics = map(fold, settings.get("CONTEXT_NEVER_TOPICS", "").split(","))
    return TicketRules(only, never, within, frozenset(filter(None, topics)))
