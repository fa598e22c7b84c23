"""Formats of the value report: HTML, CSV and JSON."""

import csv
import io
import json
import re
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from jobs.report.document import Report, figures, headlines, sections, tenant_rows
from observability.formats import clean, when

_environment = Environment(
    loader=FileSystemLoader(Path(__file__).parent),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
    auto_reload=False,
)
ALL = "(all)"
"""Tenant of the sums in CSV; no tenant has such an id."""
_BOM = "\ufeff"  # for Excel, which otherwise reads another encoding
# At the start of a cell, also behind a separator that a spreadsheet may use; in full width too, as OWASP lists them.
_FORMULA = re.compile("(^|[;,\\t|])(\\s*[=+\\-@\uff1d\uff0b\uff0d\uff20]|[\\t\\r\\n])")


def to_html(report: Report, now: datetime | None = None) -> str:
    """Return a self-contained page."""
    context = {"report": report, "body": to_part(report), "made_at": when((now or datetime.now(UTC)).astimezone(UTC))}
    return _environment.get_template("page.html").render(context)


def to_part(report: Report, link: Callable[[str], str] = lambda _: "") -> Markup:
    """Return the report's part of a page. `link` returns the address of a tenant's report, or ""."""
    context = {
        "report": report,
        "headlines": headlines(report.total),
        "sections": sections(report),
        "tenants": tenant_rows(report),
        "link": link,
    }
    return Markup(_environment.get_template("part.html").render(context))  # noqa: S704 -- escaped by the template


def to_json(report: Report) -> str:
    """Return JSON in ASCII, so that no value can control a terminal."""
    content = {
        "from": report.period.first.isoformat(),
        "to": report.period.last.isoformat(),
        "total": figures(report.total, is_sum=len(report.tenants) > 1),
        "tenants": [
            {"tenant_id": each.tenant_id, "timezone": each.zone, "minutes_per_note": each.minutes} | figures(each.facts)
            for each in report.tenants
        ],
        "definitions": {section.title: section.definition for section in sections(report)},
    }
    return json.dumps(content, indent=2)


def to_csv(report: Report) -> str:
    """Return one line a figure, as RFC 4180; an unknown figure is empty.

    The sums come first, if there are several tenants.
    """
    output = io.StringIO(newline="")
    writer = csv.writer(output, quoting=csv.QUOTE_NONNUMERIC)
    writer.writerow(("tenant", "figure", "detail", "value"))
    parts = [(each.tenant_id, each.facts, each.zone, each.minutes) for each in report.tenants]
    for tenant_id, facts, zone, minutes in (
        parts if len(parts) == 1 else [(ALL, report.total, report.zones, report.minutes), *parts]
    ):
        for name, value in (("first", str(report.period.first)), ("last", str(report.period.last)), ("timezone", zone)):
            writer.writerow((_guarded(tenant_id), "period", name, value))
        writer.writerow((_guarded(tenant_id), "assumption", "minutes_per_note", minutes))
        for figure, details in figures(facts, is_sum=tenant_id == ALL).items():
            for detail, value in _flat(details):
                writer.writerow((_guarded(tenant_id), figure, _guarded(detail), value))
    return _BOM + output.getvalue()


def _flat(details: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for name, value in details.items():
        if isinstance(value, Mapping):
            yield from ((f"{name} {inner}", one) for inner, one in _flat(value))
        else:
            yield name, value


def _guarded(text: str) -> str:
    """Return a text that a spreadsheet does not take for a formula (OWASP CSV injection)."""
    return clean(_FORMULA.sub(r"\1'\2", text))
