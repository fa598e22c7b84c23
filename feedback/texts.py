"""Texts of the feedback page by language (`texts.toml`)."""

import tomllib
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from storage.feedback import Vote, VoteReason

Message = tuple[str, str]
"""A heading, and one more sentence."""
_MOST_READ = 200


class PageTexts(BaseModel):
    """Texts of one language."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    language: str
    question: str
    about: str
    useful: str
    not_useful: str
    why: str
    optional: str
    reasons: dict[VoteReason, str]
    thanks: Message
    answered: str
    change: str
    unknown: Message
    expired: Message
    gone: Message
    later: Message
    unreadable: Message
    method: Message

    def of(self, vote: Vote) -> str:
        return self.useful if vote == Vote.USEFUL else self.not_useful


_TABLES = tomllib.loads(Path(__file__).with_name("texts.toml").read_text(encoding="utf-8"))
TEXTS = {language: PageTexts(language=language, **table) for language, table in _TABLES.items()}


def texts_for(accept_language: str) -> PageTexts:
    """Return the texts of the preferred `Accept-Language`, else English."""
    liked: list[tuple[float, str]] = []
    for part in accept_language[:_MOST_READ].split(","):
        name, _, weight = part.partition(";")
        try:
            quality = float(weight.strip().removeprefix("q=")) if weight.strip() else 1.0
        except ValueError:
            continue
        language = name.strip().lower().partition("-")[0]
        if quality > 0 and language in TEXTS:
            liked.append((quality, language))
    return TEXTS[max(liked, key=lambda each: each[0])[1] if liked else "en"]
