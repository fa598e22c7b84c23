"""The HTML of a note (`templates/note.html`), readable in ten seconds.

Each text is escaped: no text of the model or a desk becomes markup.
"""

import html
import json
import re
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from workflow.answer import Content, NoteSource, NoteText, cut, printable

_TEXTS = json.loads(Path(__file__).with_name("note_words.json").read_text(encoding="utf-8"))
WORDS: Mapping[str, SimpleNamespace] = {language: SimpleNamespace(**words) for language, words in _TEXTS.items()}
"""The fixed words of a note, by language (ISO 639-1); `{}` is a placeholder."""
_MAX_MODEL_LENGTH = 80
# Starts of notes in all languages; notes of earlier releases began with a title.
_NOTE_STARTS = tuple(
    getattr(words, start)
    for words in WORDS.values()
    for start in ("cause", "guessed_cause", "no_cause", "updated_asked", "updated_reopened", "old_start")
)
_MARKED = re.compile(r"Ref [0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$")
_ENDS_OF_LINES = re.compile("<br>|</p>|</li>|(?=<(?:p|ol)>)")
_TAGS = re.compile("<[^>]*>")
_NOTE = Environment(
    autoescape=True,
    undefined=StrictUndefined,
    finalize=lambda value: value if isinstance(value, Markup) else printable(str(value)),
).from_string("".join((Path(__file__).parent / "templates" / "note.html").read_text("utf-8").splitlines()))


def marker(job_id: object) -> str:
    """Return the visible text that identifies a note's job; desks remove comments."""
    return f"Ref {job_id}"


def is_note(text: str) -> bool:
    """Return True for the plain text of any enhancement note of this system."""
    return text.startswith(_NOTE_STARTS) and _MARKED.search(text) is not None


def is_note_of(job_id: object, text: str) -> bool:
    """Return True if the whole plain text is this job's note, not a quotation of it."""
    return text.startswith(_NOTE_STARTS) and text.endswith(marker(job_id))


def to_html(
    content: Content,
    job_id: object,
    model: str,
    *,
    feedback_link: str = "",
    updated_because: str = "",
) -> str:
    """Return the note as HTML, with the name of the `model` that answered.

    `feedback_link` leads to the feedback page. `updated_because` is the reason for a further note: `asked` or
    `reopened`.
    """
    words = WORDS.get(content.language, WORDS["en"])
    sources = {source.id: source for source in content.sources}

    def cited(claim: NoteText) -> list[NoteSource]:
        return [sources[each] for each in claim.sources if each in sources]

    cause = content.likely_cause
    return _NOTE.render(
        content=content,
        words=words,
        cited=cited,
        is_cited=any(map(cited, (cause, *content.next_steps))),
        is_marker=lambda claim: claim.text.startswith("[") and claim.text.endswith("]"),
        is_verbatim=lambda claim: _bare(claim.text) == _bare(claim.quote),
        is_sure=content.confidence == "high" and cause.quote,
        author=cut(printable(" ".join(model.split())), _MAX_MODEL_LENGTH).strip() or words.no_name,
        updated=getattr(words, f"updated_{updated_because}") if updated_because else "",
        feedback_link=feedback_link,
        marker=marker(job_id),
    )


def _bare(text: str) -> str:
    return text.casefold().strip(" .")


def to_text(answer: Mapping[str, Any], job_id: object, model: str, updated_because: str = "") -> str:
    """Return the note of a stored answer as plain text."""
    note = to_html(Content.model_validate(answer), job_id, model, updated_because=updated_because)
    lines = _TAGS.sub("", _ENDS_OF_LINES.sub("\n", note).replace("<li>", "- ")).split("\n")
    return "\n".join(html.unescape(line) for line in lines if line.strip())
