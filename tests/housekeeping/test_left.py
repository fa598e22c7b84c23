"""Detection of tenants that left; a mistake or gap in the settings is not one."""

import pytest

from config.secret_files import UNREADABLE
from config.tenant_directory import TenantDirectory
from housekeeping.app import TenantsLeft
from tests.kit.clock import Clock
from tests.kit.tenants_toml import filed

GIVEN = {"WEBHOOK_SECRET_ACME": "s" * 32, **filed({}, {"acme.audit_days": 30})}


def test_a_tenant_has_left_when_its_settings_are_gone_for_half_an_hour() -> None:
    clock, given = Clock(), dict(GIVEN)
    left = TenantsLeft(TenantDirectory(lambda: dict(given), monotonic=clock).names, monotonic=clock)
    assert not left.has_left("acme")
    given.clear()
    clock.now += 3600
    assert not left.has_left("acme")
    clock.now += 1799
    assert not left.has_left("acme")
    clock.now += 1
    assert left.has_left("acme")


def test_who_comes_back_in_between_has_not_left() -> None:
    clock, given = Clock(), dict(GIVEN)
    left = TenantsLeft(TenantDirectory(lambda: dict(given), monotonic=clock).names, monotonic=clock)
    for there in (False, True, False):
        given.clear()
        given.update(GIVEN if there else {})
        clock.now += 1800
        assert not left.has_left("acme")


@pytest.mark.parametrize(
    "given",
    [
        filed(GIVEN, {"acme.masking": "bogus"}),
        GIVEN | {"tenants.toml": "acme.audit_days ="},
        filed({}, {"acme.audit_days": 30}),
        {"AUDIT_DAYS_ACME": "30"},
        {"SECRETS_DIR": UNREADABLE},
    ],
)
def test_settings_with_a_mistake_or_that_nobody_could_list_are_no_leaving(given: dict[str, str]) -> None:
    clock = Clock()
    left = TenantsLeft(TenantDirectory(lambda: given, monotonic=clock).names, monotonic=clock)
    for _ in range(3):
        assert not left.has_left("acme")
        clock.now += 3600
