"""Tenants' settings: names in environment and files, model of `tenants.toml`.

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
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints, TypeAdapter
from pydantic.fields import FieldInfo

from config.addresses import ODD_KEY, address_problem, may_be_sent
from config.secret_files import UNREADABLE

KINDS = ("event", "category", "group", "site", "template")

Names = Mapping[str, frozenset[str]]
"""Kind -> names, folded (`fold`)."""


def fold_all(known: Mapping[str, str]) -> dict[str, str]:
    """Return kind -> folded name, as the rules compare them."""
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
    """`true`: refuse signatures without a signed timestamp, to prevent replays (GitHub's scheme has no timestamp)."""
    mode: Literal["push", "poll"] = "push"
    """`push`: the desk sends webhooks. `poll`: housekeeping searches the desk for new tickets, without a secret
    ([Reconcile](reconcile.md#a-desk-that-can-send-no-webhook))."""


class ServiceDeskSection(TenantSection):
    """Access to the desk, and the data copied from it."""

    portal_id: Sendable = ""
    """On premises: value of the header `PORTALID`, for desks with several portals."""
    client_id: Sendable = ""
    """Cloud: OAuth client id."""
    accounts_url: SecureAddress = ""
    """Cloud: accounts host that issues tokens, such as `https://accounts.zoho.eu`."""
    rate_per_minute: Count | None = None
    """Maximum calls per minute to the desk, from all processes together; unset, 60 on premises and 30 on cloud. Syncs
    use at most a third, and none while jobs wait."""
    failure_note: bool = False
    """`true`: if the model fails for a ticket, post a short note that names it, with links to what was found."""
    history_days: Annotated[int, Field(ge=1, le=9999)] = 365
    """Age in days up to which tickets are copied for context."""
    conversation: bool = False
    """`true`: copy the last nine mails, notes and work logs of a closed ticket too, if its resolution has fewer than
    five words; up to twelve calls to the desk for each such ticket."""
    embeddings: EmbeddingKind = "none"
    """Search by meaning, across languages, in addition to words. `local`: a small model inside the processes.
    `endpoint`: texts are sent to `EMBEDDINGS_BASE_URL`. `none`: words only."""
    languages: tuple[Annotated[str, StringConstraints(pattern="^[A-Za-z]{2}$", to_lower=True)], ...] = ()
    """Language codes of the tickets and solutions; unset, each text's language is detected among `en`, `de`, `fr`,
    `es`, `it`, `nl` and `pt`. With a single code, nothing is detected."""
    closed_statuses: frozenset[Status] = frozenset()
    """Additional status names that mean closed."""


class TicketsSection(TenantSection):
    """Selection of the tickets to enhance."""

    only: dict[EventOrKind, frozenset[Name]] = {}
    """Tickets to enhance, as lists of names by kind: `{ group = ["IT"] }`. Kinds are `event`, `category`, `group`,
    `site` and `template`. A ticket must match one name of each listed kind."""
    never: dict[EventOrKind, frozenset[Name]] = {}
    """Tickets not to enhance, in the same form: `{ group = ["HR"], template = ["Dismissal"] }`. A ticket that matches
    any name is ignored."""


class ContextSection(TenantSection):
    """Selection of context for tickets."""

    within: dict[Kind, frozenset[Name]] = {}
    """Tickets used as context only for tickets of the same name, in the same form without `event`. With
    `{ group = ["Finance"] }`, solved tickets of the group Finance are context only for tickets of that group."""
    never_topics: frozenset[Name] = frozenset()
    """Topics of solutions that are not used as context."""


class TicketRules(TicketsSection, ContextSection):
    """Rules that select tickets and context. All names are folded (`fold`)."""

    def excludes(self, known: Mapping[str, str]) -> bool:
        """Return True if rules exclude these names (kind -> name); kinds may be missing."""
        folded = fold_all(known)
        return self.forbids(known) or any(
            folded[kind] not in names for kind, names in self.only.items() if kind in folded
        )

    def forbids(self, known: Mapping[str, str]) -> bool:
        """Return True if `never` has one of the names: the text must not be stored."""
        return any(name in self.never.get(kind, ()) for kind, name in fold_all(known).items())

    @property
    def forbidden(self) -> Names:
        """Names whose tickets must not be stored."""
        return {kind: names for kind, names in self.never.items() if kind != "event"}

    def hidden_from(self, known: Mapping[str, str]) -> Names:
        """Return the names that exclude a ticket from the context of this one."""
        folded = fold_all(known)
        hidden = {kind: names - {folded.get(kind, "")} for kind, names in self.within.items()}
        kinds = self.forbidden.keys() | {kind for kind, names in hidden.items() if names}
        return {kind: self.forbidden.get(kind, frozenset()) | hidden.get(kind, frozenset()) for kind in kinds}

    def depends_on(self, kind: str) -> bool:
        """Return True if the ticket's name of this kind can change the selection."""
        return kind in self.only or kind in self.never


class NoteSection(TenantSection):
    """Content and language of notes."""

    language: Literal["ticket", "en", "de", "fr", "es", "it", "nl", "pt"] = "ticket"
    """Language of the notes: one code, or `ticket` for each ticket's language."""
    rules: Annotated[str, Field(max_length=4000)] = ""
    """Additional instructions for the model, such as company rules or tone."""
    if_nothing_found: bool = True
    """If no similar ticket or document is found: `true`, post a note with general advice; `false`, post no note and
    skip the model."""
    if_reopened: bool = True
    """`true`: post a further note if a ticket with a note is reopened."""
    prompt_bytes: Annotated[int, Field(ge=4000, le=9_999_999)] = 32000
    """Maximum bytes (UTF-8) of a ticket and its context, for models with a small context window. The tokens are at
    most as many, usually a quarter. The least useful parts are cut. Instructions, and the claims of the second request,
    are not counted."""


class OpenAISection(TenantSection):
    """The tenant's own model, and the spending limits of its jobs."""

    base_url: Address = ""
    """Address of the tenant's model, instead of `OPENAI_BASE_URL`; needs the tenant's own key."""
    model: str = ""
    """The tenant's model, instead of `OPENAI_MODEL`."""
    check_model: str = ""
    """Model of the second request that checks the claims of an answer, at the same server, instead of the tenant's
    model. Without a right to it, the notes say that they were not checked."""
    daily_tokens: Annotated[int, Field(ge=1, le=999_999_999_999)] | None = None
    """Maximum tokens per day (UTC) for the tenant's jobs; beyond it, jobs wait for the next day."""
    daily_dollars: Annotated[float, Field(gt=0, lt=1_000_000)] | None = None
    """Maximum dollars per day (UTC) for the tenant's jobs; needs an endpoint that reports costs (OpenRouter)."""


class JobShare(TenantSection):
    """The tenant's share of the workers."""

    weight: Annotated[float, Field(ge=0.001, lt=1000)] = 1
    """Relative share of the workers when several tenants' jobs wait; 3 counts as three tenants, 0.5 as half."""
    most_running: Count | None = None
    """Maximum jobs of the tenant in flight, in all workers together; further jobs wait, even with free slots."""
    most_waiting: Count | None = None
    """Maximum waiting jobs of the tenant; beyond it, webhooks are answered with 429 and `Retry-After`. Not checked
    while Postgres is down."""


MAX_MINUTES_PER_NOTE = 480


def parse_zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError("must be a time zone like Europe/Berlin, or UTC") from None
    return name


def parse_minutes(text: str) -> float:
    """Parse the assumed minutes of a used note. Raises ValueError."""
    try:
        minutes = float(text)
    except ValueError:
        minutes = -1
    if not 0 <= minutes <= MAX_MINUTES_PER_NOTE:
        raise ValueError(f"{text!r} is not a number of minutes from 0 to {MAX_MINUTES_PER_NOTE}")
    return minutes


class ReportSection(TenantSection):
    """The value report."""

    timezone: Annotated[str, AfterValidator(parse_zone)] = "UTC"
    """Time zone of the report's days, such as `Europe/Berlin`."""
    minutes_per_note: Annotated[float, Field(ge=0, le=MAX_MINUTES_PER_NOTE)] = 5
    """Assumed minutes that a technician saves with a note that was used."""
    holdout: Annotated[int, Field(ge=0, le=50)] = 0
    """Percent of the tickets that get no note, to compare them with the others. A person can still request the note
    ([Hold out tickets](operating.md#hold-out-tickets))."""


class TenantSettings(TenantSection):
    """Settings in one tenant's table of `tenants.toml`."""

    mode: Literal["live", "dry-run"] = "live"
    """`dry-run`: do everything except posting the note; `ai-agents show` prints it."""
    masking: MaskingKind = "personal"
    """Data replaced by placeholders for models, and restored in the note. `personal`: names, mail addresses, telephone
    numbers, account and card numbers, ids and secrets. `all`: also postal addresses, IP addresses and host names.
    `none`: nothing."""
    reconcile: Literal["report", "on"] = "report"
    """Handling of new tickets without a webhook. `report`: report them only. `on`: also create their jobs
    ([Reconcile](reconcile.md))."""
    audit_days: Annotated[int, Field(ge=0, le=3650)] = 0
    """Days to keep a record of each model call: the redacted question and the answer; 0 keeps none
    ([reasons](data.md#audit-records)). Lowering it deletes older records."""
    webhook: WebhookSection = WebhookSection()
    servicedesk: ServiceDeskSection = ServiceDeskSection()
    tickets: TicketsSection = TicketsSection()
    context: ContextSection = ContextSection()
    note: NoteSection = NoteSection()
    openai: OpenAISection = OpenAISection()
    jobs: JobShare = JobShare()
    report: ReportSection = ReportSection()


def _fields() -> Iterator[tuple[str, FieldInfo]]:
    for name, info in TenantSettings.model_fields.items():
        if isinstance(info.default, TenantSection):
            yield from ((f"{name}.{key}", inner) for key, inner in type(info.default).model_fields.items())
        else:
            yield name, info


FIELDS = dict(_fields())
"""Path below the tenant's table -> field."""
REMOVED = {
    path.replace("prompt_bytes", "prompt_tokens").replace(".", "_").upper(): path
    for path in FIELDS
    if not path.startswith(("report.", "openai.check_model"))  # newer than the file
}
"""Variables (without suffix) of releases before `tenants.toml` -> path of their replacement."""
TENANT_SETTINGS: dict[str, str] = {
    "WEBHOOK_SECRET_": "Secret that signs the tenant's webhooks.",
    "PREVIOUS_WEBHOOK_SECRET_": "The previous secret, accepted during a rotation.",
    "RETIRED_WEBHOOK_SECRET_": "An ended secret. Webhooks signed with it are refused, and the log line names "
    "it as the cause.",
    "WEBHOOK_TOKEN_": "Token for desks that cannot sign, sent as `X-ServiceDesk-Token`; at least 32 characters. Unset, "
    "only signed webhooks are accepted.",
    "SERVICEDESK_URL_": "Address of the tenant's desk, without `/api/v3`; cloud and on-premises portals: with "
    "`/app/<portal>`.",
    "SERVICEDESK_EDITION_": "`onpremises` (default) or `cloud`, which needs `client_id` and `accounts_url` in "
    "`tenants.toml`.",
    "SERVICEDESK_API_KEY_": "On premises: the technician's API key.",
    "SERVICEDESK_CLIENT_SECRET_": "Cloud: OAuth client secret.",
    "SERVICEDESK_REFRESH_TOKEN_": "Cloud: OAuth refresh token.",
    "OPENAI_API_KEY_": "The tenant's own API key for the model, instead of `OPENAI_API_KEY`.",
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
# Only these define a tenant: any other name, alone, may be another program's variable.
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
    """Return the readable secrets by (tenant, setting without suffix).

    Order: current, previous, retired secret. The tenant is empty for PROCESS_KEYS.
    """
    found = {("", name): values[name] for name in PROCESS_KEYS if name in values}
    for tenant_id, settings in sorted(by_tenant(values).items()):
        if is_tenant_id(tenant_id):
            names = [name for name in (*SECRETS, "RETIRED_WEBHOOK_SECRET") if name in settings]
            found |= {(tenant_id, name): settings[name] for name in names}
    return {key: secret for key, secret in found.items() if secret != UNREADABLE}


TENANTS_TOML = "tenants.toml"
"""Name of the file in messages, and key of its text among the tenants' values."""


def json_schema() -> dict[str, Any]:
    """Return the JSON schema of `tenants.toml`, for editors."""
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
        """True if all credentials are set; only processes that call the desk have them."""
        return all(self.credentials.values())


class ModelSettings(OpenAISection):
    """The tenant's model; empty fields use the process's settings, repr has no key."""

    api_key: str = Field("", repr=False)
    withdrawn: bool = False
    """True if the tenant's key was deleted: its texts may be meant for that account only, so no model is called."""


class NoteSettings(NoteSection):
    """Note settings, and the masking of texts sent to a model."""

    masking: MaskingKind = "personal"


@dataclass(frozen=True, slots=True)
class Tenant:
    """One customer. `webhook_secrets`: the current, then any previous secret.

    A tenant whose settings have a problem is not `usable`; it keeps its earlier working settings, if any.
    """

    id: str
    webhook_secrets: tuple[str, ...] = field(default=(), repr=False)
    desk: DeskSettings | None = None
    require_timestamp: bool = False
    usable: bool = True
    webhook_token: str = field(default="", repr=False)
    """Token of unsigned webhooks; empty if each webhook must be signed."""
    retired_secret: str = field(default="", repr=False)
    """Recognized for the log line, never accepted."""
    lacks_current_secret: bool = False
    """True if the only webhook secret is the previous one."""
    model: ModelSettings = field(default_factory=ModelSettings)
    rules: TicketRules = field(default_factory=TicketRules)
    dry_run: bool = False
    share: JobShare = field(default_factory=JobShare)
    note: NoteSettings = field(default_factory=NoteSettings)
    audit_days: int = 0
    """Days to keep audit records; 0 for none."""
    polled: bool = False
    """True if housekeeping polls its desk for new tickets instead of webhooks."""
    recovers: bool = False
    """True if new tickets without a webhook get a job; else they are only reported."""
    report: ReportSection = field(default_factory=ReportSection)

    @property
    def accepts_webhooks(self) -> bool:
        """True if the tenant has a secret or token for webhooks."""
        return bool(self.webhook_secrets or self.webhook_token)
