"""Settings in sentences: an amount beside a setting's name is its default."""

import re

from tests.documents import statuses
from tests.documents.amounts import amounts
from tests.documents.defaults import of_settings
from tests.documents.documents import Document

_NAME = re.compile(r"`([A-Z][A-Z_]+)`")
# The table of settings, which has a test of its own, has limits of other things in its descriptions.
_ROW_OF_A_SETTING = re.compile(r"^\| `[A-Z_]+(?:<TENANT>)?` \|")
_CLAUSE_ENDS = re.compile(r"[.;:,|](?:\s|$)")
# `NAME` (50), `NAME`, 60 by default, `NAME` 128.
_BARE = re.compile(r"`([A-Z][A-Z_]+)`(?:,| \(| )\s?(\d+(?:\.\d+)?)(?= by default|\)| \||$)")


def wrong_defaults(document: Document) -> list[str]:
    """`line: setting amount` of each amount that is none of the defaults of the settings beside it."""
    lines = [line for line in enumerate(document.prose.splitlines(), 1) if not _ROW_OF_A_SETTING.match(line[1])]
    found = [f"{number}: {wrong}" for number, line in lines for wrong in _wrong_bare(line)]
    clauses = [(number, clause) for number, line in lines for clause in _CLAUSE_ENDS.split(line)]
    return found + [f"{number}: {wrong}" for number, clause in clauses for wrong in _wrong_beside(clause)]


def _wrong_bare(line: str) -> list[str]:
    told = [(name, float(number)) for name, number in _BARE.findall(line) if not _is_an_answer(number)]
    return [f"{name} {number:g}" for name, number in told if of_settings().get(name, number) != number]


def _wrong_beside(clause: str) -> list[str]:
    names = [name for name in _NAME.findall(clause) if name in of_settings()]
    known = {_in_unit(name) for name in names}
    found = [amount for amount in amounts(re.sub(r"`[^`]*`", "``", clause)) if amount.kind == "seconds"]
    return [f"{' '.join(names)} {amount.value:g} s" for amount in found if names and amount.value not in known]


def _in_unit(name: str) -> float:
    return of_settings()[name] * (86400 if name.endswith("_DAYS") else 1)


def _is_an_answer(number: str) -> bool:
    """`NAME` (408): what it is answered with who takes longer."""
    return number.startswith("4") and statuses.is_known(number)
