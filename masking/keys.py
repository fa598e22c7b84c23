"""When two spellings are the same value."""

import re

from masking.people import parts_of
from masking.phones import international

_APART = re.compile(r"[\s./-]")


def key_of(kind: str, written: str) -> str:
    """Return what two spellings of one value of a kind have in common, of a folded text."""
    if kind == "PERSON":
        return " ".join(sorted(set(parts_of(written)))) or written
    if kind == "PHONE":
        return international(written)
    if kind in {"BANK", "CARD", "ID"}:
        return _APART.sub("", written).upper()
    if kind in {"EMAIL", "LOGIN", "HOST", "ADDRESS"}:
        return " ".join(written.lower().split())
    return written
