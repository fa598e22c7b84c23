"""Metrics of notes by prompt and model, with a bounded number of label values."""

from observability.metrics import FEEDBACK, TAKEN_UP

MOST_VALUES = 20
_LONGEST_VALUE = 80


class FewValues:
    """Limits a label to the first values, each cut; later values become `other`."""

    def __init__(self, most: int = MOST_VALUES) -> None:
        self._most = most
        self._known: set[str] = set()

    def of(self, value: str) -> str:
        short = value[:_LONGEST_VALUE]
        if short not in self._known and len(self._known) >= self._most:
            return "other"
        self._known.add(short)
        return short


_prompts, _models = FewValues(), FewValues()


def voted(tenant_id: str, prompt: str, model: str, vote: str) -> None:
    FEEDBACK.labels(tenant_id, _prompts.of(prompt), _models.of(model), vote).inc()


def taken_up(tenant_id: str, prompt: str, model: str, ratio: float) -> None:
    """Observe the ratio (0 to 1) of a note's text that was adopted."""
    TAKEN_UP.labels(tenant_id, _prompts.of(prompt), _models.of(model)).observe(ratio)
