"""Tenant model and settings: names in the environment and `SECRETS_DIR`, and the model of `tenants.toml`.

A new setting that is not secret needs only a field here. Its validation, its row in `docs/settings.md` and its JSON
schema derive from it.

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


@dataclass(frozen=True, slots=True)
class TicketRules:
    """A ticket needs one name of each kind in `only`, and none in `never`.

    A ticket with a name in `within` is context only for tickets with the same name. `never_topics`: folded topics whose
    solutions are not used.
    """

    only: Names = field(default_factory=dict)
    never: Names = field(default_factory=dict)
    within: Names = field(default_factory=dict)
    never_topics: frozenset[str] = frozenset()

    def leave_out(self, known: Mapping[str, str]) -> bool:
        """Return True if the rules exclude a ticket with these names: kind -> name.

        Kinds missing from `known` are not checked; an empty name matches no rule.
        """
        folded = fold_all(known)
        return self.forbid(known) or any(
            folded[kind] not in names for kind, names in self.only.items() if kind in folded
        )

    def forbid(self, known: Mapping[str, str]) -> bool:
        """Return True if `never` has a `known` name: the text must not be stored."""
        return any(name in self.never.get(kind, ()) for kind, name in fold_all(known).items())

    @property
    def forbidden(self) -> Names:
        """Names whose tickets must not be stored; copied tickets have no event."""
        return {kind: names for kind, names in self.never.items() if kind != "event"}

    def hidden_from(self, known: Mapping[str, str]) -> Names:
        """Return the names that exclude other tickets from the context of this one."""
        own = fold_all(known)
        hidden = {kind: names - {own.get(kind, "")} for kind, names in self.within.items()}
        kinds = self.forbidden.keys() | {kind for kind, names in hidden.items() if names}
        return {kind: self.forbidden.get(kind, frozenset()) | hidden.get(kind, frozenset()) for kind in kinds}

    def ask_for(self, kind: str) -> bool:
        """Return True if the ticket's name of this kind can change the selection."""
        return kind in self.only or kind in self.never


def fold_all(known: Mapping[str, str]) -> dict[str, str]:
    return {kind: fold(name) for kind, name in known.items()}


def fold(name: str) -> str:
    """Normalize case, spaces and Unicode form (NFKC) of a name."""
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
    """A table of the file. Unknown keys are errors; messages contain no values."""

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
    """`true`: a signature without a signed timestamp is refused, so that an old request can't be sent again (GitHub's
    scheme has none)."""
    mode: Literal["push", "poll"] = "push"
    """`poll` for a desk that can send no webhook: housekeeping looks for its new tickets instead, and no secret is
    needed ([Reconcile](reconcile.md#a-desk-that-can-send-no-webhook))."""


class ServiceDeskSection(TenantSection):
    """Access to the desk, and the data copied from it."""

    portal_id: Sendable = ""
    """On premises: sent as `PORTALID`, for a desk whose portal is chosen by that header."""
    client_id: Sendable = ""
    """Cloud: OAuth client id."""
    accounts_url: SecureAddress = ""
    """Cloud: the accounts host that gives tokens, e.g. `https://accounts.zoho.eu`."""
    rate_per_minute: Count | None = None
    """Calls a minute that the desk takes, of all processes together: 60 on premises, 30 on cloud unless set. Copying
    for context takes a third at most, and nothing while jobs wait for it."""
    failure_note: bool = False
    """`true`: a ticket that GPT-4 fails for gets a short note with what was found."""
    history_days: Annotated[int, Field(ge=1, le=9999)] = 365
    """How far back its tickets are copied for context."""
    conversation: bool = False
    """`true`: the conversation of a closed ticket is copied with it, its last ten mails, each a call of the desk."""
    embeddings: EmbeddingKind = "none"
    """By what its copies are found beside their words, other languages included: `local`, a small model in our own
    processes; `endpoint`, to which their texts are sent (`EMBEDDINGS_BASE_URL`)."""
    languages: tuple[Annotated[str, StringConstraints(pattern="^[A-Za-z]{2}$", to_lower=True)], ...] = ()
    """Languages of its tickets and solutions, as codes: unset, `en`, `de`, `fr`, `es`, `it`, `nl` and `pt`, told apart
    text by text. Where all are in one, name that one: nothing is guessed then."""
    closed_statuses: frozenset[Status] = frozenset()
    """More names of statuses that mean closed."""


class TicketsSection(TenantSection):
    """Selection of the tickets to enhance."""

    only: dict[EventOrKind, frozenset[Name]] = {}
    """Which tickets are enhanced: lists of names by kind, `{ group = ["IT"] }`, where a kind is `event`, `category`,
    `group`, `site` or `template`. A ticket must have one of the names of each kind that is there."""
    never: dict[EventOrKind, frozenset[Name]] = {}
    """Which tickets are not, in the same form: one that has any of the names is left alone, e.g.
    `{ group = ["HR"], template = ["Dismissal"] }`."""


