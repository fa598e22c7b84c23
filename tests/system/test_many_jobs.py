"""Many concurrent jobs in one worker."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from devstack.system import System
from tests.kit.world import World, wait_for
from worker.runtime import DATABASE_CONNECTIONS, LEASE_CONNECTIONS

pytestmark = pytest.mark.slow

_JOBS = 200
_OURS = "SELECT count(*) FROM pg_stat_activity WHERE application_name IN ('ai-agents worker', 'ai-agents leases')"
_STATES = "SELECT state::text, count(*)::integer FROM jobs GROUP BY 1"


def test_two_hundred_jobs_at_once_take_five_connections(tmp_path: Path) -> None:
    """No job times out on the pool: each has its note in its first attempt."""
    assert DATABASE_CONNECTIONS + LEASE_CONNECTIONS <= 5
    settings = {"WORKER_CONCURRENCY": "1024"}
    with System(tmp_path / "system", settings=settings, openai_seconds=15, housekeeping=False) as system:
        world = World(system)
        with ThreadPoolExecutor(8) as senders:
            list(senders.map(lambda _: world.create_ticket(), range(_JOBS)))
        most_at_once = most_connections = 0

        def all_completed() -> bool:
            nonlocal most_at_once, most_connections
            with world.admin() as connection:
                states = dict(connection.execute(_STATES).fetchall())
                connections = connection.execute(_OURS).fetchone()
            assert connections is not None
            most_at_once = max(most_at_once, states.get("running", 0))
            most_connections = max(most_connections, connections[0])
            return states == {"completed": _JOBS}

        wait_for(all_completed, 120)
        with world.admin() as connection:
            assert connection.execute("SELECT max(attempt) FROM jobs").fetchone() == (1,)
        assert most_at_once > _JOBS // 2
        assert most_connections <= DATABASE_CONNECTIONS + LEASE_CONNECTIONS
        world.close()
