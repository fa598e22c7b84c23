"""Counting what became of notes, by what wrote them: its names come from a provider and from rows, and are bounded."""

from observability.metrics import FEEDBACK, TAKEN_UP

MOST_VALUES = 20
_LONGEST_VALUE = 80


class FewValues:
    """The values of one label: the first ones that a process meets, each cut; the others are all `other`."""

    def __init__(self, most: int = MOST_VALUES) -> None:
        self._most = most
        self._known: set[str] = set()

    def of(self, value: str) -> str:
        """Return what stands for the value."""
        short = value[:_LONGEST_VALUE]
        if short not in self._known and len(self._known) >= self._most:
            return "other"
        self._known.add(short)
        return short


_prompts, _models = FewValues(), FewValues()


def voted(tenant_id: str, prompt: str, model: str, vote: str) -> None:
    """Count a vote on a note that this prompt and this model wrote."""
    FEEDBACK.labels(tenant_id, _prompts.of(prompt), _models.of(model), vote).inc()


def taken_up(tenant_id: str, prompt: str, model: str, ratio: float) -> None:
    """Observe how much of such a note was taken up, 0 to 1."""
    TAKEN_UP.labels(tenant_id, _prompts.of(prompt), _models.of(model)).observe(ratio)
