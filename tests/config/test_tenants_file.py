"""`tenants.toml`: problems, values kept meanwhile, and precedence over variables."""

import json
import os
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest

from cli.main import main
from config.secret_files import UNREADABLE
from config.settings import ApiSettings, SettingsError
from config.tenant_directory import TenantDirectory, read_environment
from config.tenant_validation import parse_tenants
from config.tenants import FIELDS, REMOVED, TENANTS_TOML, Tenant, json_schema
from observability.startup import load_with_tenants
from tests.config.given import ACME, CLOUD, Process, asked, sentences
from tests.kit.clock import Clock
from tests.kit.tenants_toml import filed

NOT_ANY_TEXT = [
    *("servicedesk.rate_per_minute", "servicedesk.failure_note", "servicedesk.conversation", "servicedesk.embeddings"),
    *(
        "servicedesk.languages",
        "tickets.only",
        "tickets.only.group",
        "openai.base_url",
        "webhook.mode",
        "note.language",
    ),
    *("webhook.require_timestamp", "reconcile", "mode", "masking", "note"),
]
FROM_ONE = [
    *("servicedesk.rate_per_minute", "servicedesk.history_days", "openai.daily_tokens", "jobs.weight"),
    "jobs.most_waiting",
]


@pytest.mark.parametrize(
    ("path", "value"),
    [
        *((path, "hunter2") for path in NOT_ANY_TEXT),
        *((path, 0) for path in FROM_ONE),
        ("servicedesk.portal_id", "hunter\u200b2"),
        ("servicedesk.languages", ["hunter2"]),
        ("servicedesk.closed_statuses", [" "]),
        ("tickets.never.hunter2", ["HR"]),
        ("tickets.never.group", [""]),
        ("context.within.event", ["hunter2"]),
        ("openai.daily_dollars", 0.0),
        ("jobs.most_running", 9999999999),
        ("note.prompt_bytes", 3999),
        ("note.rules", "r" * 4001),
        ("audit_days", -1),
        ("audit_days", 3651),
    ],
)
def test_a_wrong_key_is_named_by_its_path_without_its_value(path: str, value: object) -> None:
    (sentence,) = sentences(filed(ACME, {f"acme.{path}": value}))
    assert sentence.startswith(f"acme.{path}")
    assert " in tenants.toml: " in sentence
    assert "hunter2" not in sentence.removeprefix(f"acme.{path}")
    assert sentences(ACME | {TENANTS_TOML: "acme.openai.daily_dollars = inf"})


@pytest.mark.parametrize(
    ("path", "told"),
    [
        ("note.langage", "is no setting; near: note.language"),
        ("colour", "is no setting"),
        ("audit", "is no setting; near: audit_days"),
        ("servicedesk.url", "belongs in the environment or SECRETS_DIR, as SERVICEDESK_URL_ACME"),
        ("servicedesk.api_key", "belongs in the environment or SECRETS_DIR, as SERVICEDESK_API_KEY_ACME"),
        ("webhook.secret", "belongs in the environment or SECRETS_DIR, as WEBHOOK_SECRET_ACME"),
        ("openai.api_key", "belongs in the environment or SECRETS_DIR, as OPENAI_API_KEY_ACME"),
    ],
)
def test_an_unknown_key_is_named_with_what_may_be_meant(path: str, told: str) -> None:
    (sentence,) = sentences(filed(ACME, {f"acme.{path}": "hunter2"}))
    assert sentence.endswith(told)
    assert "hunter2" not in sentence


def test_a_table_of_an_unknown_tenant_is_a_problem() -> None:
    """A misspelt tenant would be left without its rules."""
    tenants, problems = parse_tenants(filed(ACME, {"acne.masking": "all", "my-errors.masking": "all"}))
    assert list(tenants) == ["acme"]
    assert [(problem.tenant_id, problem.sentence.partition(":")[0]) for problem in problems] == [
        ("acne", "acne in tenants.toml"),
        ("my-errors", "tenants.toml"),
    ]


def test_a_bad_table_closes_its_own_tenant_alone() -> None:
    process = Process(filed(ACME | CLOUD, {"acme.mode": "wet"}))
    assert process.tenant() == Tenant("acme", usable=False)
    assert process.tenants.unusable() == {"acme": True, "globex": False}


@pytest.mark.parametrize("name", REMOVED)
def test_a_variable_that_is_read_no_more_closes_its_tenant_with_the_remedy(name: str) -> None:
    (sentence,) = sentences(ACME | {f"{name}_ACME": "hunter2"})
    assert sentence == f"{name}_ACME is no longer read: `ai-agents config migrate` prints the file to use instead"
    assert Process(ACME | {f"{name}_ACME": "hunter2"}).tenant() == Tenant("acme", usable=False)


def test_a_value_in_both_places_is_a_problem() -> None:
    values = filed(ACME | {"NOTE_LANGUAGE_ACME": "de"}, {"acme.note.language": "de"})
    assert sentences(values) == [
        "NOTE_LANGUAGE_ACME is set, and acme.note.language in tenants.toml too: remove the variable"
    ]


