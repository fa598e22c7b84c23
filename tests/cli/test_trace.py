"""`ai-agents trace`: a job's spans from files or from its events, drawn as a tree."""

import asyncio
import io
import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from rich.console import Console

from cli.pilot.postgres import Postgres
from cli.trace import FROM_EVENTS, find, lines_of, tree
from jobs.diagnosis.facts import DiagnosisSubject
from observability.tracing import FileExporter
from tests.jobs.diagnosis.known import NOW
from tests.kit.postgres import Store, claimed
from tests.system.by_hand import Answer, here

TRACE, OTHER_TRACE = "0af7651916cd43dd8448eb211c80319c", "ab" * 16
JOB, OTHER_JOB = "01936b2e-7c1a-7000-8000-0123456789ab", "01936b2e-7c1a-7000-8000-0123456789ac"
BEGAN = datetime(2026, 3, 1, 9, 30, tzinfo=UTC)


def span(
    name: str, number: int, parent: int, start: float, end: float, trace: str = TRACE, **more: Any
) -> dict[str, Any]:
    """Return a span in the form of `ReadableSpan.to_json`; times in seconds."""
    tags = {"ticket_id": "124", "tenant_id": "acme", "job_id": JOB} | more.get("tags", {})
    failed = {"status_code": "ERROR", "description": more.get("raised")}
    return {
        "name": name,
        "context": {"trace_id": f"0x{trace}", "span_id": f"0x{number:016x}", "trace_state": "[]"},
        "parent_id": f"0x{parent:016x}" if parent else None,
        "start_time": _written(start),
        "end_time": _written(end),
        "status": failed if "raised" in more else {"status_code": "UNSET"},
        "attributes": {name: value for name, value in tags.items() if value is not None},
        "events": [],
        "links": [{"context": {"trace_id": f"0x{more['link']}"}}] if "link" in more else [],
    }


def _written(seconds: float) -> str:
    return f"{BEGAN + timedelta(seconds=seconds):%Y-%m-%dT%H:%M:%S.%fZ}"


def line(process: str, *spans: Mapping[str, Any]) -> str:
    resource = {"attributes": {"service.name": process}, "schema_url": ""}
    return "".join("\n" + json.dumps({**one, "resource": resource}) for one in spans)


def kept(folder: Path, **lines: str) -> Path:
    for name, text in lines.items():
        (folder / f"ai-agents-{name}.traces.jsonl").write_text(text, encoding="utf-8")
    return folder


WEBHOOK = span("Webhook", 1, 0, 0, 0.006, link=OTHER_TRACE)
QUEUE = span("Queue", 2, 1, 0.004, 2)
FIRST = span("Worker", 3, 1, 2, 12, tags={"attempt": 1}, raised="GPT-4 timeout; will be retried in 2s")
CONTEXT = span("Context", 4, 3, 2, 3)
TIMED_OUT = span("GPT-4", 5, 3, 3, 12, raised="GPT-4 timeout")
SECOND = span("Worker", 6, 1, 14, 20, tags={"attempt": 2, "outcome": "completed"})
ANSWERED = span("GPT-4", 7, 6, 14, 19)
STORY = {"api": line("ai-agents-api", WEBHOOK), "worker": line("ai-agents-worker", QUEUE, CONTEXT, TIMED_OUT, FIRST)}
STORY["worker"] += line("ai-agents-worker", ANSWERED, SECOND)


OF_124 = DiagnosisSubject("124", None, None)
WHOLE = ["Webhook", "Queue", "Worker", "Context", "GPT-4", "Worker", "GPT-4"]


def found(place: Path, asked: DiagnosisSubject = OF_124) -> list[tuple[str, list[str]]]:
    traces = find(place, asked)
    return [(trace[0]["context"]["trace_id"].removeprefix("0x"), [one["name"] for one in trace]) for trace in traces]


def test_a_trace_is_found_over_the_files_of_all_processes_and_no_other(tmp_path: Path) -> None:
    place, job_id = kept(tmp_path, **STORY), UUID(JOB)
    for asked in (("124", None, None), ("124", "acme", None), (None, None, job_id), (None, "acme", job_id)):
        ((trace_id, names),) = found(place, DiagnosisSubject(*asked))
        assert (trace_id, sorted(names)) == (TRACE, sorted(WHOLE))
    for no in (("12", None, None), ("124", "globex", None), (None, None, UUID(OTHER_JOB)), (None, "globex", job_id)):
        assert found(place, DiagnosisSubject(*no)) == []
    assert found(place / "ai-agents-api.traces.jsonl") == [(TRACE, ["Webhook"])]
    with pytest.raises(FileNotFoundError):
        found(place / "ai-agents-signer.traces.jsonl")


def test_what_a_process_keeps_is_found(tmp_path: Path) -> None:
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(FileExporter(tmp_path, "ai-agents-worker")))
    with provider.get_tracer("tests").start_as_current_span("Worker", attributes={"ticket_id": "124", "attempt": 1}):
        provider.get_tracer("tests").start_span("Context").end()
    (trace,) = find(tmp_path, OF_124)
    assert [(one["depth"], one["name"]) for one in lines_of(trace)] == [(0, "Worker (attempt 1)"), (1, "Context")]


