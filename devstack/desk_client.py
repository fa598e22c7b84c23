"""The demo's client of the simulated desk, for tickets and notes."""

from html.parser import HTMLParser
from typing import Any

import httpx2

_SECONDS = 5.0


class DeskClient(httpx2.Client):
    """Tickets and notes of the desks at `url`; `keys` are API keys by tenant id."""

    def __init__(self, url: str, keys: dict[str, str]) -> None:
        # The environment is ignored: its proxy must not get loopback requests.
        super().__init__(base_url=url, timeout=_SECONDS, trust_env=False)
        self._keys = keys

    def create_ticket(self, ticket: dict[str, str]) -> str:
        """Create a ticket, which triggers its webhook; return its id. Raises HTTPError."""
        answer = self.post("/_sim/tickets", json=ticket)
        answer.raise_for_status()
        return str(answer.json()["ticket_id"])

    def notes(self, tenant_id: str, ticket_id: str) -> list[str]:
        """Return a ticket's notes (HTML). Raises httpx2.HTTPError."""
        listed = self._read(tenant_id, f"/requests/{ticket_id}/notes")["notes"]
        return [
            str(self._read(tenant_id, f"/requests/{ticket_id}/notes/{note['id']}")["note"]["description"])
            for note in listed
        ]

    def _read(self, tenant_id: str, path: str) -> Any:
        headers = {"authtoken": self._keys[tenant_id], "Accept": "application/vnd.manageengine.sdp.v3+json"}
        answer = self.get(f"/{tenant_id}/api/v3{path}", headers=headers)
        answer.raise_for_status()
        return answer.json()


class _Text(HTMLParser):
    _BLOCKS = frozenset({"p", "div", "ul", "ol", "br", "h1", "h2", "h3", "h4", "tr"})

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.text = ""
        self._numbers: list[int | None] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        del attrs
        if tag in {"ul", "ol"}:
            self._numbers.append(0 if tag == "ol" else None)
        elif tag == "li" and self._numbers:
            number = self._numbers[-1]
            self._numbers[-1] = None if number is None else number + 1
            self.text += "\n  - " if number is None else f"\n  {number + 1}. "
        elif tag in self._BLOCKS:
            self.text += "\n"

    def handle_endtag(self, tag: str) -> None:
        if tag in {"ul", "ol"} and self._numbers:
            self._numbers.pop()
        if tag in self._BLOCKS:
            self.text += "\n"

    def handle_data(self, data: str) -> None:
        self.text += data


def as_text(note: str) -> str:
    parser = _Text()
    parser.feed(note)
    parser.close()
    # Control characters of a note must not reach a terminal.
    lines = ("".join(char for char in line if char.isprintable()) for line in parser.text.split("\n"))
    kept: list[str] = []
    for line in lines:
        if line.strip() or (kept and kept[-1]):
            kept.append(line.rstrip())
    return "\n".join(kept).strip("\n")
