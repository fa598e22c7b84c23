"""What is on disk when a signer starts, and what it does not start on."""

import asyncio
import json
import time
from pathlib import Path

import pytest

from signer.spool import Delivery, Spool, SpoolFull, SpoolUnfit

TOLD = {"id": "1", "tenant_id": "acme", "ticket_id": "12345", "event": None, "kept_at": 1.0}


def spool_with(folder: Path, *files: tuple[str, object]) -> Spool:
    (folder / "waiting").mkdir(parents=True, exist_ok=True)
    for name, content in files:
        (folder / "waiting" / name).write_text(json.dumps(content), encoding="utf-8")
    return Spool(folder, "acme", 1)


async def test_what_was_kept_is_there_after_a_restart_and_what_was_dropped_is_not(tmp_path: Path) -> None:
    first = spool_with(tmp_path)
    assert first.open() == 0
    kept, dropped, aside = (Delivery(name, "acme", "12345", "x", time.time()) for name in "abc")
    for delivery in (kept, dropped, aside):
        await first.keep(delivery)
    first.drop(dropped)
    first.set_aside(aside)
    first.close()
    second = spool_with(tmp_path)
    assert second.open() == 0
    assert (second.waiting, second.count_aside()) == ({"a": kept}, 1)
    second.close()


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("1.json", TOLD | {"kept_at": "yesterday"}),
        ("1.json", TOLD | {"ticket_id": 12345}),
        ("1.json", TOLD | {"subject": "S"}),
        ("1.json", {"id": "1"}),
        ("1.json", [TOLD]),
        ("2.json", TOLD),
    ],
)
def test_a_file_that_it_did_not_write_is_set_aside(name: str, content: object, tmp_path: Path) -> None:
    spool = spool_with(tmp_path, (name, content))
    assert (spool.open(), spool.waiting, spool.count_aside()) == (1, {}, 1)
    spool.close()


def test_webhooks_of_another_tenant_are_not_signed(tmp_path: Path) -> None:
    spool = spool_with(tmp_path, ("1.json", TOLD | {"tenant_id": "globex"}))
    with pytest.raises(SpoolUnfit, match="another tenant"):
        spool.open()
    spool.close()


def test_a_spool_that_can_not_be_a_folder_is_unfit(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(SpoolUnfit, match=r"SIGNER_SPOOL_DIR is wrong: nothing can be kept there \(FileExistsError\)"):
        Spool(tmp_path / "file", "acme", 1).open()


async def test_what_is_being_written_counts_for_the_size(tmp_path: Path) -> None:
    """A megabyte is 244 files, whatever they are."""
    spool = spool_with(tmp_path)
    spool.open()
    for number in range(243):
        (tmp_path / "aside" / f"{number}.json").touch()
    both = (spool.keep(Delivery(name, "acme", "1", None, 1.0)) for name in "ab")
    first, second = await asyncio.gather(*both, return_exceptions=True)
    assert (first, type(second), list(spool.waiting)) == (None, SpoolFull, ["a"])
    assert not await spool.can_keep()
    spool.close()
