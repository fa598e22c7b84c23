"""Recorded or documented answers of real desks: `tests/integrations/recorded/*.json`.

A `source` is a public project and its file; an unrecorded answer names its authority: `vendor` or `others`, and the
place.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parents[1] / "integrations" / "recorded"


@dataclass(frozen=True)
class RecordedAnswer:
    """An answer of a desk of that edition; `kind` is the request."""

    name: str
    source: str
    edition: str
    kind: str
    status: int
    body: dict[str, Any]


def recorded_answers() -> list[RecordedAnswer]:
    files = sorted(FOLDER.glob("*.json"))
    return [RecordedAnswer(file.stem, **json.loads(file.read_text(encoding="utf-8"))) for file in files]
