"""What a document says that a command prints, held against what it printed.

The first sentence below a block says it: `Expect X and Y` (both), `Expect X or Y` (one of them), `Expect nothing`
(or only lines with one of the things that the paragraph names), `Expect a number`, `Expect the same line twice`.
"""

import re

from tests.documents.session import Ran

_QUOTED = re.compile(r"`([^`]+)`")
# kubectl's complaint about a terminal, which a test has not.
_NOISE = re.compile(r"^(?:Unable to use a TTY.*|command terminated with exit code \d+)\n?", re.MULTILINE)


def unmet(expectation: str, ran: Ran) -> str:
    """What is missing or too much; empty if it is as the document says."""
    lines = [line.strip() for line in _NOISE.sub("", ran.printed).splitlines() if line.strip()]
    sentence = _first_sentence(expectation)
    for beginning, check in _KINDS.items():
        if sentence.startswith(beginning):
            return check(expectation, lines)
    return _quoted(sentence, "\n".join(lines))


def failed(text: str, expectation: str, ran: Ran) -> str:
    """What failed in a block without the document's saying so; empty if nothing did.

    It says so with the words of the complaint, or by reading complaints (`2>&1 |`) in a part that did not fail.
    """
    told = [piece for piece in _QUOTED.findall(_first_sentence(expectation)) if piece.strip() in ran.complaints]
    if told:
        return ""
    read = "2>&1 |" in text
    found = [failure for failure in ran.failures if not (read and failure.statuses[-1] == 0)]
    return "\n".join(f"failed {failure.statuses}: {failure.command}" for failure in found)


def _nothing(expectation: str, lines: list[str]) -> str:
    allowed = [piece.strip() for piece in _QUOTED.findall(expectation)]
    extra = [line for line in lines if not any(piece in line for piece in allowed)]
    return f"printed something: {extra[:3]}" if extra else ""


def _number(_: str, lines: list[str]) -> str:
    return "" if any(line.isdecimal() for line in lines) else "printed no number"


def _same_twice(_: str, lines: list[str]) -> str:
    return "" if len(lines) == 2 and lines[0] == lines[1] else f"not the same twice: {lines}"


def _characters(expectation: str, lines: list[str]) -> str:
    length = len("".join(lines))
    return "" if length == int(expectation.partition(" ")[0]) else f"{length} characters"


_KINDS = {
    "nothing": _nothing,
    "a number": _number,
    "the same line twice": _same_twice,
    "44 characters": _characters,
    "64 characters": _characters,
}


def _quoted(sentence: str, printed: str) -> str:
    pieces = _QUOTED.findall(sentence)
    missing = [piece for piece in pieces if piece.strip() not in printed]
    if " or " in _QUOTED.sub("", sentence):
        return f"none of {pieces}" if len(missing) == len(pieces) else ""
    if "twice" in sentence:
        return "" if printed.count(pieces[0]) == 2 else f"not twice: {pieces[0]}"
    return f"missing: {missing}" if missing or not pieces else ""


def _first_sentence(text: str) -> str:
    hidden = _QUOTED.sub(lambda found: "`" + "x" * len(found[1]) + "`", text)
    end = re.search(r"[.:;(](?:\s|$)|\s\(", hidden)
    return text[: end.start()] if end else text
