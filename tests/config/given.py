"""Test tenants: a desk on premises, and one in the cloud."""

from typing import Any

from config.tenant_directory import TenantDirectory
from config.tenant_validation import TenantProblem, parse_tenants
from config.tenants import Tenant
from tests.kit.clock import Clock
from tests.kit.tenants_toml import filed

# Nothing listens there.
NOWHERE = "postgresql://a:b@127.0.0.1:1/x"
ENOUGH = {
    "DATABASE_URL": NOWHERE,
    "REDIS_URL": "redis://127.0.0.1:1/0",
    "OPENAI_API_KEY": "sk-test",
    "WEBHOOK_SECRET_ACME": "s3cret-of-acme",
    "SERVICEDESK_URL_ACME": "http://127.0.0.1:1",
    "SERVICEDESK_API_KEY_ACME": "key-of-acme",
}
ACME = {
    "WEBHOOK_SECRET_ACME": "s3cret",
    "SERVICEDESK_URL_ACME": "https://desk.acme.example:8080",
    "SERVICEDESK_API_KEY_ACME": "k3y",
}
CLOUD = filed(
    {
        "SERVICEDESK_EDITION_GLOBEX": "cloud",
        "SERVICEDESK_URL_GLOBEX": "https://sdpondemand.manageengine.eu/app/itdesk",
        "SERVICEDESK_CLIENT_SECRET_GLOBEX": "hidden",
        "SERVICEDESK_REFRESH_TOKEN_GLOBEX": "token",
    },
    {"globex.servicedesk.client_id": "id", "globex.servicedesk.accounts_url": "https://accounts.zoho.eu/"},
)


def tenant(values: dict[str, str]) -> Tenant:
    tenants, problems = parse_tenants(values)
    assert problems == []
    (only,) = tenants.values()
    return only


def sentences(values: dict[str, str]) -> list[str]:
    tenants, problems = parse_tenants(values)
    assert all(problem.tenant_id not in tenants for problem in problems)
    return [problem.sentence for problem in problems]


class Process:
    """The tenants of a process whose settings the test changes."""

    def __init__(self, values: dict[str, str], **options: Any) -> None:
        self.values = dict(values)
        self.told: list[TenantProblem] = []
        self.clock = Clock()
        self.tenants = TenantDirectory(
            lambda: self.values, on_problem=self.told.append, monotonic=self.clock, **options
        )

    def tenant(self, tenant_id: str = "acme") -> Tenant:
        return asked(self.tenants, tenant_id)

    def change(self, *gone: str, **new: str) -> None:
        """Change settings, and wait until they are read again."""
        for name in gone:
            del self.values[name]
        self.values |= new
        self.clock.now += 6

    def change_file(self, keys: dict[str, Any]) -> None:
        self.change(**filed(self.values, keys))


def asked(tenants: TenantDirectory, tenant_id: str = "acme") -> Tenant:
    tenant = tenants.get(tenant_id)
    assert tenant is not None
    return tenant