def test_spans_of_the_trace_that_lack_the_ticket_belong_to_it_and_the_newest_trace_comes_first(tmp_path: Path) -> None:
    tags = {"ticket_id": "123640000000240013", "display_id": "102"}
    bare: dict[str, Any] = {"tags": {"ticket_id": None, "job_id": None}}
    spans = [span("Worker", 1, 0, 0, 1, tags=tags), span("SELECT", 2, 1, 0.5, 1, **bare)]
    spans += [span("Sync", 3, 0, 0, 9, "ef" * 16, **bare), span("Webhook", 9, 0, 60, 61, OTHER_TRACE, tags=tags)]
    place = kept(tmp_path, worker=line("ai-agents-worker", *spans))
    # A cloud desk's ticket is found by either number.
    for number in ("102", "123640000000240013"):
        traces = [(OTHER_TRACE, ["Webhook"]), (TRACE, ["Worker", "SELECT"])]
        assert found(place, DiagnosisSubject(number, None, None)) == traces


@pytest.mark.parametrize(
    "odd",
    [
        *('"124"', '["124"]', '{"resourceSpans": []}', '{"name": "124", "context": 1}', "\x00\x1b[2J124", "124"),
        line("ai-agents-worker", span("Late", 8, 6, 19, 20))[:-30],
    ],
)
def test_a_line_that_is_no_span_is_skipped(odd: str, tmp_path: Path) -> None:
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
    for width in (80, 100, 200):
        lines = drawn(tmp_path, STORY, width).splitlines()
        assert (len(lines), max(map(len, lines)) <= width) == (11, True)
    (trace,) = find(tmp_path, OF_124)
    shown = printed(lines_of(trace), force_terminal=True, color_system="standard")
    # Failures are red.
    red = [one for one in shown.splitlines() if "\x1b[31m" in one]
    assert [" failed " in one for one in red] == [True, False, True, False]


def test_nothing_in_a_file_controls_the_terminal(tmp_path: Path) -> None:
    odd = span("\x1b[2JWorker\n", 1, 0, 0, 1, raised="\u202e\x07 [red]x", tags={"outcome": "a\nb"})
    shown = drawn(tmp_path, {"odd": line("\x1b]0;x\x07", odd)})
    assert "?[2JWorker?" in shown
    assert "[red]x" in shown
    assert all(character.isprintable() or character == "\n" for character in shown)
    assert len(shown.splitlines()) == 3


def test_spans_that_have_not_ended_say_so(tmp_path: Path) -> None:
    running = line("ai-agents-api", span("Webhook", 1, 0, 0, 1)) + line("w", span("Context", 4, 3, 2, 3))
    (trace,) = find(kept(tmp_path, all=running), OF_124)
    assert [(one["depth"], one["name"], one["notes"]) for one in lines_of(trace)] == [
        (0, "Webhook", []),
        (0, "Context", ["its parent has not ended or is not kept"]),
    ]
    # What took no time at all is seen, and what goes on is told.
    still = {"depth": 0, "name": "Webhook", "start": NOW, "end": NOW, "state": "ok", "notes": [], "process": ""}
    assert "|#\n" in printed([still])
    both = printed([still, still | {"depth": 1, "end": None}], until=NOW + timedelta(seconds=4))
    assert "+0.000s    4.000s  open" in both


pytestmark = pytest.mark.usefixtures("untouched_logging")


async def typed(server: Postgres, *words: str) -> Answer:
    """Return the command's output; it runs its own event loop."""
    return await asyncio.to_thread(here, "trace", *words, DATABASE_URL=server.url)


def test_kept_spans_are_drawn_without_a_database(tmp_path: Path) -> None:
    place = str(kept(tmp_path, **STORY))
    result = here("trace", "--ticket", "124", "--traces", place)
    lines = result.stdout.splitlines()
    assert (result.returncode, result.stderr) == (0, "")
    assert lines[0] == f"Trace {TRACE}: job {JOB}, ticket 124 of tenant acme"
    assert lines[1] == f"spans of {place}, kept when they end; from 2026-03-01 09:30:00 UTC, 20.0 s"
    assert lines[3].startswith("Webhook ")
    assert "    outcome=completed" in lines
    assert "│   exception.message=GPT-4 timeout; will be retried in 2s" in lines
    assert here("trace", "--job", JOB, TRACES_DIR=place).stdout == result.stdout
    document = json.loads(here("trace", "--job", JOB, "--traces", place, "--json").stdout)
    assert (document["job_id"], document["trace_id"], document["others"], len(document["spans"])) == (JOB, TRACE, [], 7)
    worker = document["spans"][2]
    assert (worker["depth"], worker["name"], worker["state"]) == (1, "Worker (attempt 1)", "failed")
    assert (worker["start"], worker["end"]) == ("2026-03-01T09:30:02.000Z", "2026-03-01T09:30:12.000Z")
    assert (worker["notes"][0][:18], worker["process"]) == ("exception.message=", "ai-agents-worker")


