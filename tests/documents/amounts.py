"""Amounts in sentences: times, shares, sizes and counts, in digits or in words, as numbers that can be compared."""

import re
from dataclasses import dataclass

_WORDS: dict[str, float] = {"a": 1, "an": 1, "half": 0.5, "half an": 0.5, "the last": 1} | {
    word: number
    for number, word in enumerate(("two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"), 2)
}
_SECONDS: dict[str, float] = {
    "ms": 0.001,
    **dict.fromkeys(("s", "second"), 1),
    **dict.fromkeys(("m", "minute"), 60),
    **dict.fromkeys(("h", "hour"), 3600),
    **dict.fromkeys(("d", "day"), 86400),
}
_BYTES: dict[str, float] = {"KiB": 1024, "MiB": 1024**2, "GiB": 1024**3}
_COUNTED = rf"\d+(?:\.\d+)?|{'|'.join(sorted(_WORDS, key=len, reverse=True))}"
# Before `a minute` and its like, what makes it a time and no rate (`calls a minute`).
_AS_A_TIME = r"(?<=\bfor )|(?<=\bafter )|(?<=\bover )|(?<=\bwithin )|(?<=\babout )|(?<=\bas )|(?<=\bin )|^"
_KINDS = (
    (
        "seconds",
        re.compile(
            rf"(?<![\w.])(\d+(?:\.\d+)?) ?(ms|[smhd]|second|minute|hour|day)s?\b"
            rf"|\b(the last|two|three|four|five|six|seven|eight|nine|ten) (second|minute|hour|day)s?\b"
            rf"|(?:{_AS_A_TIME})(half an|an?) (second|minute|hour|day)\b"
        ),
    ),
    ("bytes", re.compile(r"(?<![\w.])(\d+(?:\.\d+)?) ?([KMG]iB)\b")),
    ("share", re.compile(r"(?<![\w.])(\d+(?:\.\d+)?) ?%|\b(half)\b(?! an? )")),
    ("factor", re.compile(r"\b(twice)\b")),
    ("count", re.compile(r"(?<![\w.:/#-])(\d+(?:\.\d+)?)(?![\w%/-]|\.\d| ?(?:%|[KMG]i?B|m?s\b))|\b(two|three|ten)\b")),
)


@dataclass(frozen=True)
class Amount:
    """What was counted, how much of it (seconds, bytes, a share of 1, ...), and where it stands."""

    kind: str
    value: float
    start: int


def amounts(text: str) -> list[Amount]:
    """The amounts in a text, each once, in their order."""
    found: list[Amount] = []
    for kind, pattern in _KINDS:
        for match in pattern.finditer(text):
            parts = [part for part in match.groups() if part]
            found.append(Amount(kind, _value(kind, parts), match.start()))
            # What has a unit is no bare number.
            text = text[: match.start()] + "_" * len(match[0]) + text[match.end() :]
    return sorted(found, key=lambda amount: amount.start)


def _value(kind: str, parts: list[str]) -> float:
    if kind == "factor":
        return 2.0
    number = float(_WORDS[parts[0]]) if parts[0] in _WORDS else float(parts[0])
    if kind == "share":
        return number if parts[0] == "half" else number / 100
    units: dict[str, float] = _SECONDS if kind == "seconds" else _BYTES if kind == "bytes" else {}
    return number * units.get(parts[-1], 1)
