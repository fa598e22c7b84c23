"""`ai-agents trace`: a job's spans as a tree, from files or from its events."""

import argparse
import json
import sys
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.text import Text
from rich.tree import Tree

from cli.database import load_or_exit, run_with_settings
from cli.terminal import as_json
from config.exit_codes import NOT_DONE_EXIT, NOT_UNDERSTOOD_EXIT
from config.settings import TraceFileSettings, TraceSettings
from db.session import Database
from jobs import details
from jobs.details import Details, Listed, trace_id
from jobs.diagnosis.facts import DiagnosisSubject, choose
from jobs.diagnosis.timeline import timeline
from observability.formats import clean, when
from observability.tracing import GPT4, WORKER

FROM_EVENTS = "from the job's events: no spans are kept here"
# A span as the SDK's `to_json` writes it, or a line of the tree in `--json` (no end: still open).
Span = dict[str, Any]


def run(chosen: argparse.Namespace) -> int:
    subject, reason = DiagnosisSubject(chosen.ticket, chosen.tenant, chosen.job), "has no span of it"
    if path := chosen.traces or load_or_exit(TraceFileSettings).traces_dir:
        try:
            traces = find(path, subject)
        except OSError as failure:
            traces, reason = [], f"can't be read ({failure.strerror})"
        if traces:
            return _print_files(traces, f"spans of {path}, kept when they end", is_json=chosen.json)
        print(f"{clean(str(path))} {reason}: reading the database instead.", file=sys.stderr)
    return run_with_settings(TraceSettings, lambda database, _: _print_events(database, subject, is_json=chosen.json))


def find(place: Path, subject: DiagnosisSubject) -> list[list[Span]]:
    """Return the traces of a ticket or job in a file or folder, newest first."""
    spans: dict[str, dict[str, Span]] = {}
    for path in sorted(place.glob("*.jsonl")) if place.is_dir() else [place]:
        for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
            with suppress(ValueError, TypeError, KeyError):  # a killed process leaves half of a line
                span = json.loads(line)
                spans.setdefault(span["context"]["trace_id"], {})[span["context"]["span_id"]] = span
    traces = [sorted(trace.values(), key=lambda span: str(span["start_time"])) for trace in spans.values()]
    id_names = ["job_id"] if subject.job_id else ["ticket_id", "desk_id", "display_id"]
    for value, names in (str(subject.job_id or subject.ticket_id), id_names), (subject.tenant_id, ["tenant_id"]):
        traces = [trace for trace in traces if value is None or value in _tags(trace, *names)]
    return sorted(traces, key=lambda trace: str(trace[0]["start_time"]), reverse=True)


def _tags(trace: list[Span], *names: str) -> list[str]:
    return [str(span["attributes"][name]) for span in trace for name in names if name in span["attributes"]]


def _print_files(traces: list[list[Span]], source: str, *, is_json: bool) -> int:
    # The newest complete trace, because a repeated or refused webhook has a trace of one span.
    best = max(traces, key=lambda trace: (any(span["name"] == GPT4 for span in trace), len(trace) > 1))
    about: dict[str, Any] = {name: next(iter(_tags(best, name)), None) for name in ("job_id", "tenant_id", "ticket_id")}
    about |= {"trace_id": best[0]["context"]["trace_id"].removeprefix("0x"), "source": source}
    about["others"] = sorted({job for trace in traces for job in _tags(trace, "job_id")[:1]} - {about["job_id"]})
    lines = lines_of(best)
    owners = {owner for trace in traces for owner in _tags(trace, "tenant_id")[:1]}
    return _print_trace(owners, about, lines, max(line["end"] for line in lines), is_json=is_json)


def lines_of(trace: list[Span], parent: str | None = None, depth: int = 0) -> list[Span]:
    """Return each span below its parent; one without its parent is at the left."""
    span_ids, lines = {span["context"]["span_id"] for span in trace}, []
    for span in trace:
        if (span["parent_id"] if span["parent_id"] in span_ids else None) != parent:
            continue
        tags, failed = span["attributes"], span["status"]["status_code"] == "ERROR"
        notes = ["its parent has not ended or is not kept"] if span["parent_id"] and depth == 0 else []
        notes += [f"exception.message={span['status'].get('description', '')}"] if failed else []
        notes += [f"outcome={tags['outcome']}"] if "outcome" in tags else []
        notes += [f"link to trace {link['context']['trace_id'].removeprefix('0x')}" for link in span["links"]]
        name = f"{span['name']} (attempt {tags['attempt']})" if "attempt" in tags else span["name"]
        start, end = (datetime.fromisoformat(span[key]) for key in ("start_time", "end_time"))
        line = {"depth": depth, "name": name, "start": start, "end": end, "state": "failed" if failed else "ok"}
        lines.append(line | {"notes": notes, "process": span["resource"]["attributes"].get("service.name", "")})
        lines += lines_of(trace, span["context"]["span_id"], depth + 1)
    return lines


