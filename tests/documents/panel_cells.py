"""Tables that say where to look: each panel in such a cell is one of the dashboards'."""

import re

from tests.documents import vocabulary
from tests.documents.documents import Document

_HEADS = ("look first at", "what shows it")
_NO_PANELS = r"\b(?:API|Postgres|Redis|GPT-4)\b"


def unknown_panels(document: Document) -> list[str]:
    """`line: part` of each part of such a cell that has words like a title's, and is none.

    A part may say something of a panel (`globex in Success Rate by Tenant stays`): what is left without the titles has
    no capitals.
    """
    found: list[str] = []
    column = None
    for number, line in enumerate(document.prose.splitlines(), 1):
        cells = [cell.strip() for cell in line.strip("|").split(" | ")]
        if not line.startswith("|"):
            column = None
        elif set(cells) & set(_HEADS):
            column = next(index for index, cell in enumerate(cells) if cell in _HEADS)
        elif column is not None and not line.startswith("|-"):
            found += [f"{number}: {part}" for part in re.split(r"[,;]", cells[column]) if _has_another_title(part)]
    return found


def _has_another_title(part: str) -> bool:
    # What stands between back quotes is looked after as a mention.
    plain = re.sub(r"`[^`]*`", "", part)
    for title in sorted(vocabulary.panels(), key=len, reverse=True):
        plain = re.sub(rf"\b{re.escape(title)}\b", "", plain)
    return re.search(r"[A-Z]", re.sub(_NO_PANELS, "", plain)) is not None
