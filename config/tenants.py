"""Tenants and their settings: names in the environment and `SECRETS_DIR`, and the model of `tenants.toml`.

A new setting that is not secret needs only a field here: validation, documentation and JSON schema derive from it.

`<TENANT>` in a setting's name is the tenant id in capitals with `_` for `-`: `WEBHOOK_SECRET_ACME_EU` belongs to
`acme-eu`.
"""

import re
import unicodedata
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Annotated, Any, Literal, get_args

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints, TypeAdapter
from pydantic.fields import FieldInfo

from config.addresses import ODD_KEY, address_problem, may_be_sent
from config.secret_files import UNREADABLE

KINDS = ("event", "category", "group", "site", "template")

Names = Mapping[str, frozenset[str]]
"""Kind -> names, folded (`fold`)."""


def fold_all(known: Mapping[str, str]) -> dict[str, str]:
    return {kind: fold(name) for kind, name in known.items()}


def fold(name: str) -> str:
    """Normalize case, spaces and Unicode form (NFKC)."""
    return " ".join(unicodedata.normalize("NFKC", name).casefold().split())


EmbeddingKind = Literal["none", "local", "endpoint"]
MaskingKind = Literal["none", "personal", "all"]
MASKINGS: tuple[str, ...] = get_args(MaskingKind)
"""Masking levels in ascending order."""
EventOrKind = Annotated[str, StringConstraints(pattern="^(event|category|group|site|template)$")]
Kind = Annotated[str, StringConstraints(pattern="^(category|group|site|template)$")]


def _folded(name: str) -> str:
    if not (name := fold(name)):
        raise ValueError("must not be empty")
    return name


def _sendable(value: str) -> str:
    if not may_be_sent(value):
        raise ValueError(ODD_KEY)
    return value


def _address(url: str, *, secure: bool = False) -> str:
    if url and (problem := address_problem(url, secure=secure)) is not None:
        raise ValueError(problem)
    return url.rstrip("/")


Name = Annotated[str, AfterValidator(_folded)]
Status = Annotated[str, Field(min_length=1), AfterValidator(str.casefold)]
Address = Annotated[str, AfterValidator(_address)]
SecureAddress = Annotated[str, AfterValidator(partial(_address, secure=True))]
Sendable = Annotated[str, AfterValidator(_sendable)]
Count = Annotated[int, Field(ge=1, le=999_999_999)]
"""Positive count that fits into a Postgres integer."""


