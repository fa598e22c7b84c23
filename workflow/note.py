"""The HTML of a note, readable in ten seconds.

Useful parts come first, facts of the desk are separate from the model's guesses, and the summary is last. Each text is
escaped: nothing from the model or a desk becomes markup. No colours and no sizes: a desk has its own, light or dark.
"""

import html
import re
from collections.abc import Iterable

from workflow.answer import Content, NotedSource, NotedText, cut, printable
from workflow.defanging import label
from workflow.note_words import WORDS, NoteWords

_LONGEST_MODEL = 80
# Starts of notes in all languages; older releases had one in English only.
_BEGINS = tuple(
    begin
    for words in WORDS.values()
    for begin in (
        f"{words.title} ({words.author.partition('{}')[0]}",
        words.updated_asked,
        words.updated_reopened,
    )
)

_MARKED = re.compile(r"Ref [0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$")


def marker(job_id: object) -> str:
    """Return the visible text that identifies a note's job; desks remove comments."""
    return f"Ref {job_id}"


def is_note(text: str) -> bool:
    return text.startswith(_BEGINS) and _MARKED.search(text) is not None


def is_note_of(job_id: object, text: str) -> bool:
    """Return True if a note's whole plain text is the job's, not a quote of it."""
    return text.startswith(_BEGINS) and text.endswith(marker(job_id))


def to_html(content: Content, job_id: object, model: str, *, feedback_link: str = "", updated_because: str = "") -> str:
    """Return the note, which names the `model` that answered.

    `feedback_link` leads to the feedback page. `updated_because`: the reason of a further note, `asked` or `reopened`.
    """
    words = WORDS.get(content.language, WORDS["en"])
    sources = {source.id: source for source in content.sources}
    author = cut(printable(" ".join(model.split())), _LONGEST_MODEL).strip() or words.no_name
    parts = [f"<p>{getattr(words, f'updated_{updated_because}')}</p>"] if updated_because else []
    parts += [f"<b>{words.title}</b> ({_escaped(words.author.format(author))})"]
    if content.nothing_found:
        parts.append(f"<p>{words.nothing_found}</p>")
    parts += _cause(content, words, sources)
    known = [step for step in content.next_steps if _named(step, sources)]
    guessed = [step for step in content.next_steps if not _named(step, sources)]
    parts += _list(words.steps, "ol", (_told(step, sources, words) for step in known))
    parts += _list(words.guessed_steps, "ul", (_told(step, sources, words) for step in guessed))
    parts += _list(words.questions, "ul", map(_escaped, content.questions))
    is_advice = bool(content.likely_cause.text or content.next_steps)
    heading = words.sources if is_advice else words.found
    parts += _list(heading, "ul", (_shown(source, words) for source in content.sources))
    parts += _suggestions(content, words)
    parts.append(f"<p><b>{words.in_short}:</b> {_escaped(content.summary)}</p>")
    if content.left_out:
        parts.append(f"<p>{words.left_out.format(content.left_out)}</p>")
    if feedback_link:
        parts.append(f'<p><a href="{_escaped(feedback_link)}">{words.useful}</a></p>')
    parts.append(f"<p>{marker(job_id)}</p>")
    return "<div>" + "".join(parts) + "</div>"


def _cause(content: Content, words: NoteWords, sources: dict[str, NotedSource]) -> list[str]:
    if not content.likely_cause.text:
        return []
    heading = words.cause if _named(content.likely_cause, sources) else words.guessed_cause
    sure = f" ({getattr(words, content.confidence)})" if content.confidence else ""
    return [f"<p><b>{heading}{sure}:</b> {_told(content.likely_cause, sources, words)}</p>"]


def _named(told: NotedText, sources: dict[str, NotedSource]) -> list[NotedSource]:
    return [sources[each] for each in told.sources if each in sources]


def _told(told: NotedText, sources: dict[str, NotedSource], words: NoteWords) -> str:
    names = ", ".join(_name(each, words) for each in _named(told, sources) if not _is_told(each, told, words))
    return f"{_escaped(told.text)} ({names})" if names else _escaped(told.text)


def _name(source: NotedSource, words: NoteWords) -> str:
    if source.kind == "document":
        return f"{words.document} &quot;{_escaped(source.title)}&quot;"
    number = f"#{_escaped(source.number)}"
    if source.link.startswith(("https://", "http://")):
        return f'<a href="{_escaped(source.link)}">{number}</a>'
    return number


def _is_told(source: NotedSource, told: NotedText, words: NoteWords) -> bool:
    name = label(source.title) if source.kind == "document" else f"#{source.number}"
    return f"{words.origin.format(name)})" in told.text


def _shown(source: NotedSource, words: NoteWords) -> str:
    name = _name(source, words)
    if source.kind == "ticket":
        day = f" ({source.day.isoformat()})" if source.day else ""
        name += f" {_escaped(source.title)}{day}" if source.title else day
    return f"{name}: {_escaped(source.gives)}" if source.gives else name


def _suggestions(content: Content, words: NoteWords) -> list[str]:
    told = [
        f"{_escaped(getattr(words, each.field).format(each.value))} ({getattr(words, each.strength)})"
        for each in content.suggestions
    ]
    return [f"<p><b>{words.suggested}:</b> {', '.join(told)}</p>"] if told else []


def _list(heading: str, kind: str, items: Iterable[str]) -> list[str]:
    listed = "".join(f"<li>{item}</li>" for item in items)
    return [f"<p><b>{heading}</b></p><{kind}>{listed}</{kind}>"] if listed else []


def _escaped(text: str) -> str:
    return html.escape(printable(text), quote=True).replace("\n", "<br>")
