"""Tenants: who may post webhooks, which desk a ticket belongs to, and how its enhancement is made.

They are settings (`config.tenant_names`), read again while a process runs (`config.tenant_directory`).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from config.ticket_rules import TicketRules

_CREDENTIALS = {"onpremises": ("api_key",), "cloud": ("client_secret", "refresh_token")}


EmbeddingKind = Literal["none", "local", "endpoint"]
EMBEDDINGS: Mapping[str, EmbeddingKind] = {"none": "none", "local": "local", "endpoint": "endpoint"}
"""By their names in a setting."""
MaskingKind = Literal["none", "personal", "all"]
MASKINGS: Mapping[str, MaskingKind] = {"none": "none", "personal": "personal", "all": "all"}
"""Likewise."""


@dataclass(frozen=True, slots=True)
class DeskSettings:
    """How to reach one tenant's ServiceDesk Plus. Credentials stay out of its text."""

    url: str
    edition: Literal["onpremises", "cloud"]
    portal_id: str = ""
    api_key: str = field(default="", repr=False)
    client_id: str = field(default="", repr=False)
    client_secret: str = field(default="", repr=False)
    refresh_token: str = field(default="", repr=False)
    accounts_url: str = ""
    rate_per_minute: int = 60
    closed_statuses: frozenset[str] = frozenset()
    failure_note: bool = False
    history_days: int = 365
    """How far back its tickets are copied."""
    conversation: bool = False
    """True if what was said in a closed ticket is copied too: a call for each mail."""
    embeddings: EmbeddingKind = "none"
    """By which its copies are found beside their words."""
    languages: tuple[str, ...] = ()
    """Those that its texts may be in; without any, the ones that are told apart by themselves."""

    @property
    def credentials(self) -> dict[str, str]:
        """The secrets that are sent to the desk, by the names of their settings (without the tenant)."""
        return {f"SERVICEDESK_{name.upper()}": getattr(self, name) for name in _CREDENTIALS[self.edition]}

    @property
    def has_keys(self) -> bool:
        """True if the desk can be asked: a process that does not ask it may have its address alone."""
        return all(self.credentials.values())


@dataclass(frozen=True, slots=True)
class ModelSettings:
    """What a tenant has of its own for the model; what is empty is the process's. The key stays out of its text.

    `daily_tokens` and `daily_dollars` are what its jobs may spend in a day of UTC; None without a limit.
    """

    api_key: str = field(default="", repr=False)
    base_url: str = ""
    name: str = ""
    daily_tokens: int | None = None
    daily_dollars: float | None = None
    withdrawn: bool = False
    """True if its key is gone: no model may be asked for the tenant, since its texts may be meant for that one only."""


@dataclass(frozen=True, slots=True)
class NoteSettings:
    """How its notes are made, and what of a ticket a model may see."""

    language: str = ""
    """A code (`de`) that they are in; empty for each in that of its ticket."""
    rules: str = ""
    """What the tenant adds to what the model is told: house rules, tone."""
    if_nothing_found: bool = True
    """False if a ticket for which nothing was found gets none, and no model is asked."""
    if_reopened: bool = True
    """False if a ticket that has a note gets no further one when it is reopened."""
    prompt_tokens: int = 8000
    """How many tokens the ticket and what was found for it may have."""
    masking: MaskingKind = "personal"
    """What is replaced before a text goes to a model: nothing, what is personal, or addresses and hosts as well."""


@dataclass(frozen=True, slots=True)
class JobShare:
    """How much of the workers a tenant gets where jobs of several wait, and how many jobs it may have; None: any."""

    weight: float = 1
    most_running: int | None = None
    most_waiting: int | None = None


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
    webhook_token: str = field(default="", repr=False)
    """What a webhook that is not signed has to bring; empty where each has to be signed."""
    retired_secret: str = field(default="", repr=False)
    """Recognised, so that the log can say who still uses it, and never accepted."""
    lacks_current_secret: bool = False
    """True if the one of `webhook_secrets` is the previous one: the current one is gone, or can't be read."""
    model: ModelSettings = ModelSettings()
    rules: TicketRules = field(default_factory=TicketRules)
    dry_run: bool = False
    """True if its tickets get no note."""
    share: JobShare = JobShare()
    note: NoteSettings = NoteSettings()
    audit_days: int = 0
    """How long it keeps a record of what a model was sent and answered; 0 for none."""
    polled: bool = False
    """True if its desk sends no webhook: its new tickets are looked for instead."""
    recovers: bool = False
    """True if a job is made for a new ticket whose webhook never came; else that is told, and no more."""

    @property
    def opens_webhook(self) -> bool:
        """True if there is anything that a webhook of the tenant can be checked by."""
        return bool(self.webhook_secrets or self.webhook_token)
