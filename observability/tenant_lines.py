"""Log lines and metric of tenants with unusable settings."""

from config.tenant_directory import TenantDirectory, TenantProblem
from config.tenant_settings import is_tenant_id
from observability import counting, metrics, phrases
from observability.logging import say


def follow_tenants(tenants: TenantDirectory) -> None:
    for problem in tenants.problems:
        say_unusable(problem)
    metrics.TENANT_UNUSABLE.ask = lambda: {
        tenant_id or counting.UNKNOWN_TENANT: unusable for tenant_id, unusable in tenants.unusable().items()
    }


def say_unusable(problem: TenantProblem) -> None:
    phrase = phrases.TENANT_CLOSED if problem.closed else phrases.TENANT_UNUSABLE
    also = {"tenant_id": problem.tenant_id} if is_tenant_id(problem.tenant_id) else None
    say(phrase, reason=problem.sentence, also=also)
