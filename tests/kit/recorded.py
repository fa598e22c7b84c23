"""What real desks have answered, or are known to answer: `tests/integrations/recorded/*.json`, each with its source.

A `source` is a public project and its file; for what nobody recorded, who says so: `vendor` or `others`, and where.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parents[1] / "integrations" / "recorded"


@dataclass(frozen=True)
class RecordedAnswer:
    """An answer of a desk of that edition; `kind` is what was asked for."""

    name: str
    source: str
    edition: str
    kind: str
    status: int
    body: dict[str, Any]


def recorded_answers() -> list[RecordedAnswer]:
    """Return all of them."""
    files = sorted(FOLDER.glob("*.json"))
    return [RecordedAnswer(file.stem, **json.loads(file.read_text(encoding="utf-8"))) for file in files]
