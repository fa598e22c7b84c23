"""The bounded, ordered record of requests that a simulator received."""

import time
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

MAX_ENTRIES = 20_000
MAX_PAYLOAD_BYTES = 100_000_000

_SHOWN_HEADERS = frozenset(
    {
        "accept",
        "content-type",
        "content-length",
        "user-agent",
        "traceparent",
        "x-request-id",
        "idempotency-key",
    }
)
_SECRET_HEADERS = frozenset({"authorization", "authtoken"})


def selected_headers(raw: Iterable[tuple[bytes, bytes]]) -> dict[str, str]:
    """Return the headers worth recording; credentials are reduced to their scheme."""
    shown: dict[str, str] = {}
    for name_bytes, value_bytes in raw:
        name, value = name_bytes.decode("latin-1").lower(), value_bytes.decode("latin-1")
        if name in _SECRET_HEADERS:
            shown[name] = value.split(" ")[0] + " ..." if " " in value else "..."
        elif name in _SHOWN_HEADERS:
            shown[name] = value
    return shown


@dataclass(slots=True)
class Entry:
    """One received request. `time` is Unix seconds; `status` is None until it is answered."""

    seq: int
    time: float
    method: str
    path: str
    operation: str
    tenant: str | None
    ticket_id: str | None
    payload: Any
    headers: dict[str, str]
    fault: str | None = None
    status: int | None = None
    outcome: str = "open"
    seconds: float | None = None


@dataclass(slots=True)
class Journal:
    """The newest 20,000 requests and, of them, the newest 100 MB of payload."""

    _entries: deque[Entry] = field(default_factory=lambda: deque(maxlen=MAX_ENTRIES))
    _payloads: deque[tuple[Entry, int]] = field(default_factory=deque)
    _payload_bytes: int = 0
    _received: int = 0

    def receive(
        self,
        *,
        method: str,
        path: str,
        operation: str,
        payload: Any,
        payload_bytes: int,
        headers: dict[str, str],
        tenant: str | None = None,
        ticket_id: str | None = None,
    ) -> Entry:
        """Record a request before its response, so that unanswered requests appear too."""
        self._received += 1
        entry = Entry(self._received, time.time(), method, path, operation, tenant, ticket_id, payload, headers)
        self._entries.append(entry)
        self._payloads.append((entry, payload_bytes))
        self._payload_bytes += payload_bytes
        while self._payload_bytes > MAX_PAYLOAD_BYTES or len(self._payloads) > MAX_ENTRIES:
            oldest, size = self._payloads.popleft()
            oldest.payload = None
            self._payload_bytes -= size
        return entry

    def entries(self, **equal: str) -> list[Entry]:
        return [entry for entry in self._entries if all(getattr(entry, name) == value for name, value in equal.items())]

    def clear(self) -> None:
        """Delete all entries; the numbering continues."""
        self._entries.clear()
        self._payloads.clear()
        self._payload_bytes = 0
