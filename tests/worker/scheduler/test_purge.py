"""Tenants that left: the purge removes their audit records."""

import pytest

from config.secret_files import UNREADABLE
from config.tenant_directory import TenantDirectory
from tests.kit.clock import Clock
from tests.kit.tenants_toml import filed
from worker.scheduler.purge import RemovedTenants

FILED = {"WEBHOOK_SECRET_ACME": "s" * 32, **filed({}, {"acme.audit_days": 30})}


# Whether the settings are there, seconds that pass, and whether the tenant has left.
@pytest.mark.parametrize(
    "steps",
    [
        [(True, 0, False), (False, 3600, False), (False, 1799, False), (False, 1, True)],
        [(False, 1800, False), (True, 1800, False), (False, 1800, False)],
    ],
    ids=["for half an hour", "back in between"],
)
def test_a_tenant_has_left_when_its_settings_are_gone_for_half_an_hour(steps: list[tuple[bool, int, bool]]) -> None:
    clock, given = Clock(), dict(FILED)
    left = RemovedTenants(TenantDirectory(lambda: dict(given), monotonic=clock).names, monotonic=clock)
    for there, seconds, has_left in steps:
        given = FILED if there else {}
        clock.now += seconds
        assert left.has_left("acme") == has_left


@pytest.mark.parametrize(
    "given",
    [
        *(filed(FILED, {"acme.masking": "bogus"}), FILED | {"tenants.toml": "acme.audit_days ="}),
        *(filed({}, {"acme.audit_days": 30}), {"AUDIT_DAYS_ACME": "30"}, {"SECRETS_DIR": UNREADABLE}),
    ],
)
def test_settings_with_a_mistake_or_that_nobody_could_list_are_no_leaving(given: dict[str, str]) -> None:
    clock = Clock()
    left = RemovedTenants(TenantDirectory(lambda: given, monotonic=clock).names, monotonic=clock)
    for _ in range(3):
        assert not left.has_left("acme")
        clock.now += 3600
