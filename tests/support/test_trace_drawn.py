"""A trace as a tree in the terminal: what is below what, when, for how long, and how it ended."""

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

from storage.by_hand import Happened
from support.diagnose.choosing import AskedAbout
from support.timeline import timeline
from support.trace.drawing import IN_COLOUR, PLAIN, DrawnSpan, draw
from support.trace.reading import KeptTrace, find
from support.trace.trees import ORPHAN, of_timeline, of_trace
from tests.support.known import NOW, ago, job
from tests.support.spans import STORY, kept, line, span

STORY_DRAWN = """\
SPAN                      START     TIME  STATUS  |--------------------------------------|  PROCESS
Webhook                 +0.000s   0.006s  ok      |#                                     |  ai-agents-api
   link to trace abababababababababababababababab
|- Queue                +0.004s   1.996s  ok      |####                                  |  ai-agents-worker
|- Worker (attempt 1)   +2.000s  10.000s  failed  |   !!!!!!!!!!!!!!!!!!!!               |  ai-agents-worker
      exception.message=GPT-4 timeout; will be retried in 2s
|  |- Context           +2.000s   1.000s  ok      |   ###                                |  ai-agents-worker
|  `- GPT-4             +3.000s   9.000s  failed  |     !!!!!!!!!!!!!!!!!!               |  ai-agents-worker
         exception.message=GPT-4 timeout
`- Worker (attempt 2)  +14.000s   6.000s  ok      |                          ############|  ai-agents-worker
      outcome=completed
   `- GPT-4            +14.000s   5.000s  ok      |                          ##########  |  ai-agents-worker"""


def the_trace(folder: Path, **lines: str) -> KeptTrace:
    """The one that these files have of ticket 124."""
    (trace,) = find(kept(folder, **lines), AskedAbout("124", None, None))
    return trace


def drawn(spans: list[DrawnSpan], width: int | None = 108) -> str:
    return draw(spans, max(one.end for one in spans if one.end), width, PLAIN)


def test_a_trace_is_a_tree_with_times_and_bars_to_scale(tmp_path: Path) -> None:
    assert drawn(of_trace(the_trace(tmp_path, **STORY))) == STORY_DRAWN


def test_lines_fit_the_terminal_and_the_process_goes_before_the_bars(tmp_path: Path) -> None:
    spans = of_trace(the_trace(tmp_path, **STORY))
    for width in (80, 100, 200):
        lines = drawn(spans, width).splitlines()
        assert max(map(len, lines)) <= width
        assert ("PROCESS" in lines[0]) == (width > 80)
    assert max(map(len, drawn(spans, 20).splitlines())) < 80


def test_what_failed_is_red_where_there_are_colours(tmp_path: Path) -> None:
    spans = of_trace(the_trace(tmp_path, **STORY))
    lines = draw(spans, max(one.end for one in spans if one.end), 120, IN_COLOUR).splitlines()
    red = [one for one in lines if one.startswith("\x1b[31m")]
    assert [one.count("failed") for one in red] == [1, 1]
    assert all(one.endswith("\x1b[0m") for one in red)
    assert "├─ Queue" in "\n".join(lines)


def test_nothing_in_a_file_controls_the_terminal(tmp_path: Path) -> None:
    odd = span("\x1b[2JWorker\n", 1, 0, 0, 1, raised="\u202e\x07 x", tags={"outcome": "a\nb"})
    shown = drawn(of_trace(the_trace(tmp_path, odd=line("\x1b]0;x\x07", odd))))
    assert "?[2JWorker?" in shown
    assert all(character.isprintable() or character == "\n" for character in shown)
    assert len(shown.splitlines()) == 4


def test_a_span_whose_parent_has_not_ended_stands_at_the_left_and_says_so(tmp_path: Path) -> None:
    running = {
        "api": line("ai-agents-api", span("Webhook", 1, 0, 0, 1)),
        "worker": line("w", span("Context", 4, 3, 2, 3)),
    }
    spans = of_trace(the_trace(tmp_path, **running))
    assert [(one.depth, one.name, list(one.notes)) for one in spans] == [(0, "Webhook", []), (0, "Context", [ORPHAN])]


def test_a_circle_of_parents_is_drawn_once(tmp_path: Path) -> None:
    """It comes from no process of ours."""
    circle = [span("A", 1, 2, 0, 1), span("B", 2, 1, 0, 1), span("C", 3, 3, 0, 1)]
    assert [one.name for one in of_trace(the_trace(tmp_path, odd=line("x", *circle)))] == ["C", "A", "B"]


def test_a_deep_chain_is_drawn_within_its_lines(tmp_path: Path) -> None:
    chain = [span(f"S{number}", number, number - 1, 0, 1) for number in range(1, 400)]
    lines = drawn(of_trace(the_trace(tmp_path, odd=line("x", *chain)))).splitlines()
    assert (len(lines), max(map(len, lines)) <= 108) == (400, True)


def test_a_jobs_events_are_drawn_the_same_way() -> None:
    events = [
        *(Happened(ago(60), 0, "accepted", None), Happened(ago(50), 1, "claimed", None)),
        *(Happened(ago(45), 1, "held back", "desk unavailable"), Happened(ago(30), 1, "claimed", None)),
    ]
    running = job("running", accepted_at=ago(60), due_at=ago(31))
    told = timeline(running, events, NOW)
    assert (
        draw(of_timeline(told), told.end, 80, PLAIN)
        == """\
SPAN                        START     TIME  STATUS   |-------------------------|
Webhook                   +0.000s   0.000s  ok       |#                        |
|- Queue                  +0.000s  10.000s  ok       |####                     |
|- Worker (attempt 1)    +10.000s   5.000s  held     |    ~~                   |
      outcome=held back: desk unavailable
|  `- Context and GPT-4  +10.000s   5.000s  held     |    ~~                   |
         held back: desk unavailable
|- Pause                 +15.000s  14.000s  ok       |      ######             |
|- Queue                 +29.000s   1.000s  ok       |            #            |
`- Worker (attempt 1)    +30.000s  30.000s  goes on  |            ############>|
   `- Context and GPT-4  +30.000s  30.000s  goes on  |            ############>|"""
    )


def test_what_took_no_time_at_all_is_seen() -> None:
    """And a job of hours has its times in hours."""
    only = DrawnSpan(0, "Webhook", NOW, NOW, "ok")
    assert "|#" in draw([only], NOW, None, PLAIN)
    long = [replace(only, end=NOW + timedelta(hours=5)), replace(only, depth=1, start=NOW + timedelta(hours=4))]
    assert "+4h00m" in drawn(long)
