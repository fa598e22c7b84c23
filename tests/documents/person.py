"""The person who follows a document: types its commands, searches its traces, and remembers what was seen."""

from dataclasses import dataclass

from tests.documents.procedure import Arrival, Procedure, Unfollowable
from tests.kit.kubectl.shell import Shell
from tests.system.collector import Collector

# What the words of a mistake in a command are, rather than of a system in trouble.
MISTAKES = (
    "unknown flag",
    "unknown shorthand",
    "unknown command",
    "NotFound",
    "invalid argument",
    "command not found",
    "Traceback",
)


@dataclass(frozen=True)
class Record:
    """What a person saw on the way to a cause: enough to go it once more, by another document."""

    values: dict[str, str]
    seen: dict[str, list[str]]
    arrival: Arrival

    def do(self, _language: str, text: str) -> list[str]:
        """What was seen then. Raises Unfollowable for what was not done."""
        if text not in self.seen:
            raise Unfollowable(f"nobody did that: {text}")
        return self.seen[text]


class FaqReader:
    """Does what a step says: types a command, or searches for a trace by a service and tags."""

    def __init__(self, shell: Shell, collector: Collector) -> None:
        self._shell = shell
        self._collector = collector

    def do(self, language: str, text: str) -> list[str]:
        """What is seen then."""
        if language != "bash":
            return self._search(dict(word.split("=", 1) for word in text.split()))
        done = self._shell.run(text)
        seen = [*done.lines, *done.complaints.splitlines()]
        mistakes = [line for line in seen if any(word in line for word in MISTAKES)]
        if mistakes:
            raise Unfollowable(f"{text}: {mistakes}")
        return seen

    def record(self, document: Procedure, start: str, values: dict[str, str]) -> Record:
        """Follow a document, and keep what was seen."""
        seen: dict[str, list[str]] = {}

        def do(language: str, text: str) -> list[str]:
            seen[text] = self.do(language, text)
            return seen[text]

        return Record(values, seen, document.follow(start, values, do))

    def _search(self, tags: dict[str, str]) -> list[str]:
        """The spans of the traces that service and tags find: name, tags, and what a red one says."""
        return [
            " ".join(
                [
                    span.name,
                    *(f"{name}={value}" for name, value in span.tags.items()),
                    *(f"{name}={value}" for name, value in span.events.get("exception", {}).items()),
                ]
            )
            for span in self._collector.traces(**tags)
        ]
