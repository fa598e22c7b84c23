"""`ai-agents report`: formats, files, and refused options."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from cli.pilot.postgres import Postgres
from tests.jobs.report_tenant import BEGIN, FIGURES, ODD, fill
from tests.kit.postgres import Store
from tests.system.by_hand import Answer, here

DAYS = ("--from", "2026-10-24", "--to", "2026-10-25")
SETTINGS: dict[str, Any] = {
    "WEBHOOK_SECRET_ACME": "a" * 32,
    "WEBHOOK_SECRET_GLOBEX": "g" * 32,
    "MODEL_PRICES": "gpt-4.1=2/8",
    "acme.report.timezone": "Europe/Berlin",
    "acme.report.minutes_per_note": 7,
}
pytestmark = pytest.mark.usefixtures("untouched_logging", "table")


async def asked(server: Postgres, *words: str, **settings: object) -> Answer:
    """Run it beside a running event loop."""
    return await asyncio.to_thread(here, "report", *words, DATABASE_URL=server.url, **SETTINGS | settings)


async def test_text_shows_the_sums_and_then_a_row_a_tenant(store: Store, server: Postgres) -> None:
    await fill(store)
    told = await asked(server, *DAYS)
    assert (told.returncode, told.stderr) == (0, "")
    assert told.stdout.startswith(
        "Value report of 2 tenants, 2026-10-24 to 2026-10-25 (Europe/Berlin, UTC)\n\nTICKETS\n"
    )
    lines = [" ".join(line.split()) for line in told.stdout.splitlines()]
    assert {"Tickets seen 9", "With a note 5 (55.5 %)", "Without: model failing 1"} <= {*lines}
    assert f"{ODD} no price; 1 job; 50 in, 5 out" in lines
    assert lines[-3:] == [
        "TENANT TICKETS WITH A NOTE COVERAGE P50 USEFUL USED NOTES TIME SAVED COST",
        "acme 8 4 50 % 20s 50 % 2 14 min $0.5142 (part)",
        "globex 1 1 100 % 40s - 0 0 min $0.2500",
    ]


async def test_no_name_of_a_model_controls_the_terminal(store: Store, server: Postgres) -> None:
    model = "evil\x1b[31m\x07"
    await store.accept(state="failed", reason="r", accepted_at=BEGIN, model=model, input_tokens=1)
    told = await asked(server, *DAYS)
    assert "of evil?[31m?." in told.stdout
    assert all(character.isprintable() or character == "\n" for character in told.stdout)


@pytest.mark.parametrize("words", [("--json",), ("--format", "json")])
async def test_json_has_the_figures_of_the_tenant(words: tuple[str, ...], store: Store, server: Postgres) -> None:
    await fill(store)
    told = await asked(server, "--tenant", "acme", *DAYS, *words)
    assert json.loads(told.stdout)["total"] == FIGURES


async def test_a_file_has_the_report_and_the_output_nothing(store: Store, server: Postgres, tmp_path: Path) -> None:
    await fill(store)
    for name, begin in (("csv", b'\xef\xbb\xbf"tenant","figure","detail","value"\r\n'), ("html", b"<!doctype html>\n")):
        path = tmp_path / f"report.{name}"
        told = await asked(server, *DAYS, "--format", name, "--output", str(path))
        assert (told.returncode, told.stdout) == (0, "")
        assert path.read_bytes().startswith(begin)


async def test_a_file_that_can_not_be_written_is_named(server: Postgres, tmp_path: Path) -> None:
    told = await asked(server, "--output", str(tmp_path))
    assert (told.returncode, told.stderr) == (1, f"{tmp_path} can't be written: Is a directory.\n")


async def test_options_replace_the_settings(store: Store, server: Postgres) -> None:
    await fill(store)
    options = ("--timezone", "UTC", "--minutes", "0.5", "--json")
    (acme,) = json.loads((await asked(server, "--tenant", "acme", *DAYS, *options)).stdout)["tenants"]
    assert (acme["timezone"], acme["minutes_per_note"], acme["tickets"]["with_note"]) == ("UTC", 0.5, 3)


async def test_a_tenant_without_settings_or_jobs_has_zeros(server: Postgres) -> None:
    told = await asked(server, "--tenant", "nobody")
    assert told.returncode == 0
    assert "Value report of nobody, " in told.stdout
    assert "Tickets seen              0" in told.stdout
    assert told.stderr == "nobody has no settings here: UTC and 5 minutes a note are used.\n"


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (
            ("--from", "2026-11-02", "--to", "2026-11-01"),
            "The first day, 2026-11-02, is after the last one, 2026-11-01.",
        ),
        (("--from", "1.11.2026"), "'1.11.2026' is not a day like 2026-11-01"),
        (("--timezone", "Berlin"), "must be a time zone like Europe/Berlin, or UTC"),
        (("--minutes", "-1"), "'-1' is not a number of minutes from 0 to 480"),
    ],
)
async def test_wrong_options_are_refused(words: tuple[str, ...], sentence: str, server: Postgres) -> None:
    told = await asked(server, *words)
    assert (told.returncode, told.stdout) == (2, "")
    assert sentence in told.stderr
