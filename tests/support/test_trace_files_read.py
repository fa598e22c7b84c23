"""Finding a job's spans in files, whatever else is in them."""

import os
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from support.diagnose.choosing import AskedAbout
from support.trace.reading import find
from tests.support.spans import JOB, OTHER_JOB, OTHER_TRACE, STORY, TRACE, kept, line, span

OF_124 = AskedAbout("124", None, None)


def found(place: Path, asked: AskedAbout = OF_124) -> list[tuple[str, list[str]]]:
    """Each trace by its id, with the names of its spans."""
    return [(trace.trace_id, [one.name for one in trace.spans]) for trace in find(place, asked)]


WHOLE = (TRACE, ["Webhook", "Queue", "Worker", "Context", "GPT-4", "Worker", "GPT-4"])


@pytest.mark.parametrize(
    "asked",
    [OF_124, AskedAbout("124", "acme", None), AskedAbout(None, None, UUID(JOB)), AskedAbout(None, "acme", UUID(JOB))],
)
def test_a_trace_is_found_over_the_files_of_all_processes(asked: AskedAbout, tmp_path: Path) -> None:
    assert found(kept(tmp_path, **STORY), asked) == [WHOLE]


@pytest.mark.parametrize(
    "asked",
    [
        *(AskedAbout("12", None, None), AskedAbout("124", "globex", None)),
        *(AskedAbout(None, None, UUID(OTHER_JOB)), AskedAbout(None, "globex", UUID(JOB))),
    ],
)
def test_what_is_not_asked_about_is_not_found(asked: AskedAbout, tmp_path: Path) -> None:
    assert found(kept(tmp_path, **STORY), asked) == []


def test_one_file_is_read_as_a_folder_is(tmp_path: Path) -> None:
    folder = kept(tmp_path, **STORY)
    assert found(folder / "ai-agents-api.traces.jsonl") == [(TRACE, ["Webhook"])]
    with pytest.raises(FileNotFoundError):
        found(folder / "ai-agents-housekeeping.traces.jsonl")


def test_a_cloud_desks_ticket_is_found_by_either_number(tmp_path: Path) -> None:
    one = line(
        "ai-agents-worker", span("Worker", 1, 0, 0, 1, tags={"ticket_id": "123640000000240013", "display_id": "102"})
    )
    place = kept(tmp_path, worker=one)
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


ODD = [
    *(
        '"124"',
        '{"resourceSpans": "124"}',
        '["124"]',
        '{"resourceSpans": [{"scopeSpans": [{"spans": [{"name": "124"}]}]}]}',
    ),
    *('{"124": ' + "[" * 20_000, "\x00\x1b[2J124", line("x", span("Far", 1, 0, 1e200, 2e200)).strip()),
    line(
        "x", {"traceId": 1, "spanId": 2, "name": "124", "startTimeUnixNano": "soon", "endTimeUnixNano": "124"}
    ).strip(),
    line("x", {**span("Odd", 1, 0, 0, 1), "attributes": [{"key": "124"}]}).strip(),
]


@pytest.mark.parametrize("odd", ODD)
def test_a_line_that_is_no_spans_is_passed_over(odd: str, tmp_path: Path) -> None:
    lines = STORY["api"].encode() + odd.encode() + b"\n\xff\xfe124\n"
    (kept(tmp_path, **STORY) / "ai-agents-api.traces.jsonl").write_bytes(lines)
    assert found(tmp_path) == [WHOLE]


def test_a_line_that_a_killed_process_has_cut_is_passed_over(tmp_path: Path) -> None:
    cut = STORY["worker"] + line("ai-agents-worker", span("Late", 8, 6, 19, 20))[:-30]
    assert found(kept(tmp_path, api=STORY["api"], worker=cut)) == [WHOLE]


def test_what_is_no_file_in_the_folder_is_passed_over(tmp_path: Path) -> None:
    """A pipe that nobody writes into would be waited for."""
    (tmp_path / "folder.jsonl").mkdir()
    os.mkfifo(tmp_path / "pipe.jsonl")
    (tmp_path / "gone.jsonl").symlink_to(tmp_path / "nowhere")
    assert found(kept(tmp_path, **STORY)) == [WHOLE]


@pytest.mark.skipif(not Path("/proc/self/mem").exists(), reason="needs a file that can't be read, whoever asks")
def test_a_file_that_cant_be_read_matters_only_where_the_others_have_nothing(tmp_path: Path) -> None:
    (tmp_path / "theirs.jsonl").symlink_to("/proc/self/mem")
    assert found(kept(tmp_path, **STORY)) == [WHOLE]
    with pytest.raises(OSError, match="Input/output"):
        found(tmp_path, AskedAbout("999", None, None))


def test_a_span_that_is_there_twice_is_one(tmp_path: Path) -> None:
    """In a file of ours and in a collector's, or in a copy."""
    kept(tmp_path, **STORY)
    (tmp_path / "collector.jsonl").write_text(STORY["api"] + STORY["worker"])
    assert found(tmp_path) == [WHOLE]
