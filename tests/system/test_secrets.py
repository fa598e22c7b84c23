"""Secrets that change while the system runs: 202 or 403 at each moment."""

import itertools
import secrets
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from dev.stack.system import System
from tests.kit.loaded import LoadedPrograms
from tests.kit.system import SHORT
from tests.kit.world import World, wait_for
from tests.system.by_hand import copied, on

# Tenants named by their change; `acme` is in the environment and does not change.
TENANTS = ("acme", "fresh", "rotated", "growing", "cut", "emptied", "leaked")
# What docs/settings.md promises, and what of a secret whose file is deleted.
IN_FORCE_SECONDS, DEAD_SECONDS = 7.0, 10.0
PREVIOUS = "the secret before the leaked one"
_NUMBERS = itertools.count(800_000)

pytestmark = pytest.mark.slow


class Files:
    """`SECRETS_DIR` with plain files and with files behind `..data`, as in Kubernetes."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._versions = itertools.count(1)

    def write(self, name: str, text: str) -> None:
        """Write a file in place, which is empty for a moment."""
        (self.folder / name).write_text(text, encoding="utf-8")

    def replace(self, name: str, text: str) -> None:
        finished = self.folder / f".{name}"
        finished.write_text(text, encoding="utf-8")
        finished.replace(self.folder / name)

    def publish(self, **files: str) -> None:
        """Swap all files behind `..data` at once, as the kubelet does."""
        version = self.folder / f"..version_{next(self._versions)}"
        version.mkdir()
        for name, text in files.items():
            (version / name).write_text(text, encoding="utf-8")
        fresh = self.folder / "..data_tmp"
        fresh.symlink_to(version.name)
        fresh.replace(self.folder / "..data")
        for name in files:
            if not (self.folder / name).is_symlink():
                (self.folder / name).symlink_to(Path("..data") / name)
        for link in self.folder.iterdir():
            if link.is_symlink() and link.name not in {"..data", *files}:
                link.unlink()


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Files:
    return Files(tmp_path_factory.mktemp("secrets"))


@pytest.fixture(scope="module")
def system(files: Files, tmp_path_factory: pytest.TempPathFactory, loaded: LoadedPrograms) -> Iterator[System]:
    """Start a system with secrets in files, except `acme`'s; `fresh` is unknown."""
    folder = tmp_path_factory.mktemp("system")
    settings = SHORT | {"SECRETS_DIR": str(files.folder)}
    running = System(folder, tenants=TENANTS, settings=settings, openai_seconds=0.3, housekeeping=False, launch=loaded)
    for process in (running.api, *running.workers):
        for name in list(process.environment):
            moved = name.startswith("WEBHOOK_SECRET_") and not name.endswith("_ACME")
            if moved or name.endswith("_FRESH"):
                del process.environment[name]
    secret_of = {tenant.id: tenant.webhook_secret for tenant in running.tenants}
    for tenant in ("growing", "cut", "emptied", "leaked"):
        files.write(f"WEBHOOK_SECRET_{tenant.upper()}", secret_of[tenant])
    files.write("PREVIOUS_WEBHOOK_SECRET_LEAKED", PREVIOUS)
    files.publish(WEBHOOK_SECRET_ROTATED=secret_of["rotated"])
    with running:
        yield running


@dataclass
class Doors:
    world: World
    old: dict[str, str]
    new: dict[str, str]

    def opens(self, tenant: str, secret: str) -> bool:
        """Return True if a webhook signed with it is accepted; otherwise it must get 403."""
        status = self.world.post_webhook(str(next(_NUMBERS)), tenant, secret=secret).status_code
        assert status in (202, 403), status
        return status == 202

    def assert_open(self, *tenants: str) -> None:
        assert [tenant for tenant in tenants if not self.opens(tenant, self.old[tenant])] == []


@pytest.fixture
def doors(system: System, world: World) -> Doors:
    old = {tenant.id: tenant.webhook_secret for tenant in system.tenants}
    return Doors(world, old, {tenant: secrets.token_urlsafe(32) for tenant in old})


