"""A running system with a console, a ticket for each of two tenants, and tokens."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from urllib.parse import quote

import httpx2
import pytest
from fastapi.routing import APIRoute

from console.app import PAGES
from console.dependencies import require_operator
from dev.stack.system import System
from tests.console.site import csrf_of
from tests.kit.loaded import LoadedPrograms
from tests.kit.system import SHORT
from tests.kit.world import World

TOKENS = {
    "support": "support-0123456789-abcdefghijklm",
    "acme": "acme-0123456789-abcdefghijklmnop",
    "operator": "operator-0123456789-abcdefghijkl",
}
_ROLES = {"support": "support", "acme": "support:acme", "operator": "operator+texts"}
AWAY = "the database is away"
_VERDICT = re.compile(r'data-verdict="(\w+)"')
_NAMED = re.compile(r"\{(\w+)(?::\w+)?\}")


@dataclass(frozen=True)
class ConsoleGround:
    """The console, and a failed job of one ticket of `acme` and of `globex` each."""

    url: str
    world: World
    ticket: dict[str, str]
    foreign: dict[str, str]

    def client(self) -> httpx2.Client:
        return httpx2.Client(base_url=self.url, trust_env=False, timeout=30)

    @contextmanager
    def visitor(self, name: str) -> Iterator[httpx2.Client]:
        with self.client() as client:
            csrf = csrf_of(client.get("/login"))
            entered = client.post("/login", data={"token": TOKENS[name], "csrf": csrf})
            assert entered.status_code == 303, entered.text
            yield client

    def row(self, job_id: str) -> dict[str, object]:
        jobs = self.world.jobs(self.foreign["ticket_id"], "globex")
        return next(row for row in jobs if str(row["id"]) == job_id)


@dataclass(frozen=True)
class ConsoleRoute:
    method: str
    path: str
    least: str


def places(method: str) -> list[ConsoleRoute]:
    """Return the console's routes for this method, except login."""
    found = []
    for route in [route for router in PAGES for route in router.routes]:
        assert isinstance(route, APIRoute)
        needs = [each.dependency for each in route.dependencies]
        if method in (route.methods or ()):
            found.append(ConsoleRoute(method, route.path, "operator" if require_operator in needs else "support"))
    return found


def address(place: ConsoleRoute, named: dict[str, str]) -> str:
    return _NAMED.sub(lambda found: quote(named.get(found[1], "1"), safe=""), place.path)


@pytest.fixture(scope="module")
def console_ground(tmp_path_factory: pytest.TempPathFactory, loaded: LoadedPrograms) -> Iterator[ConsoleGround]:
    folder = tmp_path_factory.mktemp("console")
    settings = SHORT | {f"{tenant}.audit_days": 7 for tenant in ("acme", "globex")}
    system = System(folder, settings=settings, openai_seconds=0.2, console=True, launch=loaded)
    for name, token in TOKENS.items():
        system.console.environment[f"CONSOLE_TOKEN_{name.upper()}"] = token
        system.console.environment[f"CONSOLE_ROLE_{name.upper()}"] = _ROLES[name]
    with system:
        world = World(system)
        done = world.ended(world.create_ticket("VPN drops", id="40011"))
        failed = world.create_ticket("Payroll of globex", "globex", send_webhook=False, id="98765432")
        world.desk_fault(ticket_id=failed, tenant="globex", kind="status", code=400)
        world.send_webhook(failed, "globex")
        foreign = world.ended(failed, "globex")
        assert foreign["state"] == "failed"
        yield ConsoleGround(system.state["console_url"], world, known(done), known(foreign))
        world.close()


def known(row: dict[str, object]) -> dict[str, str]:
    """Return the parts of a job that occur in addresses."""
    return {"job_id": str(row["id"]), "tenant_id": str(row["tenant_id"]), "ticket_id": str(row["ticket_id"])}


class ConsoleReader:
    def __init__(self, system: System) -> None:
        self._client = httpx2.Client(base_url=system.state["console_url"], trust_env=False, timeout=30)
        form = {"token": system.state["console_token"], "csrf": csrf_of(self._client.get("/login"))}
        assert self._client.post("/login", data=form).status_code == 303

    def verdict(self, ticket_id: str, tenant: str = "acme") -> str:
        """Return the verdict of a ticket's page, or AWAY if the database is unavailable."""
        answer = self._client.get(f"/tickets/{tenant}/{ticket_id}")
        if answer.status_code == 503:
            assert "database" in answer.text
            return AWAY
        found = _VERDICT.search(answer.text)
        assert found, answer.text
        return found[1]

    def close(self) -> None:
        self._client.close()
