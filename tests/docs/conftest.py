"""A Postgres for the README's SQL."""

from collections.abc import Iterator

import pytest

from devstack.postgres import Postgres


@pytest.fixture(scope="module")
def postgres_superuser_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Where a superuser connects."""
    with Postgres(tmp_path_factory.mktemp("postgres")) as postgres:
        yield postgres.superuser_url
        postgres.discard()