def test_of_a_tickets_jobs_the_newest_that_asked_a_model_is_drawn(tmp_path: Path) -> None:
    skipped = span("Worker", 9, 0, 60, 61, OTHER_TRACE, tags={"job_id": OTHER_JOB, "outcome": "already enhanced"})
    place = str(kept(tmp_path, **STORY, later=line("ai-agents-worker", skipped)))
    result = here("trace", "--ticket", "124", "--traces", place).stdout.splitlines()
    assert result[0].startswith(f"Trace {TRACE}")
    assert result[2] == f"other jobs of the ticket, see --job: {OTHER_JOB}"
    result = here("trace", "--job", OTHER_JOB, "--traces", place).stdout.splitlines()
    assert result[0].startswith(f"Trace {OTHER_TRACE}")
    # A webhook that came again, or was refused, hides no job.
    again = span("Webhook", 9, 0, 60, 61, OTHER_TRACE)
    refused = span("Webhook", 8, 0, 70, 71, "cd" * 16, tags={"job_id": None})
    kept(tmp_path, later=line("ai-agents-api", again, refused))
    for words in (["--ticket", "124"], ["--job", JOB]):
        assert here("trace", *words, "--traces", place).stdout.startswith(f"Trace {TRACE}: job {JOB}")


def test_whose_ticket_it_is_has_to_be_said_where_several_have_it(tmp_path: Path) -> None:
    theirs = span("Webhook", 1, 0, 0, 1, OTHER_TRACE, tags={"tenant_id": "globex", "job_id": OTHER_JOB})
    place = str(kept(tmp_path, **STORY, other=line("ai-agents-api", theirs)))
    result = here("trace", "--ticket", "124", "--traces", place)
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr == "Several tenants have this ticket. Give --tenant: acme, globex\n"
    result = here("trace", "--ticket", "124", "--tenant", "globex", "--traces", place)
    assert (result.returncode, "of tenant globex" in result.stdout) == (0, True)


@pytest.mark.parametrize(
    ("words", "settings", "told"),
    [
        ([], {}, ""),
        ([], {"TRACES_DIR": "/nobody/has/made/it/yet"}, "can't be read (No such file or directory): reading the"),
        ([], {"TRACES_DIR": "/" + "far" * 90}, "can't be read (File name too long): reading the database"),
        (["--traces", "/nowhere"], {}, "/nowhere can't be read (No such file or directory): reading the database"),
        (["--traces", "/dev/null"], {}, "/dev/null has no span of it: reading the database"),
    ],
)
def test_without_spans_and_database_it_says_so(words: list[str], settings: dict[str, str], told: str) -> None:
    done = here("trace", "--ticket", "124", *words, **settings)
    assert (done.returncode, done.stdout, "DATABASE_URL is missing" in done.stderr) == (78, "", True)
    assert told in done.stderr


async def test_without_spans_a_jobs_events_are_drawn(store: Store, server: Postgres) -> None:
    job_id = await store.accept(ticket_id="124")
    await claimed(store.database, job_id)
    for words in (["--ticket", "124"], ["--ticket", "124", "--tenant", "acme"], ["--job", str(job_id)]):
        result = await typed(server, *words)
        lines = result.stdout.splitlines()
        assert (result.returncode, result.stderr) == (0, "")
        assert lines[0].startswith("Trace 0af7651916cd43dd8448eb211c80319c: job ")
        assert lines[1].startswith(f"{FROM_EVENTS}; from ")
        assert [one.lstrip("│├└─ ").split()[0] for one in lines[3:]] == ["Webhook", "Queue", "Worker", "Context"]
        assert "  open  " in lines[-1]
    document = json.loads((await typed(server, "--job", str(job_id), "--json")).stdout)
    assert (document["source"], document["spans"][2]["end"]) == (FROM_EVENTS, None)
    for words in (["--ticket", "125"], ["--ticket", "124", "--tenant", "globex"], ["--job", OTHER_JOB]):
        unknown = await typed(server, *words)
        assert (unknown.returncode, unknown.stdout) == (1, "")
        assert unknown.stderr == "No job found, or it was purged by age.\n"


async def test_of_several_jobs_in_the_database_the_one_that_says_most_is_drawn(store: Store, server: Postgres) -> None:
    done = await store.accept(ticket_id="124", state="completed", finished_at="now()")
    later = await store.accept(ticket_id="124", state="skipped", reason="already enhanced", finished_at="now()")
    await store.accept(ticket_id="124", tenant_id="globex")
    several = await typed(server, "--ticket", "124")
    assert (several.returncode, several.stdout) == (2, "")
    assert several.stderr == "Several tenants have this ticket. Give --tenant: acme, globex\n"
    document = json.loads((await typed(server, "--ticket", "124", "--tenant", "acme", "--json")).stdout)
    assert (document["job_id"], document["others"]) == (str(done), [str(later)])
