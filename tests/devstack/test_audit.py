"""What `make audit` says of what it found, and of what it could not look up."""

import json
from collections.abc import Mapping

import pytest

from devstack.audit import verdict

CLEAN = {"name": "alembic", "version": "1.20.1", "vulns": []}
WEAK = {"name": "celery", "version": "5.7.0", "vulns": [{"id": "PYSEC-2026-1", "fix_versions": ["5.7.1"]}]}
MISSED = {"name": "kombu", "skip_reason": "Dependency not found on PyPI and could not be audited: kombu (5.7.0)"}


def report(*packages: Mapping[str, object]) -> str:
    return json.dumps({"dependencies": packages, "fixes": []})


def test_a_known_weakness_is_named_and_fails() -> None:
    sentence, status = verdict(report(CLEAN, WEAK, MISSED))
    assert status == 1
    assert sentence.splitlines() == [
        "celery 5.7.0: PYSEC-2026-1, fixed in: 5.7.1",
        "1 known weaknesses in 2 packages; 1 could not be looked up.",
    ]


def test_without_a_weakness_it_says_how_many_were_looked_up() -> None:
    assert verdict(report(CLEAN, MISSED)) == ("0 known weaknesses in 1 packages; 1 could not be looked up.", 0)


@pytest.mark.parametrize(
    ("output", "complaints"),
    [
        (report(), ""),
        (report(MISSED, MISSED), "No known vulnerabilities found"),
        ("", "ERROR:pip_audit._cli:Could not connect to PyPI's vulnerability feed"),
    ],
)
def test_a_database_that_can_not_be_reached_is_said_to_be_that_and_is_no_failure(output: str, complaints: str) -> None:
    """Never that nothing was found: nothing was looked up."""
    sentence, status = verdict(output, complaints)
    assert (sentence.startswith("SKIPPED: "), status) == (True, 0)


@pytest.mark.parametrize("output", ["", "no JSON", "[]"])
def test_an_audit_that_broke_is_a_failure_with_what_it_said(output: str) -> None:
    sentence, status = verdict(output, "pip-audit: error: unrecognized arguments: --nonsense")
    assert status == 1
    assert "unrecognized arguments" in sentence
