"""What is wrong with a tenant's settings: a sentence for each one to mend, which names the setting and no value."""

import re
from collections.abc import Mapping
from functools import partial

from config.addresses import address_problem
from config.reconcile_settings import reconcile_problems
from config.secret_files import UNREADABLE, unreadable
from config.tenant_names import ALL_KEYS, Keys, setting_suffix
from config.tenants import EMBEDDINGS, MASKINGS
from config.ticket_rules import RulesUnreadable, parse_names

TENANT_ID = re.compile(r"[a-z0-9-]{1,63}")
_NEEDED = {"onpremises": ("URL",), "cloud": ("URL", "ACCOUNTS_URL")}
_NEEDED_KEYS = {"onpremises": ("API_KEY",), "cloud": ("CLIENT_ID", "CLIENT_SECRET", "REFRESH_TOKEN")}
# What goes into the head of a request to the desk.
_SENT = ("API_KEY", "CLIENT_ID", "CLIENT_SECRET", "REFRESH_TOKEN", "PORTAL_ID")
_SHORTEST_TOKEN = 32
_SIGN = ("WEBHOOK_SECRET", "PREVIOUS_WEBHOOK_SECRET", "RETIRED_WEBHOOK_SECRET")
NOT_LISTED = "SECRETS_DIR can't be listed: this process must be able to read it"
"""What is wrong while its files could never be listed."""
ODD_KEY = "has a line break or a character that no key has"
"""What is wrong with a key that can't stand in the head of a request."""
_DOLLARS = re.compile(r"[0-9]{1,6}(\.[0-9]{1,4})?")
_LANGUAGES = re.compile(r"[A-Za-z]{2}(\s*,\s*[A-Za-z]{2})*,?")
_FEWEST_PROMPT_TOKENS = 1000
_LONGEST_RULES = 4000
_MOST_AUDIT_DAYS = 3650
_WEIGHT = re.compile(r"[0-9]{1,3}(\.[0-9]{1,3})?")


def is_tenant_id(text: str) -> bool:
    """Return True if it may stand in log lines, where support greps for `error`, and in labels."""
    return TENANT_ID.fullmatch(text) is not None and "error" not in text


def key_problems(name: str, key: str) -> list[str]:
    """Return the problems of a key of the process itself that is read while it runs; empty if it is gone."""
    if key == UNREADABLE:
        return [f"{name} is wrong: its file can't be read as text"]
    if not key:
        return [f"{name} is gone: what is asked with it waits for another one, or for a restart"]
    return [] if may_be_sent(key) else [f"{name} is wrong: {ODD_KEY}"]


def id_problems(tenant_id: str) -> list[str]:
    """Return the problems of the id."""
    suffix = setting_suffix(tenant_id)
    if not TENANT_ID.fullmatch(tenant_id):
        return [f"WEBHOOK_SECRET_{suffix[:63]}: a tenant id has only a-z, 0-9 and -, at most 63 of them"]
    if not is_tenant_id(tenant_id):
        return [f"WEBHOOK_SECRET_{suffix}: a tenant id must not contain 'error', since support greps for it"]
    return []


def problems_of(tenant_id: str, settings: Mapping[str, str], keys: Keys = ALL_KEYS) -> list[str]:
    """Return the problems of the settings (named without the tenant) of a tenant whose id is well-formed.

    Keys of another kind than `keys` may be missing.
    """
    of_desk_and_model = partial(desk_problems, keys=keys), partial(model_problems, keys=keys)
    of_jobs = (ticket_problems, share_problems, note_problems, audit_problems)
    parts = (webhook_problems, reconcile_problems, *of_desk_and_model, *of_jobs)
    return [sentence for part in parts for sentence in part(tenant_id, settings)]


