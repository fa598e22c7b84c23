"""Templates, with what each page has around it, and the addresses of static files."""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from starlette.requests import Request
from starlette.templating import Jinja2Templates

_FOLDER = Path(__file__).parent
STATIC = _FOLDER / "static"
_CONTENT = b"".join(path.read_bytes() for path in sorted(STATIC.iterdir()))
STATIC_PATH = f"/static/{hashlib.sha256(_CONTENT).hexdigest()[:16]}"
"""Has a hash of all files, so that a browser may keep them for ever."""


def _around(request: Request) -> dict[str, Any]:
    """Return what each page shows: its path, and the user with a session."""
    session = request.state.session
    return {
        "user": session.user if session else None,
        "csrf_field": csrf_field(session.csrf) if session else "",
        "here": request.url.path,
        "static": lambda name: f"{STATIC_PATH}/{name}",
    }


def csrf_field(csrf: str) -> Markup:
    """Return the field that each form needs."""
    return Markup('<input type="hidden" name="csrf" value="{}">').format(csrf)


def create_templates(folders: Sequence[Path] = ()) -> Jinja2Templates:
    """Return the templates of the console; `folders` come first."""
    environment = Environment(
        loader=FileSystemLoader([*folders, _FOLDER / "templates"]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    return Jinja2Templates(env=environment, context_processors=[_around])


templates = create_templates()