def give_fresh(files: Files, system: System, ending: str = "") -> None:
    """Write the secret, the address and the key of `fresh`."""
    fresh = next(tenant for tenant in system.tenants if tenant.id == "fresh")
    files.write("WEBHOOK_SECRET_FRESH", fresh.webhook_secret + ending)
    files.write("SERVICEDESK_URL_FRESH", f"{system.state['desk_url']}/fresh")
    files.write("SERVICEDESK_API_KEY_FRESH", fresh.desk_key)


def test_secrets_change_at_run_time_and_never_by_half(files: Files, system: System, world: World, doors: Doors) -> None:
    doors.assert_open("acme", "rotated", "growing", "cut", "emptied")
    assert not doors.opens("fresh", doors.old["fresh"])
    give_fresh(files, system, ending="\n")
    files.publish(WEBHOOK_SECRET_ROTATED=doors.new["rotated"], PREVIOUS_WEBHOOK_SECRET_ROTATED=doors.old["rotated"])
    files.write("WEBHOOK_SECRET_GROWING", "")
    files.write("WEBHOOK_SECRET_CUT", doors.old["cut"][:16])
    files.write("WEBHOOK_SECRET_EMPTIED", "")
    watch(files, doors)
    ticket_id = world.create_ticket(tenant="fresh")
    files.write("WEBHOOK_SECRET_GROWING", doors.new["growing"])
    files.replace("WEBHOOK_SECRET_CUT", doors.new["cut"])
    files.publish(WEBHOOK_SECRET_ROTATED=doors.new["rotated"])
    (files.folder / "WEBHOOK_SECRET_EMPTIED").unlink()
    wait_for(lambda: doors.opens("growing", doors.new["growing"]), IN_FORCE_SECONDS + 1)
    wait_for(lambda: doors.opens("cut", doors.new["cut"]), IN_FORCE_SECONDS + 1)
    for tenant in ("growing", "cut", "rotated", "emptied"):
        wait_for(lambda tenant=tenant: not doors.opens(tenant, doors.old[tenant]), IN_FORCE_SECONDS + 1)  # type: ignore[misc]
    assert doors.opens("rotated", doors.new["rotated"])
    doors.assert_open("acme", "fresh")
    # The worker knows the new tenant's desk as well.
    assert world.ended(ticket_id, "fresh")["state"] == "completed"
    assert len(world.notes(ticket_id, "fresh")) == 1


def watch(files: Files, doors: Doors) -> None:
    """See for longer than a change takes that old secrets stay valid, partial ones do not, finished ones become so."""
    began = time.monotonic()
    opened: dict[str, float] = {}
    for length in itertools.count(1):
        passed = time.monotonic() - began
        if passed > IN_FORCE_SECONDS + 2:
            break
        half = doors.new["growing"][: min(length, 40)]
        # A writer that never pauses for long, however slow the machine; its last piece is still to come.
        for tenant in ("acme", "rotated", "growing", "cut", "emptied"):
            files.write("WEBHOOK_SECRET_GROWING", half)
            doors.assert_open(tenant)
        files.write("WEBHOOK_SECRET_GROWING", half)
        assert not doors.opens("growing", half)
        assert not doors.opens("cut", doors.old["cut"][:16])
        for tenant, secret in (("fresh", doors.old["fresh"]), ("rotated", doors.new["rotated"])):
            if doors.opens(tenant, secret):
                opened.setdefault(tenant, passed)
            else:
                assert tenant not in opened, "open once, closed again"
        time.sleep(0.3)
    assert set(opened) == {"fresh", "rotated"}
    assert max(opened.values()) <= IN_FORCE_SECONDS + 1