def webhook_problems(tenant_id: str, settings: Mapping[str, str]) -> list[str]:
    """Return the problems of the settings (named without the tenant) that its webhooks are checked by."""
    suffix = setting_suffix(tenant_id)
    wrong = _unreadable(suffix, settings, ("WEBHOOK_SECRET", "WEBHOOK_REQ", "WEBHOOK_TOKEN", "PREVIOUS_", "RETIRED_"))
    if not wrong and settings.get("WEBHOOK_REQUIRE_TIMESTAMP", "false").lower() not in ("true", "false"):
        wrong.append(f"WEBHOOK_REQUIRE_TIMESTAMP_{suffix} must be true or false")
    if "PREVIOUS_WEBHOOK_SECRET" in settings and "WEBHOOK_SECRET" not in settings:
        wrong.append(f"WEBHOOK_SECRET_{suffix} is missing, but PREVIOUS_WEBHOOK_SECRET_{suffix} is set")
    retired = settings.get("RETIRED_WEBHOOK_SECRET")
    if retired is not None and retired in (settings.get("WEBHOOK_SECRET"), settings.get("PREVIOUS_WEBHOOK_SECRET")):
        wrong.append(f"RETIRED_WEBHOOK_SECRET_{suffix} is a secret that is still in use")
    return wrong + _token_problems(suffix, settings)


def _token_problems(suffix: str, settings: Mapping[str, str]) -> list[str]:
    token = settings.get("WEBHOOK_TOKEN")
    if token is None or token == UNREADABLE:
        return []
    wrong = []
    if len(token) < _SHORTEST_TOKEN or not may_be_sent(token) or " " in token:
        wrong.append(f"WEBHOOK_TOKEN_{suffix} must be {_SHORTEST_TOKEN} characters at least, without blanks")
    if token in map(settings.get, _SIGN):
        wrong.append(f"WEBHOOK_TOKEN_{suffix} must not be a secret that signs: it travels with each webhook")
    if settings.get("WEBHOOK_REQUIRE_TIMESTAMP", "false").lower() == "true":
        wrong.append(
            f"WEBHOOK_TOKEN_{suffix} and WEBHOOK_REQUIRE_TIMESTAMP_{suffix} exclude each other: a token is no signature"
        )
    return wrong


def shared_token(tenant_id: str, token: str, tenants: Mapping[str, Mapping[str, str]]) -> str | None:
    """Return the problem of a token that another one of `tenants` (id -> settings) uses too, or None.

    Who knows it would post as both.
    """
    holders = [
        f"{name}_{setting_suffix(other)}"
        for other, settings in sorted(tenants.items())
        for name in ("WEBHOOK_TOKEN", *_SIGN)
        if token and other != tenant_id and settings.get(name) == token
    ]
    wrong = f"WEBHOOK_TOKEN_{setting_suffix(tenant_id)} is off: it is the same as {', '.join(holders)}"
    return wrong if holders else None


def has_desk(settings: Mapping[str, str]) -> bool:
    """Return True if any of them is of a desk."""
    return any(name.startswith("SERVICEDESK_") for name in settings)


