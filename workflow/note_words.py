"""The fixed words of a note, by language."""

import json
from collections.abc import Mapping
from importlib import resources
from typing import NamedTuple


class NoteWords(NamedTuple):
    """The words of one language; `{}` is a placeholder."""

    updated_asked: str
    updated_reopened: str
    title: str
    author: str
    no_name: str
    nothing_found: str
    cause: str
    guessed_cause: str
    high: str
    medium: str
    low: str
    steps: str
    guessed_steps: str
    questions: str
    sources: str
    found: str
    document: str
    suggested: str
    category: str
    priority: str
    group: str
    strong: str
    weak: str
    in_short: str
    left_out: str
    origin: str
    command_left_out: str
    claim_left_out: str
    no_ticket: str
    no_source: str
    not_in_ticket: str
    not_in_it: str
    useful: str


_TEXTS = json.loads((resources.files("workflow") / "note_words.json").read_text(encoding="utf-8"))
WORDS: Mapping[str, NoteWords] = {language: NoteWords(**words) for language, words in _TEXTS.items()}
"""By language, a code of ISO 639-1."""
