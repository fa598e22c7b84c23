"""What goes wrong with embeddings: a line, and the search is made by words alone."""

from integrations.errors import Permanent, Temporary
from observability import phrases


class EmbeddingsUnavailable(Temporary):
    """There is no embedding now; `what` is a status with words, `connection`, or what is missing."""

    down = True

    def __init__(self, what: str) -> None:
        super().__init__(phrases.EMBEDDINGS_FAILED, what)


class TextRefused(Permanent):
    """One of the texts is the reason: it is too long, or a filter keeps it."""

    def __init__(self, what: str) -> None:
        super().__init__(phrases.EMBEDDINGS_FAILED, what)
