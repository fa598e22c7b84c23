"""The overlays, rendered."""

import pytest

from tests.kubernetes.rendering import OVERLAYS, Rendered


@pytest.fixture(params=OVERLAYS)
def rendered(request: pytest.FixtureRequest) -> Rendered:
    """Each overlay in turn."""
    return Rendered(request.param)


@pytest.fixture
def production() -> Rendered:
    """What runs for customers."""
    return Rendered("production")


@pytest.fixture
def local() -> Rendered:
    """What runs on a laptop's cluster, with its secrets."""
    return Rendered("local")