def desk_problems(tenant_id: str, settings: Mapping[str, str], keys: Keys = ALL_KEYS) -> list[str]:
    """Return the problems of its desk; nothing where it has none."""
    suffix = setting_suffix(tenant_id)
    wrong = _unreadable(suffix, settings, ("SERVICEDESK_",))
    if wrong or not has_desk(settings):
        return wrong
    edition = settings.get("SERVICEDESK_EDITION", "onpremises").lower()
    if edition not in ("onpremises", "cloud"):
        # What else is needed depends on it.
        wrong.append(f"SERVICEDESK_EDITION_{suffix} must be onpremises or cloud")
        needed: tuple[str, ...] = ("URL",)
    else:
        needed = _NEEDED[edition] + (_NEEDED_KEYS[edition] if "desk" in keys else ())
    wrong += [f"SERVICEDESK_{name}_{suffix} is missing" for name in needed if f"SERVICEDESK_{name}" not in settings]
    wrong += [
        f"SERVICEDESK_{name}_{suffix} {ODD_KEY}"
        for name in _SENT
        if not may_be_sent(settings.get(f"SERVICEDESK_{name}", ""))
    ]
    rate = settings.get("SERVICEDESK_RATE_PER_MINUTE", "1")
    if not (rate.isascii() and rate.isdecimal() and int(rate[:9]) >= 1):
        wrong.append(f"SERVICEDESK_RATE_PER_MINUTE_{suffix} must be a number from 1")
    if settings.get("SERVICEDESK_CONVERSATION", "none").lower() not in ("none", "copy"):
        wrong.append(f"SERVICEDESK_CONVERSATION_{suffix} must be none or copy")
    if settings.get("SERVICEDESK_EMBEDDINGS", "none").lower() not in EMBEDDINGS:
        wrong.append(f"SERVICEDESK_EMBEDDINGS_{suffix} must be none, local or endpoint")
    if not _is_count(settings.get("SERVICEDESK_HISTORY_DAYS", "1"), digits=4):
        wrong.append(f"SERVICEDESK_HISTORY_DAYS_{suffix} must be a number of days from 1 to 9999")
    if settings.get("SERVICEDESK_FAILURE_NOTE", "none").lower() not in ("none", "context"):
        wrong.append(f"SERVICEDESK_FAILURE_NOTE_{suffix} must be none or context")
    if not _LANGUAGES.fullmatch(settings.get("SERVICEDESK_LANGUAGES", "en").strip()):
        wrong.append(f"SERVICEDESK_LANGUAGES_{suffix} must be codes of two letters, separated by commas")
    for name in ("SERVICEDESK_URL", *(("SERVICEDESK_ACCOUNTS_URL",) if edition == "cloud" else ())):
        problem = address_problem(settings[name], secure=edition == "cloud") if name in settings else None
        if problem is not None:
            wrong.append(f"{name}_{suffix} {problem}")
    return wrong


def model_problems(tenant_id: str, settings: Mapping[str, str], keys: Keys = ALL_KEYS) -> list[str]:
    """Return the problems of its own settings for the model."""
    suffix = setting_suffix(tenant_id)
    if wrong := _unreadable(suffix, settings, ("OPENAI_",)):
        return wrong
    if not may_be_sent(settings.get("OPENAI_API_KEY", "")):
        wrong.append(f"OPENAI_API_KEY_{suffix} {ODD_KEY}")
    if "OPENAI_BASE_URL" in settings:
        if "model" in keys and "OPENAI_API_KEY" not in settings:
            # The process's own key must not be sent there.
            wrong.append(f"OPENAI_API_KEY_{suffix} is missing, but OPENAI_BASE_URL_{suffix} is set")
        if (problem := address_problem(settings["OPENAI_BASE_URL"], secure=False)) is not None:
            wrong.append(f"OPENAI_BASE_URL_{suffix} {problem}")
    if not _is_count(settings.get("OPENAI_DAILY_TOKENS", "1"), digits=12):
        wrong.append(f"OPENAI_DAILY_TOKENS_{suffix} must be a number from 1")
    dollars = settings.get("OPENAI_DAILY_DOLLARS", "1")
    if not (_DOLLARS.fullmatch(dollars) and float(dollars) > 0):
        wrong.append(f"OPENAI_DAILY_DOLLARS_{suffix} must be an amount like 2.50")
    return wrong


def ticket_problems(tenant_id: str, settings: Mapping[str, str]) -> list[str]:
    """Return the problems of the settings that say which of its tickets are enhanced, and how."""
    suffix = setting_suffix(tenant_id)
    wrong = _unreadable(suffix, settings, ("TICKETS_", "CONTEXT_", "MODE"))
    for name in ("TICKETS_ONLY", "TICKETS_NEVER", "CONTEXT_WITHIN"):
        try:
            if "event" in parse_names("" if wrong else settings.get(name, "")) and name == "CONTEXT_WITHIN":
                wrong.append(f"{name}_{suffix} must not name an event: of a ticket of before nobody knows it")
        except RulesUnreadable as unreadable_rules:
            wrong.append(f"{name}_{suffix} {unreadable_rules}")
    if not wrong and settings.get("MODE", "live").lower() not in ("live", "dry-run"):
        wrong.append(f"MODE_{suffix} must be live or dry-run")
    return wrong


