"""Passages of a solution for the search."""

from integrations.servicedesk.parsing import Solution

_PASSAGE_CHARACTERS = 1500
_MOST_PASSAGES = 20


def passages_of(solution: Solution) -> list[str]:
    """Return the text in parts of about 1500 characters, cut between words."""
    parts: list[str] = []
    current = ""
    for word in solution.text.split():
        if len(current) + len(word) > _PASSAGE_CHARACTERS:
            parts.append(current)
            current = ""
        current = f"{current} {word}".strip()
    if current:
        parts.append(current)
    return parts[:_MOST_PASSAGES]
