"""Settings: wrong ones are named without values; files win over the environment."""

from collections.abc import Callable
from pathlib import Path

import pytest

from config.settings import (
    ApiSettings,
    HousekeepingSettings,
    LogSettings,
    MigrateSettings,
    SettingsRefused,
    WorkerSettings,
    load,
)

COMPLETE = {
    "DATABASE_URL": "postgresql://app:pw@db:5432/ai_agents",
    "DATABASE_ADMIN_URL": "postgresql://owner:pw@db:5432/ai_agents",
    "REDIS_URL": "redis://redis:6379/0",
    "OPENAI_API_KEY": "sk-1",
}
Configure = Callable[..., None]


@pytest.fixture
def configure(monkeypatch: pytest.MonkeyPatch) -> Configure:
    """Set these settings and remove all others of ours."""
    for kind in (ApiSettings, WorkerSettings, HousekeepingSettings, MigrateSettings):
        for name in kind.model_fields:
            monkeypatch.delenv(name.upper(), raising=False)

    def set_all(**values: str) -> None:
        for name, value in values.items():
            monkeypatch.setenv(name, value)

    return set_all


def problems(kind: type[LogSettings]) -> list[str]:
    with pytest.raises(SettingsRefused) as refused:
        load(kind)
    assert str(refused.value) == "; ".join(refused.value.problems)
    return refused.value.problems


@pytest.mark.parametrize(
    ("kind", "needed"),
    [
        (ApiSettings, {"DATABASE_URL", "REDIS_URL"}),
        (HousekeepingSettings, {"DATABASE_URL", "REDIS_URL"}),
        (WorkerSettings, {"DATABASE_URL", "REDIS_URL", "OPENAI_API_KEY"}),
        (MigrateSettings, {"DATABASE_URL", "DATABASE_ADMIN_URL"}),
    ],
)
def test_every_missing_setting_is_named_and_only_what_the_process_uses(
    kind: type[LogSettings], needed: set[str], configure: Configure
) -> None:
    assert set(problems(kind)) == {f"{name} is missing" for name in needed}
    configure(**{name: COMPLETE[name] for name in needed})
    assert load(kind).log_format == "text"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("DATABASE_URL", "mysql://app:hunter2@db/x"),
        ("DATABASE_URL", "hunter2"),
        ("DATABASE_URL", "postgresql://app:hunter2@db:port/x"),
        ("REDIS_URL", "http://:hunter2@redis"),
        ("REDIS_URL", "redis://:hunter2@redis:port/0"),
        ("REDIS_URL", "redis://redis:6379/hunter2"),
        ("REDIS_URL", "rediss://redis:6379/0?ssl_ca_certs=/nowhere/hunter2.pem"),
        ("DATABASE_URL", "postgresql://app:pw@db/x?sslmode=verify-full&sslrootcert=/nowhere/hunter2.pem"),
        ("DATABASE_URL", "postgresql://app:pw@db/x?hunter2=1"),
        ("OPENAI_BASE_URL", "ftp://hunter2"),
        ("OPENAI_CA_BUNDLE", "/hunter2.pem"),
        ("HTTPS_PROXY", "socks5://hunter2:1080"),
        ("HTTPS_PROXY", "http://acme:hunter2@"),
        ("HTTPS_PROXY", "http://acme:hunt#er2@proxy:3128"),
        ("HTTPS_PROXY", "http://proxy:3128/hunter2"),
        ("OPENAI_BASE_URL", "https://"),
        ("LOG_FORMAT", "hunter2"),
        ("LOG_LEVEL", "hunter2"),
        ("WORKER_CONCURRENCY", "hunter2"),
        ("WORKER_CONCURRENCY", "0"),
        ("WORKER_CONCURRENCY", "4097"),
        ("JOB_DEADLINE_SECONDS", "-1"),
        ("OPENAI_TIMEOUT_SECONDS", "0"),
        ("OPENAI_DEADLINE_SECONDS", "nan"),
        ("CONTEXT_TIMEOUT_SECONDS", "inf"),
        ("SERVICEDESK_TIMEOUT_SECONDS", "ten hunter2"),
        ("LEASE_SECONDS", "0.5"),
        ("LEASE_SECONDS", "60"),
        ("NOTE_SETTLE_SECONDS", "9.9"),
        ("WORKER_GRACE_SECONDS", "-1"),
        ("METRICS_PORT", "0"),
        ("API_PROBE_PORT", "0"),
    ],
)
def test_a_wrong_setting_is_named_without_its_value(name: str, value: str, configure: Configure) -> None:
    configure(**COMPLETE | {name: value})
    (sentence,) = problems(ApiSettings if name == "API_PROBE_PORT" else WorkerSettings)
    assert sentence.startswith(f"{name} is wrong: ")
    assert "hunter2" not in sentence


URL, KEY = "https://feedback.example.com", "k" * 32
FEEDBACK = {"FEEDBACK_URL": URL, "FEEDBACK_KEY": KEY}
MODEL = {"OPENAI_FALLBACK_MODEL": "m"}
SETTLES = "NOTE_SETTLE_SECONDS is wrong: must not be below SERVICEDESK_TIMEOUT_SECONDS"


