"""Each panel's query on a real Prometheus, without data and with some of each."""

import shutil
from collections.abc import Iterator
from typing import NamedTuple

import pytest

from dev.stack.system import System
from tests.kit.loaded import LoadedPrograms
from tests.kit.system import SHORT
from tests.kit.world import World, wait_for
from tests.observability.dashboards import PanelQuery, Prometheus, Series, alert_names, queries, watching
from tests.system.collector import collecting

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(shutil.which("prometheus") is None, reason="prometheus is not installed"),
]
# A router's model name makes the provider report the cost. The limit is never reached.
SETTINGS = SHORT | {
    "OPENAI_MODEL": "openai/gpt-6-luna",
    "acme.openai.daily_tokens": 100_000_000,
    "SYNC_INTERVAL_SECONDS": "1",
    "RECONCILE_INTERVAL_SECONDS": "4",
}
QUERIES = [pytest.param(query, id=str(query)) for query in queries()]
# Panels where 0 is the good value, and must be shown.
ZEROS = {
    *("Queue Depth A", "Queue Depth B", "Oldest Job A", "Jobs in Flight A", "Accepted without Outcome A"),
    *("Alerts Firing A", "Worker Health B", "Worker Health C", "Breaker State A", "Relay and Reconciliation A"),
    *("Relay and Reconciliation B", "Relay and Reconciliation C", "Error Rate A", "Failures by Reason A"),
    *("Attempts by Result A", "Webhooks by Result A", "External API Errors A"),
    *("Holds A", "Holds B", "Jobs Held Back A"),
    *("Webhooks Missed A", "Found by Reconciliation A", "Webhooks by Secret A"),
}


class PanelAnswers(NamedTuple):
    """Answers of Prometheus before the first ticket, and after some of each kind."""

    before: dict[str, Series]
    after: dict[str, Series]
    of_acme: dict[str, Series]


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory, loaded: LoadedPrograms) -> Iterator[System]:
    """Start two workers, and a collector for the traces."""
    with (
        collecting() as collector,
        System(
            tmp_path_factory.mktemp("system"),
            settings=SETTINGS | {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.url},
            workers=2,
            openai_seconds=0.5,
            launch=loaded,
        ) as running,
    ):
        yield running


@pytest.fixture(scope="module")
def prometheus(system: System, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    with watching(system, tmp_path_factory.mktemp("prometheus")) as running:
        yield running


@pytest.fixture(scope="module")
def told(system: System, prometheus: Prometheus) -> PanelAnswers:
    """Run the whole sequence once for all queries."""
    world = World(system)
    assert system.housekeeping is not None
    log = system.housekeeping.log_path
    wait_for(lambda: "Sync completed: tenant_id=globex" in log.read_text(encoding="utf-8"))
    prometheus.wait_until_scraped()
    before = _ask_all(prometheus)
    _live(world)
    wait_for(lambda: sum(prometheus.query("ai_agents_note_taken_up_ratio_count").values()) >= 8)
    prometheus.wait_until_scraped(4)
    wait_for(lambda: prometheus.query("sum(ai_agents_jobs_in_flight)") == {"": 0})
    answered = PanelAnswers(before, _ask_all(prometheus), _ask_all(prometheus, "acme"))
    world.close()
    return answered


def _live(world: World) -> None:
    """Run two rounds, since a rate needs two events."""
    for _ in range(2):
        for tenant in ("acme", "globex"):
            tickets = [world.create_ticket(tenant=tenant) for _ in range(3)]
            for ticket in tickets:
                world.ended(ticket, tenant)
            for ticket, vote in zip(tickets, ("useful", "not useful"), strict=False):
                world.vote(ticket, vote, tenant)
                world.solve(ticket, f"{' '.join(world.steps(ticket, tenant))} Replaced cable and port.", tenant)
        world.openai_fault(kind="status", code=500, times=1)
        world.ended(world.create_ticket())
        world.post_webhook("999999", secret="another tenant's")
        assert world.post_webhook(f"99999{_}").status_code == 202
        world.ended(f"99999{_}")
    world.openai_fault(kind="status", code=403, times=1)
    world.ended(world.create_ticket())
    world.configure_desk("acme", api_key="made anew")
    held = [world.create_ticket(), world.create_ticket()]
    wait_for(lambda: {world.job(ticket).get("reason") for ticket in held} == {"desk credentials refused"})


def _ask_all(prometheus: Prometheus, tenant: str = ".*") -> dict[str, Series]:
    return {str(query): prometheus.query(query.filled(tenant)) for query in queries()}


@pytest.mark.parametrize("query", QUERIES)
def test_each_query_finds_something_for_all_tenants_and_for_one(told: PanelAnswers, query: PanelQuery) -> None:
    assert told.after[str(query)]
    assert told.of_acme[str(query)]


@pytest.mark.parametrize("name", sorted(ZEROS))
def test_where_nothing_happened_it_is_a_zero_and_not_nothing(told: PanelAnswers, name: str) -> None:
    assert told.before[name]
    assert set(told.before[name].values()) == {0.0}


def test_the_figures_are_those_of_what_happened(told: PanelAnswers) -> None:
    after, why = told.after, "desk credentials refused"
    assert after["Worker Health A"] == {"": 2}
    # `increase` alone misses a series that begins with its first event.
    assert after["Failures by Reason A"] == {"OpenAI API: 403 Forbidden": 1}
    assert after["Webhooks by Result A"]["signature mismatch"] >= 2
    failed = after["Error Rate A"][""]
    # One in 15; the counters exist before the first job, and the two workers are scraped at different times.
    assert failed == pytest.approx(1 / 15, rel=0.05)
    assert after["Success Rate A"][""] == pytest.approx(1 - failed, abs=0.01)
    assert after["Success Rate by Tenant A"]["globex"] == 1
    assert set(told.of_acme["Success Rate by Tenant A"]) == {"acme"}
    assert set(after["External API Latency A"]) == {"acme", "globex"}
    assert set(after["External API Latency B"]) == {"openai/gpt-6-luna"}
    assert after["Tokens per Enhancement A"]["input"] > after["Tokens per Enhancement A"]["output"] > 0
    assert 0.0001 < after["Cost per Enhancement A"][""] < 0.01
    # Who is held and by what, with how many jobs that wait.
    assert after["Holds A"] == {f"{why}, desk of acme: {why}": 1}
    assert after["Holds B"] == {"acme": 0}
    assert after["Jobs Held Back A"] == {f"{why}, acme: {why}": 2}


def test_the_alerts_are_loaded_and_none_of_them_fails(prometheus: Prometheus, told: PanelAnswers) -> None:
    assert told.after
    rules = [rule for group in prometheus.ask("rules")["groups"] for rule in group["rules"]]
    alerts = [rule for rule in rules if rule["type"] == "alerting"]
    assert {alert["name"] for alert in alerts} == set(alert_names())
    assert {rule["health"] for rule in rules} == {"ok"}
    assert {alert["annotations"]["runbook_url"].partition("/runbooks/")[0] for alert in alerts} == {"docs"}


def test_dead_workers_are_counted_as_such(system: System, prometheus: Prometheus, told: PanelAnswers) -> None:
    """The API is still scraped, so the number is 0. Last: the workers stay dead."""
    assert told.after
    health = [query.filled() for query in queries() if query.panel == "Worker Health"]
    for worker in system.workers:
        worker.stop(8)
    wait_for(lambda: prometheus.query(health[0]) == {"": 0})
    assert prometheus.query(health[1]) == {"": 2}
