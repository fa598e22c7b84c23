"""Failures of embeddings: they are logged, and the search uses words alone."""

from integrations.errors import Permanent, Temporary
from observability import phrases


class EmbeddingsUnavailable(Temporary):
    """No embedding now; `what` is a status, `connection`, or a missing part."""

    down = True

    def __init__(self, what: str) -> None:
        super().__init__(phrases.EMBEDDINGS_FAILED, what)


class TextRefused(Permanent):
    """One of the texts is refused: it is too long, or a filter rejects it."""

    def __init__(self, what: str) -> None:
        super().__init__(phrases.EMBEDDINGS_FAILED, what)