@pytest.mark.parametrize(
    ("given", "said"),
    [
        # A note settles no sooner than its call can end, whichever of the two was set.
        ({"NOTE_SETTLE_SECONDS": "4", "SERVICEDESK_TIMEOUT_SECONDS": "5"}, SETTLES),
        ({"SERVICEDESK_TIMEOUT_SECONDS": "61"}, SETTLES),
        ({"NOTE_SETTLE_SECONDS": "5", "SERVICEDESK_TIMEOUT_SECONDS": "5"}, None),
        # A fallback has a model, and for an address of its own a key.
        (MODEL, None),
        (MODEL | {"OPENAI_FALLBACK_API_KEY": "k"}, None),
        ({"OPENAI_FALLBACK_API_KEY": "k"}, "OPENAI_FALLBACK_API_KEY is wrong: it needs OPENAI_FALLBACK_MODEL"),
        (
            MODEL | {"OPENAI_FALLBACK_BASE_URL": "https://models.example/v1"},
            "OPENAI_FALLBACK_BASE_URL is wrong: it needs OPENAI_FALLBACK_API_KEY",
        ),
        # Feedback has an address and a key, or neither.
        ({}, None),
        (FEEDBACK, None),
        (FEEDBACK | {"FEEDBACK_URL": URL + "/n%C3%B6tig", "FEEDBACK_KEY": f"{KEY}\n"}, None),
        ({"FEEDBACK_URL": URL}, "FEEDBACK_KEY is wrong: must be set where FEEDBACK_URL is"),
        ({"FEEDBACK_KEY": KEY}, "FEEDBACK_KEY is wrong: it needs FEEDBACK_URL"),
        (FEEDBACK | {"FEEDBACK_KEY": "hunter2"}, "FEEDBACK_KEY is wrong: must be 32 characters at least"),
        (FEEDBACK | {"FEEDBACK_URL": "ftp://hunter2"}, "FEEDBACK_URL is wrong: must begin with http"),
        (FEEDBACK | {"FEEDBACK_URL": "hunter2"}, "FEEDBACK_URL is wrong: must begin with http"),
        (FEEDBACK | {"FEEDBACK_URL": "https://a:hunter2@f"}, "FEEDBACK_URL is wrong: must be http(s)://HOST"),
        *(
            (FEEDBACK | {"FEEDBACK_URL": f"{URL}/hunter2{odd}x"}, "FEEDBACK_URL is wrong: must be http(s)://HOST")
            for odd in ("?", " ", '"', "'", "<", ">", "`", "\\", "%", "%zz", "ö")
        ),
    ],
)
def test_settings_that_need_or_exclude_each_other(
    given: dict[str, str], said: str | None, configure: Configure
) -> None:
    configure(**COMPLETE | given)
    kinds = (WorkerSettings, ApiSettings) if "FEEDBACK" in str(given) else (WorkerSettings,)
    for kind in kinds:
        if said is None:
            assert (load(kind).model_dump()["feedback_key"] == KEY) == ("FEEDBACK_KEY" in given)
        else:
            (sentence,) = problems(kind)
            assert sentence.startswith(said)
            assert "hunter2" not in sentence


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"FEEDBACK_PREVIOUS_KEY": KEY}, "FEEDBACK_PREVIOUS_KEY is wrong: it needs FEEDBACK_KEY"),
        (FEEDBACK | {"FEEDBACK_PREVIOUS_KEY": "short"}, "FEEDBACK_PREVIOUS_KEY is wrong: must be 32"),
        ({"FEEDBACK_PORT": "0"}, "FEEDBACK_PORT is wrong"),
    ],
)
def test_the_key_before_and_the_port_of_feedback_are_checked(
    given: dict[str, str], said: str, configure: Configure
) -> None:
    configure(**COMPLETE | given)
    (sentence,) = problems(ApiSettings)
    assert sentence.startswith(said)


def test_all_that_is_missing_or_wrong_is_told_at_once(configure: Configure) -> None:
    configure(REDIS_URL="redis", LOG_LEVEL="loud", WORKER_CONCURRENCY="many")
    told = {sentence.split(" is ")[0] for sentence in problems(WorkerSettings)}
    assert told == {"REDIS_URL", "LOG_LEVEL", "WORKER_CONCURRENCY", "DATABASE_URL", "OPENAI_API_KEY"}


def test_an_empty_variable_is_unset(configure: Configure) -> None:
    configure(**COMPLETE | {"REDIS_URL": "", "LOG_FORMAT": "", "WORKER_CONCURRENCY": "", "SECRETS_DIR": ""})
    assert problems(WorkerSettings) == ["REDIS_URL is missing"]
    configure(REDIS_URL="redis://redis:6379/0")
    settings = load(WorkerSettings)
    assert (settings.log_format, settings.worker_concurrency, settings.secrets_dir) == ("text", 128, None)


def test_an_empty_secrets_directory_is_not_the_folder_that_a_process_begins_in(
    tmp_path: Path, configure: Configure, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "LOG_LEVEL").write_text("ERROR")
    monkeypatch.chdir(tmp_path)
    configure(**COMPLETE, SECRETS_DIR="")
    assert load(ApiSettings).log_level == "INFO"


