"""Weekly report files: once a tenant and week, whole, and deleted after 53 weeks."""

import io
from datetime import UTC, datetime
from pathlib import Path

import pytest

from config.settings import HousekeepingSettings
from config.tenant_directory import TenantDirectory
from db.session import DATABASE_FAILURES, Database
from tests.kit.postgres import Store
from tests.kit.tenants_toml import given
from worker.scheduler.reports import WeeklyReports

SETTINGS = {
    "WEBHOOK_SECRET_ACME": "a" * 32,
    "WEBHOOK_SECRET_GLOBEX": "g" * 32,
    "globex.report.timezone": "Pacific/Auckland",
}
SUNDAY = datetime(2026, 11, 29, 12, tzinfo=UTC)
ACME, GLOBEX = "report-acme-2026-W47.html", "report-globex-2026-W48.html"


def reports(database: Database, folder: Path | None) -> WeeklyReports:
    settings = HousekeepingSettings(
        database_url="postgresql://a:b@127.0.0.1:1/x", redis_url="redis://127.0.0.1:1/0", reports_dir=folder
    )
    return WeeklyReports(settings, TenantDirectory(lambda: given(SETTINGS)), database, now=lambda: SUNDAY)


def lines(log: io.StringIO) -> list[str]:
    return [line.split(" | ")[0].split(" ", 2)[2].strip() for line in log.getvalue().splitlines()]


def names_in(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


async def test_each_tenant_has_a_file_of_its_last_week_written_once(
    store: Store, tmp_path: Path, log: io.StringIO
) -> None:
    await store.accept(state="completed", accepted_at=datetime(2026, 11, 22, 23, tzinfo=UTC), finished_at="now()")
    weekly = reports(store.database, tmp_path)
    await weekly.write(tmp_path)
    assert names_in(tmp_path) == {ACME, GLOBEX}
    text = (tmp_path / ACME).read_text(encoding="utf-8")
    assert "<h1>Value report of acme</h1>" in text
    assert "2026-11-16 to 2026-11-22, both days included (UTC)" in text
    assert "<dt>Tickets seen</dt><dd>1</dd>" in text
    assert lines(log) == [
        f"Report written: tenant_id=acme, file={ACME}",
        f"Report written: tenant_id=globex, file={GLOBEX}",
    ]
    (tmp_path / ACME).write_text("as it was", encoding="utf-8")
    (tmp_path / GLOBEX).unlink()
    await weekly.write(tmp_path)
    assert (tmp_path / ACME).read_text(encoding="utf-8") == "as it was"
    assert lines(log)[2:] == [f"Report written: tenant_id=globex, file={GLOBEX}"]


async def test_own_files_older_than_53_weeks_are_deleted(store: Store, tmp_path: Path) -> None:
    names = ("report-acme-2025-W45.html", "report-gone-2024-W52.html", "report-acme-2025-W46.html", "notes.html")
    for name in (*names, ACME, GLOBEX):
        (tmp_path / name).touch()
    await reports(store.database, tmp_path).write(tmp_path)
    assert names_in(tmp_path) == {*names[2:], ACME, GLOBEX}


async def test_a_folder_that_cannot_be_written_is_reported(store: Store, tmp_path: Path, log: io.StringIO) -> None:
    (tmp_path / "file").touch()
    await reports(store.database, None).write(tmp_path / "file")
    await reports(store.database, None).write(tmp_path / "missing")
    assert lines(log) == [
        "Reports not written: REPORTS_DIR: Not a directory",
        "Reports not written: REPORTS_DIR: No such file or directory",
    ]
    assert " warning " in log.getvalue()


async def test_an_outage_of_the_database_ends_the_lead(away: Database, tmp_path: Path) -> None:
    with pytest.raises(DATABASE_FAILURES):
        await reports(away, tmp_path).write(tmp_path)
    assert names_in(tmp_path) == set()


async def test_without_a_folder_nothing_runs(store: Store) -> None:
    async def check() -> None:
        raise AssertionError

    await reports(store.database, None).run(check)


@pytest.fixture
async def away(unused_tcp_port: int) -> Database:
    return Database(f"postgresql://a:b@127.0.0.1:{unused_tcp_port}/ai_agents", application_name="tests")


async def test_a_tenant_whose_report_fails_stops_no_other(store: Store, tmp_path: Path, log: io.StringIO) -> None:
    (tmp_path / ACME).mkdir()
    (tmp_path / "report-old-2020-W02.tmp").touch()
    await reports(store.database, tmp_path).write(tmp_path)
    assert GLOBEX in names_in(tmp_path)
    assert "report-old-2020-W02.tmp" not in names_in(tmp_path)
    (failed, _) = log.getvalue().splitlines()
    assert "Reports not written: REPORTS_DIR: Is a directory" in failed
    assert "tenant_id: acme" in failed
