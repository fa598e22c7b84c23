"""Environment of each process, without the caller's settings."""

import json
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from config.tenants import setting_suffix

OPENAI_MODEL = "gpt-6-luna"
_PORTAL = "itdesk"

# A customer's lower rate would limit every experiment.
_DESK_RATE_PER_MINUTE = 30_000


@dataclass(frozen=True)
class SimulatedTenant:
    """A simulated customer with new secrets; a cloud desk's derive from `desk_key`.

    With a `portal_id` its desk on premises is a portal at the server's root, so that notes can link to its tickets.
    """

    id: str
    webhook_secret: str = field(default_factory=lambda: secrets.token_urlsafe(32), repr=False)
    desk_key: str = field(default_factory=lambda: secrets.token_hex(16).upper(), repr=False)
    edition: Literal["onpremises", "cloud"] = "onpremises"
    portal_id: str = ""

    def address(self, desk_url: str) -> str:
        return desk_url if self.portal_id else f"{desk_url}/{self.id}"

    @property
    def suffix(self) -> str:
        return setting_suffix(self.id)

    @property
    def oauth(self) -> dict[str, str]:
        """Return the OAuth credentials of a cloud desk; empty for a desk on premises."""
        if self.edition == "onpremises":
            return {}
        return {
            "client_id": f"1000.{self.id}",
            "client_secret": f"client-{self.desk_key}",
            "refresh_token": f"refresh-{self.desk_key}",
        }


def demo_tenants() -> tuple[SimulatedTenant, SimulatedTenant]:
    return SimulatedTenant("acme", portal_id="1"), SimulatedTenant("globex", portal_id="2")


def product_environment(desk_url: str, tenants: Sequence[SimulatedTenant], feedback_port: int) -> dict[str, str]:
    """Return the settings of all processes; the desks are below `desk_url`."""
    settings = {
        "OPENAI_MODEL": OPENAI_MODEL,
        "MODEL_PRICES": f"{OPENAI_MODEL}=0.10/0.50",  # its price in November 2026
        "FEEDBACK_URL": f"http://127.0.0.1:{feedback_port}",
        "FEEDBACK_KEY": secrets.token_urlsafe(32),
        "FEEDBACK_PORT": str(feedback_port),
        "WORKER_CONCURRENCY": "16",
        # A development system should stop within seconds; running jobs are returned.
        "WORKER_GRACE_SECONDS": "3",
    }
    for tenant in tenants:
        settings[f"WEBHOOK_SECRET_{tenant.suffix}"] = tenant.webhook_secret
        address = tenant.address(desk_url)
        settings[f"SERVICEDESK_EDITION_{tenant.suffix}"] = tenant.edition
        if tenant.edition == "cloud":
            settings[f"SERVICEDESK_URL_{tenant.suffix}"] = f"{address}/app/{_PORTAL}"
            for name in ("client_secret", "refresh_token"):
                settings[f"SERVICEDESK_{name.upper()}_{tenant.suffix}"] = tenant.oauth[name]
        else:
            settings[f"SERVICEDESK_URL_{tenant.suffix}"] = address
            settings[f"SERVICEDESK_API_KEY_{tenant.suffix}"] = tenant.desk_key
    return settings


def tenant_keys(desk_url: str, tenants: Sequence[SimulatedTenant]) -> dict[str, object]:
    """Return the tenants' keys of `tenants.toml` by path."""
    keys: dict[str, object] = {}
    for tenant in tenants:
        keys[f"{tenant.id}.servicedesk.rate_per_minute"] = _DESK_RATE_PER_MINUTE
        if tenant.portal_id:
            keys[f"{tenant.id}.servicedesk.portal_id"] = tenant.portal_id
        if tenant.edition == "cloud":
            keys[f"{tenant.id}.servicedesk.client_id"] = tenant.oauth["client_id"]
            keys[f"{tenant.id}.servicedesk.accounts_url"] = f"{desk_url}/{tenant.id}"
    return keys


def parted(settings: Mapping[str, object]) -> tuple[dict[str, str], dict[str, object]]:
    """Split `settings` into variables and keys of `tenants.toml`, which are paths."""
    keys = {name: value for name, value in settings.items() if "." in name}
    return {name: str(value) for name, value in settings.items() if name not in keys}, keys


def toml_of(keys: Mapping[str, object]) -> str:
    """Return TOML, a line per path; JSON's strings, numbers and lists are valid TOML."""
    return "".join(f"{path} = {json.dumps(value, ensure_ascii=False)}\n" for path, value in keys.items())


def console_environment(port: int) -> dict[str, str]:
    return {
        "CONSOLE_URL": f"http://127.0.0.1:{port}",
        "CONSOLE_KEY": secrets.token_urlsafe(32),
        "CONSOLE_TOKEN_DEVELOPER": secrets.token_urlsafe(32),
        "CONSOLE_ROLE_DEVELOPER": "operator+texts",
    }


def desk_config(tenants: Sequence[SimulatedTenant], webhook_url: str) -> dict[str, Any]:
    """Return the desk simulator's configuration, with signed webhooks."""
    return {
        "desks": {
            tenant.id: {
                "api_key": tenant.desk_key,
                "edition": tenant.edition,
                "portal": _PORTAL,
                "portal_id": tenant.portal_id,
                **tenant.oauth,
                "webhook_url": webhook_url,
                "webhook_secret": tenant.webhook_secret,
            }
            for tenant in tenants
        }
    }
