"""Counting what became of notes, by what wrote them: its names come from a provider and from rows, and are bounded."""

from observability.metrics import FEEDBACK, TAKEN_UP

MOST_VALUES = 20
"""Of each label: past them it is `other`, until the process is started anew."""
_LONGEST_VALUE = 80
_values: dict[str, set[str]] = {"prompt": set(), "model": set()}


def voted(tenant_id: str, prompt: str, model: str, vote: str) -> None:
    """Count a vote on a note that this prompt and this model wrote."""
    FEEDBACK.labels(tenant_id, _bounded("prompt", prompt), _bounded("model", model), vote).inc()


def taken_up(tenant_id: str, prompt: str, model: str, ratio: float) -> None:
    """Observe how much of such a note was taken up, 0 to 1."""
    TAKEN_UP.labels(tenant_id, _bounded("prompt", prompt), _bounded("model", model)).observe(ratio)


def _bounded(label: str, value: str) -> str:
    known, short = _values[label], value[:_LONGEST_VALUE]
    if short not in known and len(known) >= MOST_VALUES:
        return "other"
    known.add(short)
    return short
