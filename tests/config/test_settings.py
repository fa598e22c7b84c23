"""Settings: wrong ones are named without values; files win over the environment."""

from collections.abc import Callable
from pathlib import Path

import pytest

from config.settings import (
    ApiSettings,
    HousekeepingSettings,
    LogSettings,
    MigrateSettings,
    SettingsError,
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
    with pytest.raises(SettingsError) as refused:
        load(kind)
    assert str(refused.value) == "; ".join(refused.value.problems)
    return refused.value.problems


ODD_OPTIONS = [
    f"postgresql://app:pw@db/x?{odd}" for odd in ("sslmode=verify-full&sslrootcert=/nowhere/hunter2.pem", "hunter2=1")
]
ODD_REDIS = [
    *("http://:hunter2@redis", "redis://:hunter2@redis:port/0", "redis://redis:6379/hunter2"),
    "rediss://redis:6379/0?ssl_ca_certs=/nowhere/hunter2.pem",
]
ODD_PROXIES = [
    *("socks5://hunter2:1080", "http://acme:hunter2@", "http://acme:hunt#er2@proxy:3128", "http://proxy:3128/hunter2")
]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(
            ("DATABASE_URL", url)
            for url in ("mysql://app:hunter2@db/x", "hunter2", "postgresql://app:hunter2@db:port/x", *ODD_OPTIONS)
        ),
        *(("REDIS_URL", url) for url in ODD_REDIS),
        *(("OPENAI_BASE_URL", url) for url in ("ftp://hunter2", "https://")),
        *(("HTTPS_PROXY", url) for url in ODD_PROXIES),
        ("OPENAI_CA_BUNDLE", "/hunter2.pem"),
        *((name, "hunter2") for name in ("LOG_FORMAT", "LOG_LEVEL", "WORKER_CONCURRENCY")),
        *((name, "0") for name in ("WORKER_CONCURRENCY", "OPENAI_TIMEOUT_SECONDS", "METRICS_PORT", "API_PROBE_PORT")),
        *((name, "-1") for name in ("JOB_DEADLINE_SECONDS", "WORKER_GRACE_SECONDS")),
        ("WORKER_CONCURRENCY", "4097"),
        ("OPENAI_DEADLINE_SECONDS", "nan"),
        ("CONTEXT_TIMEOUT_SECONDS", "inf"),
        ("SERVICEDESK_TIMEOUT_SECONDS", "ten hunter2"),
        ("LEASE_SECONDS", "0.5"),
        ("LEASE_SECONDS", "60"),
        ("NOTE_SETTLE_SECONDS", "9.9"),
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
        ({"OPENAI_FALLBACK_API_KEY": "k"}, "OPENAI_FALLBACK_API_KEY is wrong: requires OPENAI_FALLBACK_MODEL"),
        (
            MODEL | {"OPENAI_FALLBACK_BASE_URL": "https://models.example/v1"},
            "OPENAI_FALLBACK_BASE_URL is wrong: requires OPENAI_FALLBACK_API_KEY",
        ),
        # Feedback has an address and a key, or neither.
        ({}, None),
        (FEEDBACK, None),
        (FEEDBACK | {"FEEDBACK_URL": URL + "/n%C3%B6tig", "FEEDBACK_KEY": f"{KEY}\n"}, None),
        ({"FEEDBACK_URL": URL}, "FEEDBACK_KEY is wrong: must be set if FEEDBACK_URL is set"),
        ({"FEEDBACK_KEY": KEY}, "FEEDBACK_KEY is wrong: requires FEEDBACK_URL"),
        (FEEDBACK | {"FEEDBACK_KEY": "hunter2"}, "FEEDBACK_KEY is wrong: must have at least 32 characters"),
        (FEEDBACK | {"FEEDBACK_URL": "ftp://hunter2"}, "FEEDBACK_URL is wrong: must begin with http"),
        (FEEDBACK | {"FEEDBACK_URL": "hunter2"}, "FEEDBACK_URL is wrong: must begin with http"),
        (FEEDBACK | {"FEEDBACK_URL": "https://a:hunter2@f"}, "FEEDBACK_URL is wrong: must be http(s)://HOST"),
        *(
            (FEEDBACK | {"FEEDBACK_URL": f"{URL}/hunter2{odd}x"}, "FEEDBACK_URL is wrong: must be http(s)://HOST")
            for odd in ("?", " ", '"', "'", "<", ">", "`", "\\", "%", "%zz", "ö")
        ),
        ({"FEEDBACK_PREVIOUS_KEY": KEY}, "FEEDBACK_PREVIOUS_KEY is wrong: requires FEEDBACK_KEY"),
        (FEEDBACK | {"FEEDBACK_PREVIOUS_KEY": "short"}, "FEEDBACK_PREVIOUS_KEY is wrong: must have at least 32"),
        ({"FEEDBACK_PORT": "0"}, "FEEDBACK_PORT is wrong"),
    ],
)
def test_settings_that_need_each_other(given: dict[str, str], said: str | None, configure: Configure) -> None:
    configure(**COMPLETE | given)
    kinds: list[type[LogSettings]] = [WorkerSettings, ApiSettings]
    for kind in [kind for kind in kinds if all(name.lower() in kind.model_fields for name in given)]:
        if said is None:
            assert (load(kind).model_dump()["feedback_key"] == KEY) == ("FEEDBACK_KEY" in given)
        else:
            (sentence,) = problems(kind)
            assert sentence.startswith(said)
            assert "hunter2" not in sentence