class ContextSection(TenantSection):
    """Selection of context for tickets."""

    within: dict[Kind, frozenset[Name]] = {}
    """Which tickets help only those of their own kind, in the same form without `event`: with
    `{ group = ["Finance"] }` what the group Finance has solved is shown to its own tickets alone."""
    never_topics: frozenset[Name] = frozenset()
    """Topics of solutions that are not used as context."""


class NoteSection(TenantSection):
    """Content and language of notes."""

    language: Literal["ticket", "en", "de", "fr", "es", "it", "nl", "pt"] = "ticket"
    """Language of the notes: `ticket`, that of each ticket; or one code."""
    rules: Annotated[str, Field(max_length=4000)] = ""
    """What the model is told besides: rules of the house, the tone."""
    if_nothing_found: bool = True
    """Where neither ticket nor document is like it: `true`, a note that says so; `false`, no note, and the model is
    not asked."""
    if_reopened: bool = True
    """`true`: a reopened ticket that has a note gets a further one."""
    prompt_tokens: Annotated[int, Field(ge=1000, le=9_999_999)] = 8000
    """Tokens that a ticket and what was found for it may have, for a model with a small window. What is least useful
    is cut."""


class OpenAISection(TenantSection):
    """The tenant's own model, and the spending limits of its jobs."""

    base_url: Address = ""
    """Where the tenant's tickets are sent instead of `OPENAI_BASE_URL`; needs a key of its own."""
    model: str = ""
    """The tenant's model, in place of `OPENAI_MODEL`."""
    daily_tokens: Annotated[int, Field(ge=1, le=999_999_999_999)] | None = None
    """Tokens a day (UTC) for the tenant's jobs; past it they wait for the next day."""
    daily_dollars: Annotated[float, Field(gt=0, lt=1_000_000)] | None = None
    """The same in dollars, of an endpoint that tells what each answer cost (OpenRouter)."""


class JobShare(TenantSection):
    """The tenant's share of the workers."""

    weight: Annotated[float, Field(ge=0.001, lt=1000)] = 1
    """How many tenants it counts as where jobs of several wait for a place in a worker, e.g. 3 or 0.5."""
    most_running: Count | None = None
    """Jobs of it in flight, in all workers together; the others wait, though places are free."""
    most_waiting: Count | None = None
    """Jobs of it that wait, for whatever it is; past that a webhook is answered 429, to be sent again later. Not
    looked at while Postgres is away."""


class TenantSettings(TenantSection):
    """Settings in one tenant's table of `tenants.toml`."""

    mode: Literal["live", "dry-run"] = "live"
    """`dry-run`: everything but the note; `ai-agents show` has what it would say."""
    masking: MaskingKind = "personal"
    """What is replaced by placeholders before a text goes to a model, and restored in the note: `personal`, names, mail
    addresses, telephone numbers, numbers of accounts and cards, ids and secrets; `all`, postal addresses, IP addresses
    and names of hosts as well; `none`."""
    reconcile: Literal["report", "on"] = "report"
    """What is done about a new ticket whose webhook never came: `report`, it is told; `on`, its job is made without it
    ([Reconcile](reconcile.md))."""
    audit_days: Annotated[int, Field(ge=0, le=3650)] = 0
    """Days for which a record is kept of each question: what the model was sent, as masked as it left, and what came
    ([why none by default](data.md#audit-records)). Where it is lowered, what is older by then goes."""
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
    "PREVIOUS_WEBHOOK_SECRET_": "The secret before, still accepted during a rotation.",
    "RETIRED_WEBHOOK_SECRET_": "A secret that is accepted no more: a webhook that it signs is refused, and the log "
    "says that it was this one.",
    "WEBHOOK_TOKEN_": "For a desk that can't sign: what it sends as `X-ServiceDesk-Token`; 32 characters at least. "
    "Unset (default), only signed webhooks are taken.",
    "SERVICEDESK_URL_": "Address of the tenant's desk: what stands before `/api/v3` (cloud, and portals on premises: "
    "with `/app/<portal>`).",
    "SERVICEDESK_EDITION_": "`onpremises` (default) or `cloud`; that needs `client_id` and `accounts_url` in "
    "`tenants.toml`.",
    "SERVICEDESK_API_KEY_": "On premises: the technician's API key.",
    "SERVICEDESK_CLIENT_SECRET_": "Cloud: OAuth client secret.",
    "SERVICEDESK_REFRESH_TOKEN_": "Cloud: OAuth refresh token.",
    "OPENAI_API_KEY_": "The tenant's own key for the model, in place of `OPENAI_API_KEY`.",
}
DESK_KEYS = ("SERVICEDESK_API_KEY", "SERVICEDESK_CLIENT_SECRET", "SERVICEDESK_REFRESH_TOKEN")
MODEL_KEYS = ("OPENAI_API_KEY",)
SECRETS = ("WEBHOOK_SECRET", "PREVIOUS_WEBHOOK_SECRET", "WEBHOOK_TOKEN", *DESK_KEYS, *MODEL_KEYS)
"""Secrets that are revoked only by deleting them. A retired secret grants no access, so it is not listed."""
PROCESS_KEYS = ("OPENAI_API_KEY", "OPENAI_FALLBACK_API_KEY")
"""Process settings that are read again like tenants' keys, because they are rotated too."""
Keys = Collection[Literal["desk", "model"]]
ALL_KEYS: Keys = ("desk", "model")
"""All kinds of tenants' keys. Kinds that a process does not use may be missing in its environment."""
TENANT_ID = re.compile(r"[a-z0-9-]{1,63}")
# Process settings whose names start like a tenant's setting.
_OF_PROCESSES = ("RECONCILE_INTERVAL_SECONDS", "RECONCILE_WINDOW_HOURS")
# Longest first, so that a prefix of another name does not match before it.
_PREFIXES = sorted([*TENANT_SETTINGS, *(f"{name}_" for name in REMOVED)], key=len, reverse=True)
# Other settings only modify an existing tenant; alone, such a name may be another program's variable.
_MAKE_A_TENANT = ("WEBHOOK_SECRET", "PREVIOUS_WEBHOOK_SECRET", "WEBHOOK_TOKEN", "SERVICEDESK_")


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
        if any(setting.startswith(_MAKE_A_TENANT) for setting in settings)
    }


