"""Frozen public names: the lines of outside_names.txt, section by section.

An intended difference is one line in that file and one in CHANGELOG.md; any other is a mistake.
"""

import contextlib
import importlib
import inspect
import io
import pkgutil
import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
import yaml
from prometheus_client.metrics import MetricWrapperBase

import config
from cli.main import build_parser
from cli.pilot.postgres import Postgres
from config.exit_codes import OF_COMMANDS, OF_PROCESSES, OF_VERDICTS
from config.settings import LogSettings
from config.tenants import TENANT_SETTINGS
from console.access import ACCESS_SETTINGS
from integrations import rate_limit
from integrations.servicedesk import auth as desk_tokens
from jobs import inbox, probe_requests
from jobs.queue import QUEUE, UNACKED
from observability import log_events, metrics, tracing
from observability.identifiers import TAGS
from tests.kit.shield import settings_below
from workflow.stored_answers import StoredKind

ROOT = Path(__file__).resolve().parents[2]
NAMES = Path(__file__).with_name("outside_names.txt")
ROOMS = ("api", "worker", "workflow", "jobs", "integrations", "knowledge", "db", "cli", "console")


def log_phrases() -> set[str]:
    found = [value for value in vars(log_events).values() if isinstance(value, log_events.Phrase)]
    return {f"{phrase.level}: {phrase.template}" for phrase in found}


def spans() -> set[str]:
    named = set(re.findall(r'^[A-Z0-9_]+ = "(.+)"$', inspect.getsource(tracing), re.MULTILINE))
    opened = re.compile(r'(?:\bspan|_SPAN) = "([A-Z][^"]+)"|\b(?:span|report_in_new_span|span_of_job)\("([^"]+)"')
    for room in ROOMS:
        for path in (ROOT / room).rglob("*.py"):
            named |= {one or other for one, other in opened.findall(path.read_text(encoding="utf-8"))}
    return {f"span {name}" for name in named} | {f"tag {name}" for name in TAGS}


def metric_names() -> set[str]:
    found = set()
    for metric in vars(metrics).values():
        if isinstance(metric, MetricWrapperBase):
            (family,) = metric.describe()
            name = family.name + ("_total" if family.type == "counter" else "")
            found.add(f"{family.type} {name}{{{', '.join(_labels(metric))}}}")
    return found


def _labels(metric: MetricWrapperBase) -> list[str]:
    """Return a metric's labels, read from a series that is made and removed again."""
    for count in range(1, 6):
        values = ["outside-names"] * count
        with contextlib.suppress(ValueError):  # a different number of labels
            metric.labels(*values)
            series = [sample.labels for family in MetricWrapperBase.collect(metric) for sample in family.samples]
            metric.remove(*values)
            return [label for label in series[0] if label != "le"]
    return []


def settings() -> set[str]:
    for module in pkgutil.walk_packages(config.__path__, "config."):
        importlib.import_module(module.name)
    kinds = [kind for kind in settings_below(LogSettings) if not kind.__module__.startswith("tests.")]
    found = {name.upper() for kind in kinds for name in kind.model_fields}
    return found | {f"{prefix}<TENANT>" for prefix in TENANT_SETTINGS} | set(ACCESS_SETTINGS)


def exit_codes() -> set[str]:
    return {f"command {status}" for status in OF_COMMANDS} | {f"process {code}" for code in OF_PROCESSES}


def verdict_codes() -> set[str]:
    return {f"{verdict} {status}" for verdict, status in OF_VERDICTS.items()}


def commands(*verb: str) -> set[str]:
    usage = _usage(*verb)
    if choice := re.search(r"\{([a-z,-]+)\} \.\.\.$", usage):
        return {line for name in choice[1].split(",") for line in commands(*verb, name)}
    words = re.findall(r"--[a-z-]+(?: (?:[A-Z]+|\{[^}]+\})(?: \[[^]]+ \.\.\.\])?)?|\b[A-Z]+\b", usage)
    return {" ".join(verb), *(" ".join((*verb, word)) for word in words)}