def test_a_leaked_secret_is_rejected_within_ten_seconds(files: Files, system: System, doors: Doors) -> None:
    leaked, log = doors.old["leaked"], system.api.log_path
    files.write("SERVICEDESK_URL_LEAKED", "nowhere")
    wait_for(lambda: doors.opens("leaked", leaked) and "SERVICEDESK_URL_LEAKED must" in log.read_text(encoding="utf-8"))
    (files.folder / "WEBHOOK_SECRET_LEAKED").unlink()
    assert refused_within(files, doors, leaked) <= DEAD_SECONDS
    assert doors.opens("leaked", PREVIOUS)
    doors.assert_open("acme")
    (files.folder / "PREVIOUS_WEBHOOK_SECRET_LEAKED").unlink()
    assert refused_within(files, doors, PREVIOUS) <= DEAD_SECONDS
    doors.assert_open("acme")
    output = log.read_text(encoding="utf-8")
    assert "the ones before stay: WEBHOOK_SECRET_LEAKED is missing, but PREVIOUS_WEBHOOK_SECRET_LEAKED is set" in output
    assert "Tenant settings unusable, the tenant is closed: SERVICEDESK_URL_LEAKED must be" in output
    assert "Webhook rejected: status=403, reason=tenant closed" in output


def refused_within(files: Files, doors: Doors, secret: str) -> float:
    """Return the seconds until the secret is refused, while another file is rewritten."""
    began = time.monotonic()
    while doors.opens("leaked", secret):
        files.write("RETIRED_WEBHOOK_SECRET_LEAKED", f"{time.monotonic():.0f}")
        time.sleep(0.2)
        assert time.monotonic() - began < 3 * DEAD_SECONDS
    return time.monotonic() - began


def test_a_deleted_desk_key_is_sent_nowhere(files: Files, system: System, world: World, doors: Doors) -> None:
    give_fresh(files, system)
    wait_for(lambda: doors.opens("fresh", doors.old["fresh"]) and world.desk_requests("fresh"))
    (files.folder / "SERVICEDESK_API_KEY_FRESH").unlink()
    log = system.workers[0].log_path

    def waits() -> bool:
        assert doors.opens("fresh", doors.old["fresh"])
        return "reason=tenant closed, held back for" in log.read_text(encoding="utf-8")

    def is_idle() -> bool:
        # An attempt that began with the key ends with it.
        running = "SELECT NOT EXISTS (SELECT FROM jobs WHERE tenant_id = 'fresh' AND state = 'running')"
        with world.admin() as connection:
            return bool(connection.execute(running).fetchall()[0][0])

    wait_for(waits, DEAD_SECONDS)

    def is_quiet() -> bool:
        # A request that a busy desk has not answered yet is not in its journal.
        seen = len(world.desk_requests("fresh"))
        time.sleep(1)
        return len(world.desk_requests("fresh")) == seen

    wait_for(is_idle, DEAD_SECONDS)
    wait_for(is_quiet, DEAD_SECONDS)
    requests_seen = len(world.desk_requests("fresh"))
    assert doors.opens("fresh", doors.old["fresh"])
    time.sleep(1)
    assert len(world.desk_requests("fresh")) == requests_seen


def test_ticket_rules_and_a_dry_run_change_without_a_restart(system: System, world: World) -> None:
    subject = "Keyboard types twice"

    def became(**ticket: str) -> dict[str, Any]:
        return world.ended(world.create_ticket(subject, **ticket))

    system.write_tenants({"acme.mode": "dry-run", "acme.tickets.never.group": ["HR"]})
    dry = wait_for(lambda: (row := became())["reason"] == "dry run" and row)
    left_out = became(group="HR")
    assert (left_out["state"], left_out["reason"]) == ("skipped", "left out by the tenant's rules")
    system.write_tenants({"acme.mode": None})
    wait_for(lambda: became()["state"] == "completed")
    assert became(group="HR")["reason"] == left_out["reason"]
    paid = len(world.gpt4_requests(subject))
    done = on(system, "retry", str(dry["id"]))
    assert done.returncode == 0, done.stderr
    wait_for(lambda: world.job(dry["ticket_id"])["state"] == "completed")
    assert (len(world.notes(dry["ticket_id"])), len(world.gpt4_requests(subject))) == (1, paid)
    system.restart(system.housekeeping)
    wait_for(lambda: "Sync completed: tenant_id=acme" in system.housekeeping.output())
    system.housekeeping.stop(8)
    assert dry["ticket_id"] in copied(world)
    assert left_out["ticket_id"] not in copied(world)
    system.write_tenants({"acme.tickets.never.group": None})
    wait_for(lambda: became(group="HR")["state"] == "completed")