@pytest.mark.parametrize("text", ["acme.mode =", "[acme]\n[acme]", "\x00", UNREADABLE, "a" * 10])
def test_an_invalid_file_keeps_its_last_good_version_and_no_withdrawn_secret(text: str) -> None:
    process = Process(filed(ACME | {"PREVIOUS_WEBHOOK_SECRET_ACME": "older"}, {"acme.masking": "all"}))
    process.change("PREVIOUS_WEBHOOK_SECRET_ACME", **{TENANTS_TOML: text, "WEBHOOK_SECRET_GLOBEX": "new"})
    assert (process.tenant().note.masking, process.tenant().webhook_secrets) == ("all", ("s3cret",))
    assert process.tenant("globex").usable
    assert [(problem.tenant_id, problem.closed) for problem in process.told] == [("", False)]
    assert process.tenants.unusable()[""]
    process.change(**filed({}, {"acme.masking": "none"}))
    assert process.tenant().note.masking == "none"
    assert process.tenants.problems == []


@pytest.mark.parametrize("text", [None, "", "acme.mode =", b"\xc3"])
def test_a_process_does_not_start_with_an_invalid_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str | bytes | None
) -> None:
    path = tmp_path / "conf" / "of-tenants.toml"
    path.parent.mkdir()
    if text is not None:
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
    complete = {"DATABASE_URL": "postgresql://me@db/x", "REDIS_URL": "redis://redis", "TENANTS_FILE": str(path)}
    for name, value in (ACME | complete).items():
        monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError, match=r"tenants\.toml is "):
        load_with_tenants(ApiSettings, needs="nothing", on_problem=lambda _: None)
    path.write_text("# Nothing yet.")
    assert load_with_tenants(ApiSettings, needs="secret", on_problem=lambda _: None)[1].problems == []


def test_without_a_valid_file_all_tenants_are_closed() -> None:
    """Commands continue, unlike processes; the table may ask for more redaction."""
    process = Process(ACME | {TENANTS_TOML: "acme.masking ="})
    assert process.tenant() == Tenant("acme", usable=False)
    assert parse_tenants(process.values)[0] == {}
    process.change(**filed({}, {"acme.masking": "all"}))
    assert (process.tenant().note.masking, process.tenant().usable) == ("all", True)