def _usage(*verb: str) -> str:
    shown = io.StringIO()
    with contextlib.redirect_stdout(shown), contextlib.suppress(SystemExit):
        build_parser().parse_args([*verb, "--help"])
    return " ".join(shown.getvalue().partition("\n\n")[0].split()).partition("[-h]")[2]


def redis_keys() -> set[str]:
    keys = {
        *(f"{kept}:" for kept in StoredKind),
        inbox.INBOX,
        inbox.DELIVERY,
        probe_requests.QUESTIONS,
        probe_requests.ANSWER,
    }
    return keys | {rate_limit.KEY, desk_tokens.KEY, QUEUE, UNACKED}


def kubernetes_names() -> set[str]:
    """Return the objects of base, components and production, and pods' secrets."""
    found: set[str] = set()
    for part in ("base", "components", "overlays/production"):
        for path in (ROOT / "k8s" / part).rglob("*.yaml"):
            for one in filter(None, yaml.safe_load_all(path.read_text(encoding="utf-8"))):
                if isinstance(one, dict):
                    found |= {f"ConfigMap {made['name']}" for made in one.get("configMapGenerator", [])}
                    found |= {f"Secret {name}" for name in _secrets(one)}
                    found |= {f"{one['kind']} {one['metadata']['name']}"} if "metadata" in one else set()
    return found


def _secrets(tree: Any) -> Iterator[str]:
    for key, value in tree.items() if isinstance(tree, dict) else enumerate(tree if isinstance(tree, list) else []):
        if key in ("secretRef", "secretKeyRef", "secret") and isinstance(value, dict):
            yield from filter(None, (value.get("name"), value.get("secretName")))
        yield from _secrets(value)


def sql_functions(server: Postgres) -> set[str]:
    statement = """
        SELECT proname || '(' || pg_get_function_identity_arguments(oid) || ')' FROM pg_proc
        WHERE pronamespace = 'public'::regnamespace
        AND NOT EXISTS (SELECT FROM pg_depend WHERE objid = pg_proc.oid AND deptype = 'e')
    """
    with psycopg.connect(server.superuser_url) as connection:
        return {name for (name,) in connection.execute(statement)}


SECTIONS: dict[str, Callable[[], set[str]]] = {
    "log phrases": log_phrases,
    "spans and tags": spans,
    "metrics": metric_names,
    "settings": settings,
    "exit codes": exit_codes,
    "verdict codes": verdict_codes,
    "commands": commands,
    "Redis keys": redis_keys,
    "Kubernetes names": kubernetes_names,
}
FROZEN = {
    heading: body.splitlines()
    for heading, body in re.findall(r"^\[(.+)\]\n((?:.+\n)*)", NAMES.read_text(encoding="utf-8"), re.MULTILINE)
}


def differences(section: str, frozen: list[str], found: Iterable[str]) -> str:
    """Return the lines to add and to remove; empty if there is no difference."""
    add, remove = sorted(set(found) - set(frozen)), sorted(set(frozen) - set(found))
    if not add and not remove:
        return ""
    lines = [*(f"+ {line}" for line in add), *(f"- {line}" for line in remove)]
    advice = f"[{section}] of {NAMES.name} differs. If this is wanted, change it and add a line to CHANGELOG.md:"
    return "\n".join([advice, *lines])


@pytest.mark.parametrize("section", SECTIONS)
def test_names_that_outsiders_rely_on_are_unchanged(section: str) -> None:
    assert not (message := differences(section, FROZEN.get(section, []), SECTIONS[section]())), message


def test_sql_functions_that_a_running_release_calls_are_unchanged(server: Postgres) -> None:
    assert not (message := differences("SQL functions", FROZEN.get("SQL functions", []), sql_functions(server))), (
        message
    )


def test_the_file_of_names_is_sorted_and_has_no_other_section() -> None:
    assert list(FROZEN) == [*SECTIONS, "SQL functions"]
    assert [section for section, names in FROZEN.items() if names != sorted(set(names))] == []


def test_a_difference_shows_the_lines_to_add_and_to_remove() -> None:
    assert differences("metrics", ["a", "b"], ["c", "b"]).splitlines()[1:] == ["+ c", "- a"]
