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
_STARTS = (
    *("questions", "nothing_left", "cause", "guessed_cause", "no_cause", "updated_asked", "updated_reopened"),
    "old_start",
)
# Starts of notes in all languages, and of earlier releases.
_NOTE_STARTS = (
    *(getattr(words, start) for words in WORDS.values() for start in _STARTS),
    "Updated because it was asked for.",
)
_FAILURE_STARTS = tuple(words.failed.partition("{}")[0] for words in WORDS.values())
_ID = r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
_MARKED, _FAILURE_MARKED = re.compile(f"Ref {_ID}$"), re.compile(f"Job {_ID}$")
_ANY_START = "|".join(map(re.escape, sorted({*_NOTE_STARTS, *_FAILURE_STARTS}, key=len, reverse=True)))
_WITHIN = re.compile(rf"(?s)(?:{_ANY_START}).*?(?:Ref|Job) {_ID}")
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


def is_own_note(text: str) -> bool:
    """Return True for the plain text of any note of this system: an enhancement, or a failure note."""
    return is_note(text) or (text.startswith(_FAILURE_STARTS) and _FAILURE_MARKED.search(text) is not None)


def without_own_notes(text: str) -> str:
    """Return a text without the notes of this system that it contains, such as a copied or completed one."""
    return _WITHIN.sub("", text).strip()


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
    failed: bool = False,
) -> str:
    """Return the note as HTML, with the name of the `model` that answered.

    `feedback_link` leads to the feedback page. `updated_because` is the reason for a further note: `asked` or
    `reopened`. `failed`: the `model` gave no usable answer, so the note has only the sources.
    """
    words = WORDS.get(content.language, WORDS["en"])
    # Passages of one document are one source.
    first: dict[tuple[str, ...], NoteSource] = {}
    known = {each.id: first.setdefault((each.kind, each.number, each.title), each) for each in content.sources}

    def cited(claim: NoteText) -> list[NoteSource]:
        return list({known[each].id: known[each] for each in claim.sources if each in known}.values())

    claims = [content.likely_cause, *content.next_steps]
    # In the order of their numbers.
    cited_sources = list({source.id: source for claim in claims for source in cited(claim)}.values())
    sources = cited_sources or list(first.values())
    numbers = {source.id: number for number, source in enumerate(sources, 1)}
    cause = content.likely_cause

    def said(claim: NoteText) -> str:
        """Return the text of a claim; without a check, one that only quotes is worded as a quotation."""
        if not (content.is_unchecked and claim.quote and _bare(claim.text) in _bare(claim.quote)):
            return claim.text
        source = cited(claim)[0]
        name = f"#{source.number}" if source.kind == "ticket" else f"[{numbers[source.id]}]"
        return str(words.says.format(name, claim.quote))

    def quotes(source: NoteSource) -> list[str]:
        """Return the source's words behind the claims, unless a claim repeats them; else its most important ones."""
        quoted = [claim for claim in claims if claim.quote and cited(claim)[:1] == [source]]
        if not quoted and source.quote:
            return [source.quote]
        return list(dict.fromkeys(claim.quote for claim in quoted if _bare(claim.text) != _bare(claim.quote)))

    def is_marker(claim: NoteText) -> bool:
        return claim.text.strip(" .") in (words.claim_left_out, words.command_left_out)

    def label(source: NoteSource) -> str:
        return f'"{source.title}"' if source.kind == "document" else f"#{source.number}"

    author = cut(printable(" ".join(model.split())), _MAX_MODEL_LENGTH).strip() or words.no_name
    return _NOTE.render(
        content=content,
        words=words,
        cited=cited,
        said=said,
        quotes=quotes,
        numbers=lambda claim: "".join(f" [{numbers[source.id]}]" for source in cited(claim)),
        sources=sources,
        is_cited=bool(cited_sources),
        is_nothing_left=bool(content.removed and sources) and not cause.text and not content.next_steps,
        steps=[step for step in content.next_steps if cited(step) or is_marker(step)],
        advice=[step.text for step in content.next_steps if not (cited(step) or is_marker(step))],
        is_sure=content.confidence == "high" and cause.quote,
        author=author,
        failed=author if failed else "",
        label=label,
        updated=getattr(words, f"updated_{updated_because}") if updated_because else "",
        feedback_link=feedback_link,
        marker=f"Job {job_id}" if failed else marker(job_id),
    )


def _bare(text: str) -> str:
    return text.casefold().strip(" .")


def to_text(answer: Mapping[str, Any], job_id: object, model: str, updated_because: str = "") -> str:
    """Return the note of a stored answer as plain text."""
    note = to_html(Content.model_validate(answer), job_id, model, updated_because=updated_because)
    lines = _TAGS.sub("", _ENDS_OF_LINES.sub("\n", note).replace("<li>", "- ")).split("\n")
    return "\n".join(html.unescape(line) for line in lines if line.strip())