class TenantSection(BaseModel):
    """A table of the file. Unknown keys are refused; messages contain no values."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        hide_input_in_errors=True,
        allow_inf_nan=False,
        str_strip_whitespace=True,
        use_attribute_docstrings=True,
    )


class WebhookSection(TenantSection):
    """Webhook verification."""

    require_timestamp: bool = False
    """`true`: a signature without a signed timestamp is refused, against replay (GitHub's scheme has no timestamp)."""
    mode: Literal["push", "poll"] = "push"
    """`poll` for a desk that can't send webhooks: housekeeping looks for its new tickets, and no secret is needed
    ([Reconcile](reconcile.md#a-desk-that-can-send-no-webhook))."""


class ServiceDeskSection(TenantSection):
    """Access to the desk, and the data copied from it."""

    portal_id: Sendable = ""
    """On premises: value of the header `PORTALID`, which selects the portal."""
    client_id: Sendable = ""
    """Cloud: OAuth client id."""
    accounts_url: SecureAddress = ""
    """Cloud: address of the accounts host that issues tokens, e.g. `https://accounts.zoho.eu`."""
    rate_per_minute: Count | None = None
    """Most calls of the desk in a minute, by all processes together; if unset, 60 on premises and 30 in the cloud.
    Copying uses a third at most, and nothing while jobs wait."""
    failure_note: bool = False
    """`true`: if GPT-4 fails, the ticket gets a short note with the context found."""
    history_days: Annotated[int, Field(ge=1, le=9999)] = 365
    """Days of tickets that are copied for context."""
    conversation: bool = False
    """`true`: the last ten mails of a closed ticket are copied too, with one call each."""
    embeddings: EmbeddingKind = "none"
    """Search by meaning, across languages: `local` uses a small model in our own processes, `endpoint` sends the texts
    to `EMBEDDINGS_BASE_URL`."""
    languages: tuple[Annotated[str, StringConstraints(pattern="^[A-Za-z]{2}$", to_lower=True)], ...] = ()
    """Languages of tickets and solutions; if unset, `en`, `de`, `fr`, `es`, `it`, `nl` and `pt`, detected for each
    text. A single one needs no detection."""
    closed_statuses: frozenset[Status] = frozenset()
    """Further names of closed statuses."""


class TicketsSection(TenantSection):
    """Selection of the tickets to enhance."""

    only: dict[EventOrKind, frozenset[Name]] = {}
    """Tickets to enhance, as lists of names by kind: `{ group = ["IT"] }`. Kinds are `event`, `category`, `group`,
    `site` and `template`. A ticket must have one name of each kind."""
    never: dict[EventOrKind, frozenset[Name]] = {}
    """Tickets to exclude, in the same form: any of the names is enough, e.g.
    `{ group = ["HR"], template = ["Dismissal"] }`."""


class ContextSection(TenantSection):
    """Selection of context for tickets."""

    within: dict[Kind, frozenset[Name]] = {}
    """Tickets that are context only for tickets with the same name, in the same form without `event`. With
    `{ group = ["Finance"] }`, tickets of the group Finance are shown only to that group."""
    never_topics: frozenset[Name] = frozenset()
    """Topics of solutions that are not used as context."""


class TicketRules(TicketsSection, ContextSection):
    """Rules that select tickets, to enhance and as context. All names are folded (`fold`)."""

    def leave_out(self, known: Mapping[str, str]) -> bool:
        """Return True if the rules exclude a ticket with these names: kind -> name. Missing kinds are not checked."""
        folded = fold_all(known)
        return self.forbid(known) or any(
            folded[kind] not in names for kind, names in self.only.items() if kind in folded
        )

    def forbid(self, known: Mapping[str, str]) -> bool:
        """Return True if `never` has one of the names: the ticket's text must not be stored."""
        return any(name in self.never.get(kind, ()) for kind, name in fold_all(known).items())

    @property
    def forbidden(self) -> Names:
        """Names whose tickets must not be stored."""
        return {kind: names for kind, names in self.never.items() if kind != "event"}

    def hidden_from(self, known: Mapping[str, str]) -> Names:
        """Return the names that exclude a ticket from the context of this one."""
        own = fold_all(known)
        hidden = {kind: names - {own.get(kind, "")} for kind, names in self.within.items()}
        kinds = self.forbidden.keys() | {kind for kind, names in hidden.items() if names}
        return {kind: self.forbidden.get(kind, frozenset()) | hidden.get(kind, frozenset()) for kind in kinds}

    def ask_for(self, kind: str) -> bool:
        """Return True if the ticket's name of this kind can change the selection."""
        return kind in self.only or kind in self.never


class NoteSection(TenantSection):
    """Content and language of notes."""

    language: Literal["ticket", "en", "de", "fr", "es", "it", "nl", "pt"] = "ticket"
    """Language of the notes: that of the ticket, or one code."""
    rules: Annotated[str, Field(max_length=4000)] = ""
    """Further instructions for the model: house rules, tone."""
    if_nothing_found: bool = True
    """Without a similar ticket or document: `true`, a note that says so; `false`, no note and no call of the model."""
    if_reopened: bool = True
    """`true`: a reopened ticket with a note gets a further one."""
    prompt_tokens: Annotated[int, Field(ge=1000, le=9_999_999)] = 8000
    """Most tokens of a ticket and its context, for a model with a small window. The least useful part is cut."""


class OpenAISection(TenantSection):
    """The tenant's own model, and the spending limits of its jobs."""

    base_url: Address = ""
    """The tenant's endpoint, in place of `OPENAI_BASE_URL`; requires its own key."""
    model: str = ""
    """The tenant's model, in place of `OPENAI_MODEL`."""
    daily_tokens: Annotated[int, Field(ge=1, le=999_999_999_999)] | None = None
    """Most tokens a day (UTC) of the tenant's jobs; beyond that they wait for the next day."""
    daily_dollars: Annotated[float, Field(gt=0, lt=1_000_000)] | None = None
    """The same in dollars, if the endpoint returns the cost of each answer (OpenRouter)."""


class JobShare(TenantSection):
    """The tenant's share of the workers."""

    weight: Annotated[float, Field(ge=0.001, lt=1000)] = 1
    """Share of the workers relative to other tenants while several have waiting jobs, e.g. 3 or 0.5."""
    most_running: Count | None = None
    """Most jobs in flight in all workers together; the others wait, even if slots are free."""
    most_waiting: Count | None = None
    """Most waiting jobs; beyond that a webhook is answered 429, to be sent again later. Not applied while Postgres is
    away."""


class TenantSettings(TenantSection):
    """Settings in one tenant's table of `tenants.toml`."""

    mode: Literal["live", "dry-run"] = "live"
    """`dry-run`: everything but the note, which `ai-agents show` prints."""
    masking: MaskingKind = "personal"
    """Data replaced by placeholders in texts to a model, and restored in the note. `personal`: names, mail addresses,
    telephone numbers, account and card numbers, ids and secrets. `all`: also postal addresses, IP addresses and host
    names. `none`: nothing."""
    reconcile: Literal["report", "on"] = "report"
    """For a new ticket whose webhook never came: `report` logs it, `on` also creates its job
    ([Reconcile](reconcile.md))."""
    audit_days: Annotated[int, Field(ge=0, le=3650)] = 0
    """Days for which a record of each prompt, as redacted, and its answer is kept ([why none by
    default](data.md#audit-records)). A lower value also deletes older records."""
    webhook: WebhookSection = WebhookSection()
    servicedesk: ServiceDeskSection = ServiceDeskSection()
    tickets: TicketsSection = TicketsSection()
    context: ContextSection = ContextSection()
    note: NoteSection = NoteSection()
    openai: OpenAISection = OpenAISection()
    jobs: JobShare = JobShare()


def _fields() -> Iterator[tuple[str, FieldInfo]]:
    for name, info in TenantSettings.model_fields.items():
        if isinstance(info.default, TenantSection):
            yield from ((f"{name}.{key}", inner) for key, inner in type(info.default).model_fields.items())
        else:
            yield name, info


FIELDS = dict(_fields())
"""Path below the tenant's table -> field."""
REMOVED = {path.replace(".", "_").upper(): path for path in FIELDS}
"""Variables (without suffix) of releases before `tenants.toml` -> path of their replacement."""
TENANT_SETTINGS: dict[str, str] = {
    "WEBHOOK_SECRET_": "Secret that signs the tenant's webhooks.",
    "PREVIOUS_WEBHOOK_SECRET_": "Previous secret, still accepted during a rotation.",
    "RETIRED_WEBHOOK_SECRET_": "Secret that is no longer accepted; the log names it if it signed a webhook.",
    "WEBHOOK_TOKEN_": "Value of `X-ServiceDesk-Token`, for a desk that can't sign; at least 32 characters. If unset "
    "(default), only signed webhooks are accepted.",
    "SERVICEDESK_URL_": "Address of the tenant's desk without `/api/v3` (cloud, and portals on premises: with "
    "`/app/<portal>`).",
    "SERVICEDESK_EDITION_": "`onpremises` (default) or `cloud`, which requires `client_id` and `accounts_url` in "
    "`tenants.toml`.",
    "SERVICEDESK_API_KEY_": "On premises: the technician's API key.",
    "SERVICEDESK_CLIENT_SECRET_": "Cloud: OAuth client secret.",
    "SERVICEDESK_REFRESH_TOKEN_": "Cloud: OAuth refresh token.",
    "OPENAI_API_KEY_": "The tenant's own key for the model, in place of `OPENAI_API_KEY`.",
}
DESK_KEYS = ("SERVICEDESK_API_KEY", "SERVICEDESK_CLIENT_SECRET", "SERVICEDESK_REFRESH_TOKEN")
MODEL_KEYS = ("OPENAI_API_KEY",)
SECRETS = ("WEBHOOK_SECRET", "PREVIOUS_WEBHOOK_SECRET", "WEBHOOK_TOKEN", *DESK_KEYS, *MODEL_KEYS)
"""Secrets that are revoked only by deleting them; a retired secret gives no access."""
PROCESS_KEYS = ("OPENAI_API_KEY", "OPENAI_FALLBACK_API_KEY")
"""Process settings that are read again like tenants' keys."""
Keys = Collection[Literal["desk", "model"]]
ALL_KEYS: Keys = ("desk", "model")
"""Kinds of tenants' keys; those that a process does not use may be missing."""
TENANT_ID = re.compile(r"[a-z0-9-]{1,63}")
# Process settings with the prefix of a tenant's setting.
_OF_PROCESSES = ("RECONCILE_INTERVAL_SECONDS", "RECONCILE_WINDOW_HOURS")
# Longest first, because one may be a prefix of another.
_PREFIXES = sorted([*TENANT_SETTINGS, *(f"{name}_" for name in REMOVED)], key=len, reverse=True)
# Any other name, alone, may be another program's variable.
_DEFINE_TENANT = ("WEBHOOK_SECRET", "PREVIOUS_WEBHOOK_SECRET", "WEBHOOK_TOKEN", "SERVICEDESK_")


def owner(name: str) -> tuple[str, str]:
    """Split a name into setting and tenant id; both empty if it belongs to no tenant."""
    if name in _OF_PROCESSES:
        return "", ""
    for prefix in _PREFIXES:
        if name.startswith(prefix) and len(name) > len(prefix):
            return prefix.rstrip("_"), name.removeprefix(prefix).lower().replace("_", "-")
    return "", ""


def setting_suffix(tenant_id: str) -> str:
    """Return the suffix of a tenant's settings: `ACME_EU` for `acme-eu`."""
    return tenant_id.upper().replace("-", "_")


def by_tenant(values: Mapping[str, str]) -> dict[str, dict[str, str]]:
    """Return tenant id -> setting without suffix -> value of defined tenants."""
    found: dict[str, dict[str, str]] = {}
    for name, value in values.items():
        setting, tenant_id = owner(name)
        if tenant_id:
            found.setdefault(tenant_id, {})[setting] = value
    return {
        tenant_id: settings
        for tenant_id, settings in found.items()
        if any(setting.startswith(_DEFINE_TENANT) for setting in settings)
    }


def is_tenant_id(text: str) -> bool:
    """Return True for a valid id; `error` is excluded because support greps for it."""
    return id_problem(text) is None


def id_problem(tenant_id: str) -> str | None:
    if not TENANT_ID.fullmatch(tenant_id):
        return "a tenant id has only a-z, 0-9 and -, at most 63 of them"
    return "a tenant id must not contain 'error', since support greps for it" if "error" in tenant_id else None


def secrets_in(values: Mapping[str, str]) -> dict[tuple[str, str], str]:
    """Return the readable secrets by (tenant, setting without suffix); the tenant is empty for PROCESS_KEYS.

    Order: current, previous, retired secret.
    """
    found = {("", name): values[name] for name in PROCESS_KEYS if name in values}
    for tenant_id, settings in sorted(by_tenant(values).items()):
        if is_tenant_id(tenant_id):
            own = [name for name in (*SECRETS, "RETIRED_WEBHOOK_SECRET") if name in settings]
            found |= {(tenant_id, name): settings[name] for name in own}
    return {key: secret for key, secret in found.items() if secret != UNREADABLE}


TENANTS_TOML = "tenants.toml"
"""Name of the file in messages, and key of its text among the tenants' values."""


def json_schema() -> dict[str, Any]:
    tenant_id = Annotated[str, StringConstraints(pattern="^[a-z0-9-]{1,63}$")]
    return TypeAdapter(dict[tenant_id, TenantSettings]).json_schema()


def key_name(tenant_id: str | None, path: str) -> str:
    """Return a key's name for messages: `acme.note.language in tenants.toml`."""
    return f"{tenant_id or '<TENANT>'}.{path} in {TENANTS_TOML}"


_CREDENTIALS = {"onpremises": ("api_key",), "cloud": ("client_secret", "refresh_token")}


class DeskSettings(ServiceDeskSection):
    """Connection to one tenant's ServiceDesk Plus. Its repr contains no credentials."""

    url: str
    edition: Literal["onpremises", "cloud"]
    rate_per_minute: int = 60
    api_key: str = Field("", repr=False)
    client_id: str = Field("", repr=False)
    accounts_url: str = ""
    client_secret: str = Field("", repr=False)
    refresh_token: str = Field("", repr=False)

    @property
    def credentials(self) -> dict[str, str]:
        """The edition's secrets by setting without suffix."""
        return {f"SERVICEDESK_{name.upper()}": getattr(self, name) for name in _CREDENTIALS[self.edition]}

    @property
    def has_keys(self) -> bool:
        """True if all credentials are set. A process that does not call the desk has only its address."""
        return all(self.credentials.values())


class ModelSettings(OpenAISection):
    """The tenant's own model. Empty fields fall back to the process's settings; the repr contains no key."""

    api_key: str = Field("", repr=False)
    withdrawn: bool = False
    """True if the tenant's key was deleted: its texts may be meant for that account only, so no model is called."""


class NoteSettings(NoteSection):
    """Note settings, and the masking of texts sent to a model."""

    masking: MaskingKind = "personal"


@dataclass(frozen=True, slots=True)
class Tenant:
    """One customer. `webhook_secrets`: the current secret, then the previous one, if any.

    A tenant whose settings have a problem is not `usable`; it keeps its earlier working settings, if any.
    """

    id: str
    webhook_secrets: tuple[str, ...] = field(default=(), repr=False)
    desk: DeskSettings | None = None
    require_timestamp: bool = False
    usable: bool = True
    webhook_token: str = field(default="", repr=False)
    """Accepted in place of a signature; empty if each webhook must be signed."""
    retired_secret: str = field(default="", repr=False)
    """Never accepted, but named in the log."""
    lacks_current_secret: bool = False
    """True if the only webhook secret is the previous one."""
    model: ModelSettings = field(default_factory=ModelSettings)
    rules: TicketRules = field(default_factory=TicketRules)
    dry_run: bool = False
    share: JobShare = field(default_factory=JobShare)
    note: NoteSettings = field(default_factory=NoteSettings)
    audit_days: int = 0
    polled: bool = False
    """True if its desk sends no webhooks: housekeeping looks for new tickets."""
    recovers: bool = False
    """True if missed webhooks get a job; otherwise they are only reported."""

    @property
    def opens_webhook(self) -> bool:
        return bool(self.webhook_secrets or self.webhook_token)
