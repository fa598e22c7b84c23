"""Values found in one text of a conversation, wherever else they stand."""

import re
from collections.abc import Iterable, Iterator

from privacy.redaction.lexicon import is_known
from privacy.redaction.people import PARTICLES, TITLES, spelled
from privacy.redaction.recognizers import Detection

_WITH_DIGIT = frozenset(["ID", "PHONE", "HOST", "BANK", "BIRTHDATE"])
_WITH_BLANKS = frozenset(["ID", "PHONE", "BANK"])
_MIN_LENGTH, _MIN_NAME_LENGTH = 5, 4
# By text, and by conversation.
_MAX_OF_TEXT, _MAX_VALUES = 100, 300


class Repeats:
    """Values by kind, from the finds of texts. Names count by their parts, unless these are words or products."""

    def __init__(self) -> None:
        self._kinds: dict[str, str] = {}
        self._form: re.Pattern[str] | None = None

    def add(self, text: str, finds: Iterable[Detection]) -> None:
        """Add the values of a folded text."""
        values = dict.fromkeys((_key(value, find.kind), find.kind) for find in finds for value in _values(text, find))
        for value, kind in list(values)[:_MAX_OF_TEXT]:
            if len(self._kinds) < _MAX_VALUES and self._kinds.setdefault(value, kind) == kind:
                self._form = None

    def finds(self, text: str) -> Iterator[Detection]:
        """Find the values in a folded text, whole words in any case, numbers also with other blanks."""
        if not self._kinds:
            return
        if self._form is None:
            values = "|".join(map(self._pattern, sorted(self._kinds, key=len, reverse=True)))
            self._form = re.compile(rf"(?<![^\W_])(?:{values})(?![^\W_])", re.IGNORECASE)
        for found in self._form.finditer(text):
            kind = self._kinds.get(found[0].lower()) or self._kinds.get(found[0].lower().replace(" ", ""))
            if kind:
                yield Detection(*found.span(), kind)

    def _pattern(self, value: str) -> str:
        return " ?".join(map(re.escape, value)) if self._kinds[value] in _WITH_BLANKS else re.escape(value)


def _key(value: str, kind: str) -> str:
    return value.lower().replace(" ", "") if kind in _WITH_BLANKS else value.lower()


def _values(text: str, find: Detection) -> Iterator[str]:
    written = text[find.begin : find.end]
    if find.kind == "PERSON":
        parts = [part.strip(".,'’") for part in written.split()]
        yield from (part for part in parts if len(part) >= _MIN_NAME_LENGTH and _is_name(spelled(part)))
    elif len(written) >= (_MIN_NAME_LENGTH if find.kind == "LOGIN" else _MIN_LENGTH) and (
        any(map(str.isdigit, written))
        if find.kind in _WITH_DIGIT
        else find.kind in {"LOGIN", "SECRET"} and not is_known(spelled(written))
    ):
        yield written


def _is_name(key: str) -> bool:
    return not (is_known(key) or key in PARTICLES or key in TITLES)