async def _print_events(database: Database, subject: DiagnosisSubject, *, is_json: bool) -> int:
    job, jobs = await _find_job(database, subject)
    if job is None:
        print("No job found, or it was purged by age.", file=sys.stderr)
        return NOT_DONE_EXIT
    history = timeline(job, await details.events(database, job), job.read_at)
    lines = []
    for index, span in enumerate(history.spans):
        prefix = "exception.message=" if span.state == "failed" else "outcome=" if span.name == WORKER else ""
        name = f"{span.name} (attempt {span.attempt})" if span.name == WORKER else span.name
        # All is below the first span, as in a trace.
        line = {"depth": span.level + (index > 0), "name": name, "start": span.start, "end": span.end}
        lines.append(line | {"state": span.state, "notes": [prefix + span.words] if span.words else [], "process": ""})
    about = {"job_id": str(job.id), "tenant_id": job.tenant_id, "ticket_id": job.ticket_id, "trace_id": trace_id(job)}
    heading = {**about, "source": FROM_EVENTS, "others": [str(other.id) for other in jobs if other.id != job.id]}
    return _print_trace({listed.tenant_id for listed in jobs}, heading, lines, history.end, is_json=is_json)


async def _find_job(database: Database, subject: DiagnosisSubject) -> tuple[Details | None, list[Listed]]:
    """Return the most informative job, and all jobs of a requested ticket.

    Without `subject.tenant_id` the jobs are of any tenant.
    """
    jobs: list[Listed] = []
    if subject.job_id is None:
        jobs = await details.listed(database, tenant_id=subject.tenant_id, ticket_id=subject.ticket_id)
    best = choose(jobs)
    job_id = best.id if best else subject.job_id
    job = await details.details(database, job_id) if job_id else None
    return (None if job and subject.tenant_id not in (None, job.tenant_id) else job), jobs


def _print_trace(owners: set[str], about: dict[str, Any], lines: list[Span], until: datetime, *, is_json: bool) -> int:
    if len(owners) > 1:
        print(f"Several tenants have this ticket. Give --tenant: {clean(', '.join(sorted(owners)))}", file=sys.stderr)
        return NOT_UNDERSTOOD_EXIT
    if is_json:
        print(as_json({**about, "spans": lines}))
        return 0
    start, job = min(line["start"] for line in lines), f"job {about['job_id']}, " if about["job_id"] else ""
    print(clean(f"Trace {about['trace_id']}: {job}ticket {about['ticket_id']} of tenant {about['tenant_id']}"))
    print(clean(f"{about['source']}; from {when(start)}, {(until - start).total_seconds():.1f} s"))
    if about["others"]:
        print(clean(f"other jobs of the ticket, see --job: {', '.join(about['others'])}"))
    console = Console(width=None if sys.stdout.isatty() else 300)  # a pipe gets whole lines, for grep
    console.print("", tree(lines, until, min(console.width, 110)), sep="\n")
    return 0


def tree(lines: list[Span], until: datetime, width: int) -> Tree:
    """Return the lines as a tree with bars; open spans last until `until`."""
    start, longest = min(line["start"] for line in lines), max(4 * line["depth"] + len(line["name"]) for line in lines)
    scale = max(8, width - longest - 39) / max((until - start).total_seconds(), 0.001)  # 39: the other columns
    above = [Tree("", hide_root=True)]
    for line in lines:
        depth, state = line["depth"], line["state"] if line["end"] else "open"
        begin = (line["start"] - start).total_seconds()
        lasted = ((line["end"] or until) - line["start"]).total_seconds()
        row = f"{line['name'].ljust(longest - 4 * depth)} {begin:>+9.3f}s{lasted:>9.3f}s  {state:<7} "
        row += f"{line['process'].removeprefix('ai-agents-'):<6} |"
        row += " " * int(begin * scale) + "#" * max(1, round(lasted * scale))
        text = Text("\n".join(map(clean, [row, *line["notes"]])), "red" if state == "failed" else "")
        above[depth + 1 :] = [above[depth].add(text)]
    return above[0]
