"""What a document says that a command prints, held against what it printed.

The first sentence below a block says it: `Expect X and Y` (both), `Expect X or Y` (one of them), `Expect nothing`
(or only lines with one of the things that the paragraph names), `Expect a number`, `Expect the same line twice`.
"""

import re

_QUOTED = re.compile(r"`([^`]+)`")
# kubectl's complaint about a terminal, which a test has not.
_NOISE = re.compile(r"^(?:Unable to use a TTY.*|command terminated with exit code \d+)\n?", re.MULTILINE)


def unmet(expectation: str, printed: str) -> str:
    """What is missing or too much; empty if it is as the document says."""
    printed = _NOISE.sub("", printed)
    lines = [line for line in printed.splitlines() if line.strip()]
    sentence = _first_sentence(expectation)
    quoted = _QUOTED.findall(sentence)
    if sentence.startswith("nothing"):
        allowed = [piece.strip() for piece in _QUOTED.findall(expectation)]
        extra = [line for line in lines if not any(piece in line for piece in allowed)]
        return f"printed something: {extra[:3]}" if extra else ""
    if sentence.startswith("a number"):
        return "" if any(re.fullmatch(r"\s*\d+\s*", line) for line in lines) else "printed no number"
    if sentence.startswith("the same line twice"):
        return "" if len(lines) == 2 and lines[0].split() == lines[1].split() else f"not the same twice: {lines}"
    if number := re.match(r"(\d+) characters", sentence):
        return "" if len(printed.strip()) == int(number[1]) else f"{len(printed.strip())} characters"
    if not quoted:
        return "" if sentence.startswith(("a count", "lines")) and lines else "nothing that can be looked for"
    missing = [piece for piece in quoted if piece not in printed]
    if " or " in _QUOTED.sub("", sentence):
        return f"none of {quoted}" if len(missing) == len(quoted) else ""
    if "twice" in sentence:
        return "" if printed.count(quoted[0]) == 2 else f"not twice: {quoted[0]}"
    return f"missing: {missing}" if missing else ""


def _first_sentence(text: str) -> str:
    hidden = _QUOTED.sub(lambda found: "`" + "x" * len(found[1]) + "`", text)
    end = re.search(r"[.:;(](?:\s|$)|\s\(", hidden)
    return text[: end.start()] if end else text
