"""The frame of each page: its template filled in, its navigation, and the headers that say what a browser may do."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape
from starlette.responses import Response

from support.console.access.gate import OpenVisit
from support.console.answers import Place
from support.console.static_files import StaticFiles

TEMPLATES = Path(__file__).parent / "templates"
_POLICY = (
    "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
)
_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": _POLICY,
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    # Not no-referrer: a browser would then say of our own forms that they come from nowhere.
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "X-Robots-Tag": "noindex, nofollow",
}
_ENTRIES = (
    ("/", "Overview"),
    ("/tenants", "Tenants"),
    ("/failures", "Failures"),
)
"""What the navigation leads to, as far as there is such a place and the visitor may go there."""


@dataclass(frozen=True, slots=True)
class Around:
    """What a page is shown in: at which path, and to whom, None before the login."""

    here: str
    visit: OpenVisit | None = None


class Frame:
    """Makes responses. `secure`: browsers are told to come over TLS only."""

    def __init__(
        self, places: Sequence[Place], *, secure: bool, templates: Sequence[Path] = (), files: StaticFiles | None = None
    ) -> None:
        self.files = files or StaticFiles()
        self.headers = _HEADERS | ({"Strict-Transport-Security": "max-age=31536000"} if secure else {})
        self._least = {place.path: place.least for place in places if place.method == "GET"}
        self._environment = Environment(
            loader=FileSystemLoader([*templates, TEMPLATES]),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            auto_reload=False,
        )
        self._environment.globals["static"] = self.files.address

    def page(
        self,
        around: Around,
        template: str,
        values: Mapping[str, object],
        status: int = 200,
        headers: Mapping[str, str] | None = None,
    ) -> Response:
        """Return the template filled in; what the frame gives has precedence over `values`."""
        visit = around.visit
        given = {
            "visitor": visit.visitor if visit else None,
            "csrf": visit.csrf if visit else "",
            "csrf_field": csrf_field(visit.csrf) if visit else "",
            "here": around.here,
            "navigation": self._entries(visit),
        }
        text = self._environment.get_template(template).render({**values, **given})
        return Response(text.encode("utf-8", "replace"), status, {**self.headers, **(headers or {})}, "text/html")

    def redirect(self, path: str, headers: Mapping[str, str] | None = None) -> Response:
        """Return a response that leads to a path of the console, or to a provider's address."""
        return Response(b"", 303, {**self.headers, "Location": path, **(headers or {})})

    def _entries(self, visit: OpenVisit | None) -> list[tuple[str, str]]:
        if visit is None:
            return []
        may = ("support", visit.visitor.role)
        return [(path, label) for path, label in _ENTRIES if self._least.get(path) in may]


def csrf_field(csrf: str) -> Markup:
    """Return the field that each form needs."""
    return Markup('<input type="hidden" name="csrf" value="{}">').format(escape(csrf))
