"""Passages of a text: at most a number of characters, with the text's own lines."""

import pytest

from knowledge.passages import passages_of

STEPS = "1. Open a prompt\n2. netsh winsock reset\n3. Restart"
COMMANDS = "sudo rm -rf /var/cache/cups/job.cache /var/spool/cups/tmp/session-old\ncd /srv/print/data"
PROSE = "The client keeps its old address until the lease has ended, and\nthen asks the server for a new one."


@pytest.mark.parametrize(
    ("text", "most", "passages"),
    [
        ("", 9, []),
        (STEPS, 99, [STEPS]),
        ("one  two\n\n three", 99, ["one two\nthree"]),
        (STEPS, 20, ["1. Open a prompt\n2.", "netsh winsock reset", "3. Restart"]),
        ("x" * 25, 10, ["x" * 10, "x" * 10, "x" * 5]),
        # A sentence that a file wraps is one line.
        (PROSE, 200, [PROSE.replace("\n", " ")]),
        (COMMANDS, 200, [COMMANDS]),
    ],
)
def test_a_text_is_split_between_words_and_keeps_its_lines(text: str, most: int, passages: list[str]) -> None:
    assert list(passages_of(text, most)) == passages
