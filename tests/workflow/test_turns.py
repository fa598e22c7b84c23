"""Values sent with each claim: current tenant settings and places just freed."""

from config.tenant_settings import JobShare
from config.tenants import Tenant
from storage.claims import Shares
from tests.kit.clock import Clock
from workflow.turns import Turns


def test_only_what_is_not_usual_of_a_tenant_is_told_and_as_it_is_now() -> None:
    limited = JobShare(weight=1, most_running=5, most_waiting=9)
    tenants = [Tenant("acme"), Tenant("globex", share=JobShare(weight=3)), Tenant("hooli", share=limited)]
    turns = Turns(lambda: tenants)
    assert turns.shares() == Shares(weights={"globex": 3}, most_running={"hooli": 5})
    tenants = tenants[:2]
    assert turns.shares() == Shares(weights={"globex": 3})


def test_a_job_that_ends_at_once_is_charged_for_the_rest_of_a_second() -> None:
    clock = Clock()
    turns = Turns(list, clock)
    for tenant in ("acme", "acme", "globex"):
        with turns.place(tenant):
            clock.now += 0.1
    assert turns.shares().charged == {"acme": 2, "globex": 1}
    clock.now += 0.85
    assert turns.shares().charged == {"globex": 1}
    with turns.place("acme"):
        clock.now += 1
    assert turns.shares().charged == {}
