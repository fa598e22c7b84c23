"""Test tenants: a desk on premises, and one in the cloud."""

from collections.abc import Callable

from config.tenant_directory import TenantDirectory, TenantProblem, parse_tenants
from config.tenants import Tenant
from tests.kit.clock import Clock
from tests.kit.tenants_toml import filed

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


def directory(
    values: Callable[[], dict[str, str]], on_problem: Callable[[TenantProblem], None] = lambda _: None
) -> tuple[TenantDirectory, Clock]:
    clock = Clock()
    return TenantDirectory(values, on_problem=on_problem, monotonic=clock), clock


def asked(tenants: TenantDirectory, tenant_id: str = "acme") -> Tenant:
    """Return the current tenant."""
    tenant = tenants.get(tenant_id)
    assert tenant is not None
    return tenant