def share_problems(tenant_id: str, settings: Mapping[str, str]) -> list[str]:
    """Return the problems of the settings of its share of the workers."""
    suffix = setting_suffix(tenant_id)
    if wrong := _unreadable(suffix, settings, ("JOBS_",)):
        return wrong
    weight = settings.get("JOBS_WEIGHT", "1")
    if not (_WEIGHT.fullmatch(weight) and float(weight) > 0):
        wrong.append(f"JOBS_WEIGHT_{suffix} must be a number like 3 or 0.5")
    return wrong + [
        f"{name}_{suffix} must be a number from 1 to 999999999"
        for name in ("JOBS_MOST_RUNNING", "JOBS_MOST_WAITING")
        if not _is_count(settings.get(name, "1"))
    ]


def note_problems(tenant_id: str, settings: Mapping[str, str]) -> list[str]:
    """Return the problems of the settings of its notes, and of what a model may see."""
    suffix = setting_suffix(tenant_id)
    wrong = _unreadable(suffix, settings, ("NOTE_", "MASKING"))
    if wrong:
        return wrong
    if settings.get("MASKING", "personal").lower() not in MASKINGS:
        wrong.append(f"MASKING_{suffix} must be personal, all or none")
    wrong += [
        f"{name}_{suffix} must be write or none"
        for name in ("NOTE_IF_NOTHING_FOUND", "NOTE_IF_REOPENED")
        if settings.get(name, "write").lower() not in ("write", "none")
    ]
    if not re.fullmatch("ticket|en|de|fr|es|it|nl|pt", settings.get("NOTE_LANGUAGE", "ticket").lower()):
        wrong.append(f"NOTE_LANGUAGE_{suffix} must be ticket, or one of en, de, fr, es, it, nl, pt")
    tokens = settings.get("NOTE_PROMPT_TOKENS", "8000")
    if not _is_count(tokens, digits=7) or int(tokens) < _FEWEST_PROMPT_TOKENS:
        wrong.append(f"NOTE_PROMPT_TOKENS_{suffix} must be a number from {_FEWEST_PROMPT_TOKENS} to 9999999")
    if len(settings.get("NOTE_RULES", "")) > _LONGEST_RULES:
        wrong.append(f"NOTE_RULES_{suffix} must have {_LONGEST_RULES} characters at most")
    return wrong


def audit_problems(tenant_id: str, settings: Mapping[str, str]) -> list[str]:
    """Return the problems of how long its audit records are kept."""
    suffix, days = setting_suffix(tenant_id), settings.get("AUDIT_DAYS", "0")
    if wrong := _unreadable(suffix, settings, ("AUDIT_",)):
        return wrong
    is_days = days == "0" or (_is_count(days, digits=4) and int(days) <= _MOST_AUDIT_DAYS)
    return [] if is_days else [f"AUDIT_DAYS_{suffix} must be a number of days from 0 to {_MOST_AUDIT_DAYS}"]


def _is_count(text: str, digits: int = 9) -> bool:
    """Return True for a number from 1 of so many digits at most: nine are what Postgres takes for an integer."""
    return text.isascii() and text.isdecimal() and len(text) <= digits and int(text) >= 1


def may_be_sent(value: str) -> bool:
    """Return True if it can stand in the head of a request."""
    return value.isascii() and (not value or value.isprintable())


def _unreadable(suffix: str, settings: Mapping[str, str], beginnings: tuple[str, ...]) -> list[str]:
    names = [name for name, value in settings.items() if value == UNREADABLE and name.startswith(beginnings)]
    return [unreadable(f"{name}_{suffix}") for name in names]
