"""A job's spans, read from files with other content, and drawn as a tree."""

import io
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from rich.console import Console

from observability.trace_files import FileExporter
from support.diagnose.gathering import AskedAbout
from support.trace import find, lines_of, tree
from tests.support.known import NOW
from tests.support.spans import JOB, OTHER_JOB, OTHER_TRACE, STORY, TRACE, kept, line, span

OF_124 = AskedAbout("124", None, None)
WHOLE = (TRACE, ["Webhook", "Queue", "Worker", "Context", "GPT-4", "Worker", "GPT-4"])


def found(place: Path, asked: AskedAbout = OF_124) -> list[tuple[str, list[str]]]:
    """Return the span names of each trace by its id."""
    traces = find(place, asked)
    return [(trace[0]["context"]["trace_id"].removeprefix("0x"), [one["name"] for one in trace]) for trace in traces]


@pytest.mark.parametrize(
    "asked",
    [OF_124, AskedAbout("124", "acme", None), AskedAbout(None, None, UUID(JOB)), AskedAbout(None, "acme", UUID(JOB))],
)
def test_a_trace_is_found_over_the_files_of_all_processes(asked: AskedAbout, tmp_path: Path) -> None:
    ((trace_id, names),) = found(kept(tmp_path, **STORY), asked)
    assert (trace_id, sorted(names)) == (TRACE, sorted(WHOLE[1]))


@pytest.mark.parametrize(
    "asked",
    [
        *(AskedAbout("12", None, None), AskedAbout("124", "globex", None)),
        *(AskedAbout(None, None, UUID(OTHER_JOB)), AskedAbout(None, "globex", UUID(JOB))),
    ],
)
def test_what_is_not_asked_about_is_not_found(asked: AskedAbout, tmp_path: Path) -> None:
    assert found(kept(tmp_path, **STORY), asked) == []


def test_what_a_process_keeps_is_found(tmp_path: Path) -> None:
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(FileExporter(tmp_path, "ai-agents-worker")))
    with provider.get_tracer("tests").start_as_current_span("Worker", attributes={"ticket_id": "124", "attempt": 1}):
        provider.get_tracer("tests").start_span("Context").end()
    (trace,) = find(tmp_path, OF_124)
    assert [(one["depth"], one["name"]) for one in lines_of(trace)] == [(0, "Worker (attempt 1)"), (1, "Context")]


def test_one_file_is_read_as_a_folder_is(tmp_path: Path) -> None:
    folder = kept(tmp_path, **STORY)
    assert found(folder / "ai-agents-api.traces.jsonl") == [(TRACE, ["Webhook"])]
    with pytest.raises(FileNotFoundError):
        found(folder / "ai-agents-signer.traces.jsonl")


def test_a_cloud_desks_ticket_is_found_by_either_number(tmp_path: Path) -> None:
    tags = {"ticket_id": "123640000000240013", "display_id": "102"}
    place = kept(tmp_path, worker=line("ai-agents-worker", span("Worker", 1, 0, 0, 1, tags=tags)))
    for number in ("102", "123640000000240013"):
        assert found(place, AskedAbout(number, None, None)) == [(TRACE, ["Worker"])]


def test_spans_of_the_trace_that_lack_the_ticket_belong_to_it(tmp_path: Path) -> None:
    bare: dict[str, Any] = {"tags": {"ticket_id": None, "job_id": None}}
    spans = (
        span("Webhook", 1, 0, 0, 1),
        span("SELECT", 2, 1, 0.5, 1, **bare),
        span("Sync", 3, 0, 0, 9, OTHER_TRACE, **bare),
    )
    assert found(kept(tmp_path, api=line("ai-agents-api", *spans))) == [(TRACE, ["Webhook", "SELECT"])]


def test_the_newest_trace_comes_first(tmp_path: Path) -> None:
    later = span("Webhook", 9, 0, 60, 61, OTHER_TRACE, tags={"job_id": OTHER_JOB})
    assert found(kept(tmp_path, **STORY, later=line("ai-agents-api", later)))[0] == (OTHER_TRACE, ["Webhook"])