def test_a_changed_file_is_reread_and_kept_while_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Kubernetes replaces the folder that the link leads to."""
    path = tmp_path / "tenants.toml"
    (tmp_path / "..1").mkdir()
    (tmp_path / "..1" / path.name).write_text("acme.masking = 'all'\nacme.note.rules = 'Say du.'")
    (tmp_path / "..data").symlink_to("..1")
    path.symlink_to(Path("..data") / path.name)
    monkeypatch.setenv("TENANTS_FILE", str(path))
    monkeypatch.setenv("WEBHOOK_SECRET_ACME", "s3cret")
    clock = Clock(1_000_000_000)
    tenants = TenantDirectory(read_environment(None, now=clock), monotonic=clock)

    def after(seconds: float) -> tuple[str, str]:
        clock.now += seconds
        return asked(tenants).note.masking, asked(tenants).note.rules

    def replaced(text: str, age: float) -> None:
        (tmp_path / "..2").mkdir(exist_ok=True)
        (tmp_path / "..2" / path.name).write_text(text)
        os.utime(tmp_path / "..2" / path.name, (clock.now + 6 - age,) * 2)
        (tmp_path / "..new").symlink_to("..2")
        (tmp_path / "..new").replace(tmp_path / "..data")

    replaced("acme.masking = 'none'", 1)
    assert after(6) == ("all", "Say du.")
    assert after(6) == ("none", "")
    path.unlink()
    assert after(6) == ("none", "")
    assert "is missing, is empty or can't be read" in tenants.problems[0].sentence


def test_the_schema_knows_each_key_and_no_secret(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["config", "schema"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed == json_schema()
    sections = printed["$defs"]
    assert all(section["additionalProperties"] is False for section in sections.values() if "properties" in section)
    assert {key.rpartition(".")[2] for key in FIELDS} <= {
        key for section in sections.values() for key in section.get("properties", {})
    }
    assert "secret" not in sections["WebhookSection"]["properties"]


BEFORE = {
    "WEBHOOK_REQUIRE_TIMESTAMP_ACME": "TRUE",
    "WEBHOOK_MODE_ACME": "Poll",
    "RECONCILE_ACME": "On",
    "SERVICEDESK_PORTAL_ID_ACME": "2",
    "SERVICEDESK_CLIENT_ID_ACME": "1000.id",
    "SERVICEDESK_ACCOUNTS_URL_ACME": "https://accounts.zoho.eu/",
    "SERVICEDESK_RATE_PER_MINUTE_ACME": "300",
    "SERVICEDESK_FAILURE_NOTE_ACME": "Context",
    "SERVICEDESK_HISTORY_DAYS_ACME": "730",
    "SERVICEDESK_CONVERSATION_ACME": "copy",
    "SERVICEDESK_EMBEDDINGS_ACME": "Local",
    "SERVICEDESK_LANGUAGES_ACME": "EN, de",
    "SERVICEDESK_CLOSED_STATUSES_ACME": "Done, gelöst ,GELÖST",
    "TICKETS_ONLY_ACME": "category: Network, category:E-Mail ,event:ticket.created",
    "TICKETS_NEVER_ACME": "group:HR",
    "CONTEXT_WITHIN_ACME": "site:Graz",
    "CONTEXT_NEVER_TOPICS_ACME": "Drafts, Old  Ones",
    "MODE_ACME": "Dry-Run",
    "MASKING_ACME": "all",
    "NOTE_LANGUAGE_ACME": "De",
    "NOTE_RULES_ACME": 'Say "du".\nAlways.\x7f',
    "NOTE_IF_NOTHING_FOUND_ACME": "none",
    "NOTE_IF_REOPENED_ACME": "write",
    "NOTE_PROMPT_TOKENS_ACME": "4000",
    "AUDIT_DAYS_ACME": "30",
    "OPENAI_BASE_URL_ACME": "https://model.acme.example/v1/",
    "OPENAI_MODEL_ACME": "big",
    "OPENAI_DAILY_TOKENS_ACME": "1000",
    "OPENAI_DAILY_DOLLARS_ACME": "2.50",
    "JOBS_WEIGHT_ACME": "0.5",
    "JOBS_MOST_RUNNING_ACME": "5",
    "JOBS_MOST_WAITING_ACME": "9",
}

Migrate = Callable[[dict[str, str], str], tuple[int, str, str]]


@pytest.fixture
def migrate(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Migrate:
    """Run `ai-agents config migrate`; return its status, output and problems."""

    def run(values: dict[str, str], file: str) -> tuple[int, str, str]:
        (tmp_path / "old.toml").write_text(file)
        for name, value in (values | {"TENANTS_FILE": str(tmp_path / "old.toml")}).items():
            monkeypatch.setenv(name, value)
        return main(["config", "migrate"]), *capsys.readouterr()

    return run


def test_migrate_prints_a_file_with_each_variable_of_before(migrate: Migrate) -> None:
    assert {f"{name}_ACME" for name in REMOVED} == BEFORE.keys()
    own = ACME | {"OPENAI_API_KEY_ACME": "k", "WEBHOOK_SECRET_ACME_EU": "s"}
    status, printed, problems = migrate(BEFORE | own, "acme-eu.tickets.never.group = ['HR', 'Legal']")
    assert (status, problems) == (0, "")
    tables = tomllib.loads(printed)
    assert tables["acme-eu"] == {"tickets": {"never": {"group": ["HR", "Legal"]}}}
    acme_table = tables["acme"].values()
    assert sum(len(section) if isinstance(section, dict) else 1 for section in acme_table) == len(REMOVED)
    acme = parse_tenants(own | {TENANTS_TOML: printed})[0]["acme"]
    assert (acme.polled, acme.recovers, acme.require_timestamp, acme.dry_run) == (True, True, True, True)
    assert (acme.audit_days, acme.share.weight) == (30, 0.5)
    assert acme.rules.only == {"category": {"network", "e-mail"}, "event": {"ticket.created"}}
    assert acme.rules.never == {"group": {"hr"}}
    assert acme.rules.within == {"site": {"graz"}}
    assert acme.rules.never_topics == {"drafts", "old ones"}
    desk, note, model = acme.desk, acme.note, acme.model
    assert desk is not None
    assert (desk.portal_id, desk.history_days, desk.conversation, desk.embeddings) == ("2", 730, True, "local")
    assert (desk.languages, desk.failure_note) == (("en", "de"), True)
    assert desk.closed_statuses == {"done", "gelöst"}
    assert note.prompt_bytes == 16_000
    assert (note.rules, note.if_nothing_found, note.if_reopened) == ('Say "du".\nAlways.\x7f', False, True)
    assert (model.api_key, model.base_url, model.model) == ("k", "https://model.acme.example/v1", "big")
    assert (model.daily_tokens, model.daily_dollars) == (1000, 2.5)


@pytest.mark.parametrize(
    ("values", "file", "told"),
    [
        ({"MODE_ACME": "hunter2"}, "", "acme.mode in tenants.toml: "),
        ({"JOBS_WEIGHT_ACME": "hunter2"}, "", "JOBS_WEIGHT_ACME must be a number"),
        ({"TICKETS_NEVER_ACME": "hunter2"}, "", "TICKETS_NEVER_ACME must be KIND:NAME"),
        ({"MODE_ACME": "live"}, "acme.mode = 'live'", "MODE_ACME and acme.mode in tenants.toml are both set"),
        ({"MODE_ACME": "live"}, "acme = 'hunter2'", "acme in tenants.toml: must be a table"),
        ({"MODE_ACME": "live"}, "acme =", "tenants.toml is no TOML"),
    ],
)
def test_migrate_names_what_is_wrong(migrate: Migrate, values: dict[str, str], file: str, told: str) -> None:
    status, _, problems = migrate(ACME | values, f"# Old.\n{file}")
    assert status == 78
    assert problems.startswith(told)
