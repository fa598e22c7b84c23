"""`ai-agents report`: coverage, speed, use and cost of notes."""

import argparse
import sys
import textwrap
from datetime import UTC, datetime

from cli.database import run_with_database
from cli.terminal import table, terminal_width
from config.exit_codes import NOT_DONE_EXIT
from config.settings import ByHandSettings
from config.tenant_directory import TenantDirectory, read_environment
from config.tenants import Tenant
from db.session import Database
from jobs.report.document import Report, read_report, sections, tenant_rows
from jobs.report.period import PeriodError, chosen_period
from jobs.report.render import to_csv, to_html, to_json
from observability.formats import clean


def run(chosen: argparse.Namespace) -> int:
    async def work(database: Database, settings: ByHandSettings) -> int:
        directory = TenantDirectory(read_environment(settings.secrets_dir), keys=())
        tenants = directory.all()
        if chosen.tenant:
            tenants = [directory.get(chosen.tenant) or Tenant(chosen.tenant)]
            if not directory.names(chosen.tenant):
                default = tenants[0].report
                used = f"{default.timezone} and {default.minutes_per_note:g} minutes a note are used"
                print(f"{chosen.tenant} has no settings here: {used}.", file=sys.stderr)
        if not tenants:
            print("No tenant has settings here. Give --tenant.", file=sys.stderr)
        zones = [chosen.timezone] if chosen.timezone else [tenant.report.timezone for tenant in tenants]
        try:
            period = chosen_period(chosen.first, chosen.last, zones, datetime.now(UTC))
        except PeriodError as refused:
            chosen.refuse(str(refused))
            raise
        options = {"zone": chosen.timezone, "minutes": chosen.minutes}
        report = await read_report(database, tenants, period, prices=settings.model_prices, **options)
        write = {"html": to_html, "csv": to_csv, "json": to_json, "text": _to_text}
        text = write["json" if chosen.json else chosen.format](report)
        if chosen.output is None:
            sys.stdout.write(text if text.endswith("\n") else f"{text}\n")
            return 0
        try:
            chosen.output.write_text(text, encoding="utf-8", newline="")
        except OSError as failure:
            print(f"{chosen.output} can't be written: {failure.strerror}.", file=sys.stderr)
            return NOT_DONE_EXIT
        return 0

    return run_with_database(work)


def _to_text(report: Report) -> str:
    parts = [f"Value report of {report.scope}, {report.period} ({report.zones})"]
    shown = sections(report)
    width = max(len(text) for each in shown for text in (each.title, *(line.label for line in each.lines)))
    for section in shown:
        lines = [(clean(line.label).ljust(width), line.value) for line in section.lines]
        texts = (textwrap.fill(clean(text)) for text in (*section.remarks, section.definition))
        parts.append("\n".join([table((section.title.upper(), ""), lines, terminal_width()), *texts]))
    if rows := tenant_rows(report):
        head, *others = rows
        parts.append(table([name.upper() for name in head], others, terminal_width()))
    return "\n\n".join(parts)