def test_an_empty_variable_is_unset(tmp_path: Path, configure: Configure, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty `SECRETS_DIR` is not the folder that a process begins in."""
    (tmp_path / "LOG_FORMAT").write_text("json")
    monkeypatch.chdir(tmp_path)
    configure(**COMPLETE | {"REDIS_URL": "", "LOG_FORMAT": "", "WORKER_CONCURRENCY": "", "SECRETS_DIR": ""})
    assert problems(WorkerSettings) == ["REDIS_URL is missing"]
    configure(REDIS_URL="redis://redis:6379/0")
    settings = load(WorkerSettings)
    assert (settings.log_format, settings.worker_concurrency, settings.secrets_dir) == ("text", 128, None)


def test_files_that_are_not_empty_win_over_the_environment(tmp_path: Path, configure: Configure) -> None:
    (tmp_path / "DATABASE_URL").write_text("postgresql://app:from-a-file@db/x\n")
    (tmp_path / "LOG_LEVEL").write_text("ERROR")
    (tmp_path / "HTTPS_PROXY").write_text("http://acme:hunter2@proxy:3128\n")
    (tmp_path / "WEBHOOK_SECRET_ACME").write_text("not one of these")
    (tmp_path / "..data").mkdir()
    for empty in ("REDIS_URL", "LOG_FORMAT"):
        (tmp_path / empty).write_text("\n")
    configure(**COMPLETE, LOG_LEVEL="DEBUG", HTTPS_PROXY="http://other:3128", SECRETS_DIR=str(tmp_path))
    settings = load(WorkerSettings)
    assert settings.database_url == "postgresql://app:from-a-file@db/x"
    assert (settings.log_level, settings.redis_url) == ("ERROR", COMPLETE["REDIS_URL"])
    assert (settings.log_format, settings.https_proxy) == ("text", "http://acme:hunter2@proxy:3128")
    (tmp_path / "REDIS_URL").write_bytes(b"redis://\xff\xfe")
    assert any("REDIS_URL" in sentence for sentence in problems(ApiSettings))


def test_a_secrets_directory_that_is_none_is_named(tmp_path: Path, configure: Configure) -> None:
    configure(**COMPLETE, SECRETS_DIR=str(tmp_path / "nowhere"))
    assert problems(ApiSettings) == ["SECRETS_DIR is not a directory"]
    configure(DATABASE_URL="")
    assert set(problems(ApiSettings)) == {"SECRETS_DIR is not a directory", "DATABASE_URL is missing"}


@pytest.mark.parametrize(
    ("name", "given", "used"),
    [
        ("OPENAI_BASE_URL", "https://openrouter.ai/api/v1/", "https://openrouter.ai/api/v1"),
        ("DATABASE_URL", "postgres://app:pw@db/x", "postgresql://app:pw@db/x"),
        # A TLS address is verified, however odd it is.
        *(
            ("REDIS_URL", f"rediss://h:6379/0{odd}", "rediss://h:6379/0?ssl_cert_reqs=required")
            for odd in ("", "?", "#x", "?ssl_cert_reqs=")
        ),
    ],
)
def test_addresses_are_made_uniform(name: str, given: str, used: str, configure: Configure) -> None:
    configure(**COMPLETE | {name: given})
    assert load(WorkerSettings).model_dump()[name.lower()] == used


@pytest.mark.parametrize("names", [("HTTPS_PROXY", "NO_PROXY"), ("https_proxy", "no_proxy")])
@pytest.mark.parametrize(
    ("given", "used"),
    [
        ("http://proxy:3128/", "http://proxy:3128"),
        ("proxy:3128", "http://proxy:3128"),
        ("https://acme:p%40ss@proxy", "https://acme:p%40ss@proxy"),
    ],
)
def test_a_proxy_is_kept_out_of_texts(given: str, used: str, names: tuple[str, str], configure: Configure) -> None:
    configure(**COMPLETE, **dict(zip(names, (given, ".corp.example, 10.1.2.3"), strict=True)))
    settings = load(HousekeepingSettings)
    assert (settings.https_proxy, settings.no_proxy) == (used, ".corp.example, 10.1.2.3")
    assert used not in repr(settings)
