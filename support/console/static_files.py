"""The console's files: each at an address with its hash in it, so that a browser keeps it for ever."""

import hashlib
from collections.abc import Mapping
from pathlib import Path

from starlette.responses import Response

_FOLDER = Path(__file__).parent / "static"
_PREFIX = "/static/"
_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}


class StaticFiles:
    """Those of a folder that a page can use, read once."""

    def __init__(self, folder: Path = _FOLDER) -> None:
        self._addresses: dict[str, str] = {}
        self._files: dict[str, tuple[bytes, str]] = {}
        for path in sorted(folder.iterdir()):
            if path.suffix in _TYPES:
                content = path.read_bytes()
                address = f"{_PREFIX}{hashlib.sha256(content).hexdigest()[:16]}/{path.name}"
                self._addresses[path.name] = address
                self._files[address] = content, _TYPES[path.suffix]

    def address(self, name: str) -> str:
        """Return where the file is. Raises KeyError for one that there is not."""
        return self._addresses[name]

    def is_one(self, path: str) -> bool:
        """Return True if the path is one of files, whether that one is there or not."""
        return path.startswith(_PREFIX)

    def response(self, path: str, headers: Mapping[str, str]) -> Response | None:
        """Return the file at a path, None if there is none."""
        found = self._files.get(path)
        if found is None:
            return None
        kept = {**headers, "Cache-Control": "public, max-age=31536000, immutable"}
        return Response(found[0], 200, kept, media_type=found[1])
