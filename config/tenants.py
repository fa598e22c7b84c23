"""Tenant model: `tenants.toml` joined with addresses and secrets.

`config.tenant_settings` defines the file; `config.tenant_directory` reads tenants again while a process runs.
"""

from dataclasses import dataclass, field
from typing import Literal

from pydantic import Field

from config.tenant_settings import JobShare, MaskingKind, NoteSection, OpenAISection, ServiceDeskSection, TicketRules

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