def is_tenant_id(text: str) -> bool:
    """Return True for a valid id, without `error`, which support greps for."""
    return TENANT_ID.fullmatch(text) is not None and "error" not in text


def id_problem(tenant_id: str) -> str | None:
    if not TENANT_ID.fullmatch(tenant_id):
        return "a tenant id has only a-z, 0-9 and -, at most 63 of them"
    return None if is_tenant_id(tenant_id) else "a tenant id must not contain 'error', since support greps for it"


def secrets_in(values: Mapping[str, str]) -> dict[tuple[str, str], str]:
    """Return the secrets in `values` by (tenant, setting without suffix).

    The tenant is empty for PROCESS_KEYS. Order: current secret, previous secret, retired secret. Unreadable values and
    values of no tenant are omitted.
    """
    found = {("", name): values[name] for name in PROCESS_KEYS if name in values}
    for tenant_id, settings in sorted(by_tenant(values).items()):
        if is_tenant_id(tenant_id):
            own = [name for name in (*SECRETS, "RETIRED_WEBHOOK_SECRET") if name in settings]
            found |= {(tenant_id, name): settings[name] for name in own}
    return {whose: secret for whose, secret in found.items() if secret != UNREADABLE}


TENANTS_TOML = "tenants.toml"
"""Name of the file in messages, and key of its text among the tenants' values."""


def json_schema() -> dict[str, Any]:
    tenant_id = Annotated[str, StringConstraints(pattern="^[a-z0-9-]{1,63}$")]
    return TypeAdapter(dict[tenant_id, TenantSettings]).json_schema()


def key_name(tenant_id: str | None, path: str) -> str:
    """Format a key for messages: `acme.note.language in tenants.toml`."""
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
        """Secrets sent to the desk, by setting without suffix."""
        return {f"SERVICEDESK_{name.upper()}": getattr(self, name) for name in _CREDENTIALS[self.edition]}

    @property
    def has_keys(self) -> bool:
        """True if all credentials are set. A process that does not call the desk may have only its address."""
        return all(self.credentials.values())


class ModelSettings(OpenAISection):
    """The tenant's own model. Empty fields fall back to the process's settings; the repr contains no key."""

    api_key: str = Field("", repr=False)
    withdrawn: bool = False
    """True if its key is gone: no model may be asked for the tenant, since its texts may be meant for that one only."""


class NoteSettings(NoteSection):
    """Note settings, and the masking of texts sent to a model."""

    masking: MaskingKind = "personal"


@dataclass(frozen=True, slots=True)
class Tenant:
    """One customer. `webhook_secrets` has the current secret, then the previous one, if any.

    A tenant whose settings have a problem is not `usable` and keeps a part of its earlier settings, or none.
    """

    id: str
    webhook_secrets: tuple[str, ...] = field(default=(), repr=False)
    desk: DeskSettings | None = None
    require_timestamp: bool = False
    usable: bool = True
    webhook_token: str = field(default="", repr=False)
    """What a webhook that is not signed has to bring; empty where each has to be signed."""
    retired_secret: str = field(default="", repr=False)
    """Recognised, so that the log can say who still uses it, and never accepted."""
    lacks_current_secret: bool = False
    """True if the one of `webhook_secrets` is the previous one: the current one is gone, or can't be read."""
    model: ModelSettings = field(default_factory=ModelSettings)
    rules: TicketRules = field(default_factory=TicketRules)
    dry_run: bool = False
    """True if its tickets get no note."""
    share: JobShare = field(default_factory=JobShare)
    note: NoteSettings = field(default_factory=NoteSettings)
    audit_days: int = 0
    """How long it keeps a record of what a model was sent and answered; 0 for none."""
    polled: bool = False
    """True if its desk sends no webhook: its new tickets are looked for instead."""
    recovers: bool = False
    """True if a job is made for a new ticket whose webhook never came; else that is told, and no more."""

    @property
    def opens_webhook(self) -> bool:
        return bool(self.webhook_secrets or self.webhook_token)
