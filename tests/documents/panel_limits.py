"""Limits beside a panel's name: `Queue Depth` over 20. Each is one of the panel's own, or of the alert on the same."""

import re
from functools import cache

from tests.documents.alert_words import rules
from tests.documents.amounts import amounts
from tests.documents.documents import Document
from tests.documents.facts import AMOUNT, Fact
from tests.observability.pages import PAGES, panels

_BESIDE = re.compile(rf"`([^`]+)`:? (?:over|under) {AMOUNT}")
# Which alert asks for what a panel shows.
_ALERTS = {
    "Queue Depth": "AiAgentsQueueDepthHigh",
    "Oldest Job": "AiAgentsOldestJobWaits",
    "Success Rate": "AiAgentsSuccessRateLow",
}


@cache
def limits_of(title: str) -> tuple[float, ...]:
    """A panel's limits; none if there is no such panel."""
    found = [panel for page in PAGES for panel in panels(page) if panel["title"] == title]
    steps = found[0]["fieldConfig"]["defaults"]["thresholds"]["steps"] if found else []
    return tuple(float(step["value"]) for step in steps[1:])


def wrong_panel_limits(document: Document) -> list[str]:
    """`panel: amount` of each that is none of them."""
    told = [(title, amounts(amount)[0].value) for title, amount in _BESIDE.findall(document.prose)]
    return [f"{title}: {amount:g}" for title, amount in told if limits_of(title) and amount not in _known(title)]


def _known(title: str) -> set[float]:
    limits = rules()[_ALERTS[title]].limits if title in _ALERTS else ()
    return set(limits_of(title)) | {value for _, value, direction in limits if direction}


def facts_of_panels() -> list[Fact]:
    """Where documents tell a panel's limits without its name."""
    moderate, high, critical = limits_of("Queue Depth")
    (slow,) = limits_of("External API Latency")
    steps = (moderate, moderate, high, high, critical)
    return [
        Fact("under {} normal, {} to {} moderate, {} to {} high, over {} critical", (*steps, critical)),
        Fact("under {} is normal, {} to {} moderate, over {} high, over {} critical", steps),
        Fact("a number over {} | critical", (critical,)),
        Fact("a number over {} | high", (high,)),
        Fact("a number over {} | moderate", (moderate - 1,)),
        Fact("over {} waiting (P1)", (critical,)),
        Fact("over {} jobs wait and it grows", (high,)),
        Fact("when under {} wait", (moderate,)),
        Fact("when the queue is under {}", (moderate,)),
        Fact("Under {}, give it back", (moderate,)),
        Fact("a p95 over {} is slow", (slow,)),
        Fact("desk answers in over {}", (slow,)),
        Fact("Over {}: slow", (slow,)),
        Fact("rates and counts are taken over, {} unless", (_usual_window(),)),
    ]


def _usual_window() -> float:
    (usual,) = {
        variable["current"]["value"]
        for page in PAGES.values()
        for variable in page["templating"]["list"]
        if variable["name"] == "window"
    }
    return amounts(usual)[0].value
