"""Exit statuses in documents: each is one that a process of ours ends with, and means what it means in the code."""

import re
import signal
from functools import cache

from observability import start
from observability import watchdog as liveness
from support import arguments, asking, cli
from support import show_job as show
from tests.documents.documents import Document

_KILLED, _STOPPED = 128 + signal.SIGKILL, 128 + signal.SIGTERM
_TOLD = re.compile(
    r"\bexit (?:status|code):? (\d+)(.*)|^- Exit status (\d+)(.*)|`(?:Error|OOMKilled)`, (\d+)(.*)", re.IGNORECASE
)
# Further statuses of a list that has begun: `75: a server is away`, `, 70 a mistake of ours`.
_IN_A_LIST = re.compile(r"(?:[,.] |^)(\d+)(?: |: )([^.,|]*)")


@cache
def known() -> dict[int, re.Pattern[str]]:
    """Each status, with words that only its meaning has."""
    assert cli._CONFIGURATION_EXIT == asking._CONFIGURATION_EXIT == start.CONFIGURATION_EXIT
    assert liveness.STUCK_EXIT == asking._UNREACHABLE_EXIT == cli._UNREACHABLE_EXIT
    words = {
        0: r"\bdone\b",
        show._NOT_FOUND_EXIT: r"no such job|fault of ours|exception",
        2: r"not understood",
        asking._UNFORESEEN_EXIT: r"mistake of ours",
        liveness.STUCK_EXIT: r"\baway\b|watchdog|stood still|stuck",
        cli._CONFIGURATION_EXIT: r"settings?\b|has to be mended",
        asking._INTERRUPTED_EXIT: r"interrupted",
        _KILLED: r"memory",
        _STOPPED: r"SIGTERM",
    }
    return {int(status): re.compile(meaning) for status, meaning in words.items()}


def of_the_help() -> dict[int, str]:
    """What `ai-agents jobs --help` says of each."""
    return {int(status): words for status, words in re.findall(r"^  (\d+) +(.+)$", arguments._EXIT_CODES, re.MULTILINE)}


def wrong_exits(document: Document) -> list[str]:
    """`line: status` of each that nothing ends with, or that means something else."""
    return [
        f"{number}: {status}"
        for number, line in enumerate(document.prose.splitlines(), 1)
        for status, words in _told(line)
        if not _means(status, words)
    ]


def _told(line: str) -> list[tuple[int, str]]:
    found = _TOLD.search(line)
    if not found:
        return []
    status, words = [part for part in found.groups() if part is not None]
    rest = re.sub(r"`[^`]*`", "``", words)
    others = [(int(other), meaning) for other, meaning in _IN_A_LIST.findall(rest)]
    return [(int(status), _own(words) if others else line), *others]


def _own(words: str) -> str:
    """What is said of the first status of a list."""
    return _IN_A_LIST.split(words)[0]


def _means(status: int, words: str) -> bool:
    others = [meaning for other, meaning in known().items() if other != status and meaning.search(words)]
    return status in known() and (known()[status].search(words) is not None or not others)