def test_files_that_are_not_empty_win_over_the_environment(tmp_path: Path, configure: Configure) -> None:
    (tmp_path / "DATABASE_URL").write_text("postgresql://app:from-a-file@db/x\n")
    (tmp_path / "LOG_LEVEL").write_text("ERROR")
    (tmp_path / "WEBHOOK_SECRET_ACME").write_text("not one of these")
    (tmp_path / "..data").mkdir()
    for empty in ("REDIS_URL", "LOG_FORMAT"):
        (tmp_path / empty).write_text("\n")
    configure(**COMPLETE, LOG_LEVEL="DEBUG", SECRETS_DIR=str(tmp_path))
    settings = load(ApiSettings)
    assert settings.database_url == "postgresql://app:from-a-file@db/x"
    assert (settings.log_level, settings.redis_url) == ("ERROR", COMPLETE["REDIS_URL"])
    assert settings.log_format == "text"


def test_a_file_that_is_no_text_is_named(tmp_path: Path, configure: Configure) -> None:
    (tmp_path / "REDIS_URL").write_bytes(b"redis://\xff\xfe")
    configure(**COMPLETE, SECRETS_DIR=str(tmp_path))
    assert any("REDIS_URL" in sentence for sentence in problems(ApiSettings))


def test_a_secrets_directory_that_is_none_is_named_beside_what_is_missing_for_it(
    tmp_path: Path, configure: Configure
) -> None:
    configure(**COMPLETE, SECRETS_DIR=str(tmp_path / "nowhere"))
    assert problems(ApiSettings) == ["SECRETS_DIR is not a directory"]
    configure(DATABASE_URL="")
    assert set(problems(ApiSettings)) == {"SECRETS_DIR is not a directory", "DATABASE_URL is missing"}


def test_addresses_are_made_uniform(configure: Configure) -> None:
    configure(**COMPLETE, OPENAI_BASE_URL="https://openrouter.ai/api/v1/")
    assert load(WorkerSettings).openai_base_url == "https://openrouter.ai/api/v1"
    configure(DATABASE_URL="postgres://app:pw@db/x", REDIS_URL="rediss://redis:6380/0")
    settings = load(ApiSettings)
    assert (settings.database_url, settings.redis_url) == (
        "postgresql://app:pw@db/x",
        "rediss://redis:6380/0?ssl_cert_reqs=required",
    )


def test_the_defaults_are_those_that_were_decided(configure: Configure) -> None:
    configure(**COMPLETE)
    ruled = {
        "context_timeout_seconds": 30,
        "openai_model": "gpt-6-luna",
        "openai_timeout_seconds": 30,
        "openai_deadline_seconds": 120,
        "servicedesk_timeout_seconds": 10,
        "attempt_timeout_seconds": 240,
        "job_deadline_seconds": 1800,
        "worker_grace_seconds": 50,
        "worker_concurrency": 128,
    }
    settings = load(WorkerSettings).model_dump()
    assert {name: settings[name] for name in ruled} == ruled


def test_every_setting_says_what_it_is_for() -> None:
    for kind in (WorkerSettings, HousekeepingSettings, MigrateSettings):
        assert all(field.description for field in kind.model_fields.values())


@pytest.mark.parametrize("address", ["rediss://h:6379/0?", "rediss://h:6379/0#x", "rediss://h:6379/0?ssl_cert_reqs="])
def test_an_odd_address_with_tls_is_verified_all_the_same(address: str, configure: Configure) -> None:
    configure(DATABASE_URL="postgres://app:pw@db/x", REDIS_URL=address)
    assert load(ApiSettings).redis_url == "rediss://h:6379/0?ssl_cert_reqs=required"


@pytest.mark.parametrize("names", [("HTTPS_PROXY", "NO_PROXY"), ("https_proxy", "no_proxy")])
@pytest.mark.parametrize(
    ("given", "used"),
    [
        ("http://proxy:3128/", "http://proxy:3128"),
        ("proxy:3128", "http://proxy:3128"),
        ("https://acme:p%40ss@proxy", "https://acme:p%40ss@proxy"),
    ],
)
def test_a_proxy_is_named_as_others_name_it_and_kept_out_of_texts(
    given: str, used: str, names: tuple[str, str], configure: Configure
) -> None:
    configure(**COMPLETE, **dict(zip(names, (given, ".corp.example, 10.1.2.3"), strict=True)))
    settings = load(HousekeepingSettings)
    assert (settings.https_proxy, settings.no_proxy) == (used, ".corp.example, 10.1.2.3")
    assert used not in repr(settings)


def test_a_proxy_with_its_password_may_stand_in_a_file(tmp_path: Path, configure: Configure) -> None:
    (tmp_path / "HTTPS_PROXY").write_text("http://acme:hunter2@proxy:3128\n")
    configure(**COMPLETE, HTTPS_PROXY="http://other:3128", SECRETS_DIR=str(tmp_path))
    assert load(WorkerSettings).https_proxy == "http://acme:hunter2@proxy:3128"
