"""Templates with their shared context and filters, and URLs of static files."""

import hashlib
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape
from starlette.requests import Request
from starlette.templating import Jinja2Templates

from jobs.diagnosis.report import document_url
from jobs.models import JobState
from jobs.statistics import MAX_COUNTED
from observability.formats import ago, clock, counted, dollars, duration, money, when

_FOLDER = Path(__file__).parent
STATIC = _FOLDER / "static"
_CONTENT = b"".join(path.read_bytes() for path in sorted(STATIC.iterdir()))
STATIC_PATH = f"/static/{hashlib.sha256(_CONTENT).hexdigest()[:16]}"
"""Contains a hash of all files, so that browsers may cache them for ever."""
Tone = Literal["ok", "warn", "bad", "info"]
_TONES: dict[str, Tone] = {JobState.COMPLETED: "ok", JobState.FAILED: "bad", JobState.WAITING: "warn"}


class StateWord(NamedTuple):
    """A word with the colour that repeats its meaning."""

    text: str
    tone: Tone


_DOCUMENT = re.compile(r"docs/[\w/-]+\.md(?:#[\w-]+)?")


def linked(text: str, docs_url: str | None) -> Markup:
    """Return the text with links to its documents, if `docs_url` has them."""

    def link(path: re.Match[str]) -> str:
        return Markup('<a href="{}" rel="noreferrer">{}</a>').format(document_url(path[0], docs_url), path[0])

    return Markup(_DOCUMENT.sub(link, escape(text)) if docs_url else escape(text))  # noqa: S704 -- escaped


def csrf_field(csrf: str) -> Markup:
    return Markup('<input type="hidden" name="csrf" value="{}">').format(csrf)


def _shared_context(request: Request) -> dict[str, Any]:
    session = request.state.session
    return {
        "user": session.user if session else None,
        "csrf_field": csrf_field(session.csrf) if session else "",
        "docs_url": request.app.state.services.docs_url,
        "here": request.scope["path"],
        "static": lambda name: f"{STATIC_PATH}/{name}",
    }


def create_templates(folders: Sequence[Path] = ()) -> Jinja2Templates:
    environment = Environment(
        loader=FileSystemLoader([*folders, _FOLDER / "templates"]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    environment.filters |= {
        each.__name__: each for each in (ago, clock, counted, dollars, duration, linked, money, when)
    }
    environment.filters |= {
        "iso": lambda at: at.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "pretty_json": lambda value: json.dumps(value, indent=2, ensure_ascii=False),
        "state_word": lambda state: StateWord(state, _TONES.get(state, "info")),
    }
    environment.globals["most_counted"] = MAX_COUNTED
    return Jinja2Templates(env=environment, context_processors=[_shared_context])


templates = create_templates()