@pytest.mark.parametrize(
    "odd",
    [
        *('"124"', '["124"]', '{"resourceSpans": []}', '{"name": "124", "context": 1}', "\x00\x1b[2J124", "124"),
        line("ai-agents-worker", span("Late", 8, 6, 19, 20))[:-30],
    ],
)
def test_a_line_that_is_no_span_is_passed_over(odd: str, tmp_path: Path) -> None:
    """Causes: a killed process, an earlier release, a copied file."""
    lines = STORY["api"].encode() + b"\n" + odd.encode() + b"\n\xff\xfe124\n" + STORY["api"].encode()
    (kept(tmp_path, **STORY) / "ai-agents-api.traces.jsonl").write_bytes(lines)
    assert [len(names) for _, names in found(tmp_path)] == [7]


STORY_DRAWN = """\
Webhook                   +0.000s    0.006s  ok      api    |#
link to trace abababababababababababababababab
|-- Queue                 +0.004s    1.996s  ok      worker |####
|-- Worker (attempt 1)    +2.000s   10.000s  failed  worker |    ######################
|   exception.message=GPT-4 timeout; will be retried in 2s
|   |-- Context           +2.000s    1.000s  ok      worker |    ##
|   `-- GPT-4             +3.000s    9.000s  failed  worker |      ####################
|       exception.message=GPT-4 timeout
`-- Worker (attempt 2)   +14.000s    6.000s  ok      worker |                              #############
    outcome=completed
    `-- GPT-4            +14.000s    5.000s  ok      worker |                              ###########
"""


def drawn(folder: Path, lines: dict[str, str], width: int = 105) -> str:
    """Return the drawn tree of ticket 124 without Unicode."""
    (trace,) = find(kept(folder, **lines), OF_124)
    return printed(lines_of(trace), width)


def printed(lines: list[dict[str, Any]], width: int = 105, until: datetime | None = None, **how: Any) -> str:
    file = io.StringIO()
    Console(file=file, width=width, **how).print(tree(lines, until or max(one["end"] for one in lines), width))
    text = file.getvalue()
    for guide, plain in (("├──", "|--"), ("└──", "`--"), ("│", "|")):
        text = text.replace(guide, plain)
    return "".join(one.rstrip() + "\n" for one in text.splitlines())


def test_a_trace_is_a_tree_with_times_and_bars_to_scale(tmp_path: Path) -> None:
    assert drawn(tmp_path, STORY) == STORY_DRAWN


@pytest.mark.parametrize("width", [80, 100, 200])
def test_lines_fit_the_terminal(width: int, tmp_path: Path) -> None:
    lines = drawn(tmp_path, STORY, width).splitlines()
    assert (len(lines), max(map(len, lines)) <= width) == (11, True)


def test_what_failed_is_red(tmp_path: Path) -> None:
    (trace,) = find(kept(tmp_path, **STORY), OF_124)
    shown = printed(lines_of(trace), force_terminal=True, color_system="standard")
    red = [one for one in shown.splitlines() if "\x1b[31m" in one]
    assert [" failed " in one for one in red] == [True, False, True, False]


def test_nothing_in_a_file_controls_the_terminal(tmp_path: Path) -> None:
    odd = span("\x1b[2JWorker\n", 1, 0, 0, 1, raised="\u202e\x07 [red]x", tags={"outcome": "a\nb"})
    shown = drawn(tmp_path, {"odd": line("\x1b]0;x\x07", odd)})
    assert "?[2JWorker?" in shown
    assert "[red]x" in shown
    assert all(character.isprintable() or character == "\n" for character in shown)
    assert len(shown.splitlines()) == 3


def test_a_span_whose_parent_has_not_ended_stands_at_the_left_and_says_so(tmp_path: Path) -> None:
    running = line("ai-agents-api", span("Webhook", 1, 0, 0, 1)) + line("w", span("Context", 4, 3, 2, 3))
    (trace,) = find(kept(tmp_path, all=running), OF_124)
    assert [(one["depth"], one["name"], one["notes"]) for one in lines_of(trace)] == [
        (0, "Webhook", []),
        (0, "Context", ["its parent has not ended, or is not kept"]),
    ]


def test_what_took_no_time_at_all_is_seen_and_what_goes_on_is_told() -> None:
    line = {"depth": 0, "name": "Webhook", "start": NOW, "end": NOW, "state": "ok", "notes": [], "process": ""}
    assert "|#\n" in printed([line])
    both = printed([line, line | {"depth": 1, "end": None}], until=NOW + timedelta(seconds=4))
    assert "+0.000s    4.000s  goes on" in both
