"""The settings of each process, read once at its start, each one named and checked.

A process asks only for what it uses (`load(ApiSettings)`). Files in `SECRETS_DIR` are named like the settings and
win over the environment. Settings of a tenant (`WEBHOOK_SECRET_<TENANT>` and its siblings) are in `config.tenants`.
"""

import os
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import AfterValidator, Field, ValidationError, ValidationInfo, field_validator
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from config.urls import Certificates, HttpUrl, PostgresUrl, ProxyUrl, RedisUrl

_METRICS_PORT: Any = Field(
    None,
    ge=1,
    le=65535,
    description="Port of `/metrics` and `/ready`, on all addresses; the API has `API_PROBE_PORT`.",
)
_SHORTEST_KEY = 32


def _header_key(key: str) -> str:
    """Return the key if it can stand in a header as it is. Raises ValueError."""
    if len(key) < _SHORTEST_KEY or not key.isascii() or not key.isprintable() or " " in key:
        raise ValueError(f"must be {_SHORTEST_KEY} characters at least, without blanks")
    return key


class SettingsRefused(Exception):
    """A process can't start with these settings; `problems` has one sentence for each, without any value."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("; ".join(problems))
        self.problems = problems


class _SecretFiles(PydanticBaseSettingsSource):
    """The files of `SECRETS_DIR` that are named like a setting. Empty ones count as unset, like empty variables."""

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:  # noqa: ARG002
        """The text of the setting's file, or None."""
        folder = os.environ.get("SECRETS_DIR")
        path = Path(folder or "") / field_name.upper()
        try:
            if not folder or not path.is_file():
                return None, field_name, False
            return path.read_text(encoding="utf-8").strip() or None, field_name, False
        except (OSError, UnicodeDecodeError):
            raise SettingsRefused([f"{field_name.upper()} is wrong: its file can't be read as text"]) from None

    def __call__(self) -> dict[str, Any]:
        """All that have a file with something in it."""
        found = {name: self.get_field_value(field, name)[0] for name, field in self.settings_cls.model_fields.items()}
        return {name: value for name, value in found.items() if value is not None}


class LogSettings(BaseSettings):
    """What each process needs to write its lines."""

    model_config = SettingsConfigDict(
        env_ignore_empty=True, hide_input_in_errors=True, extra="ignore", frozen=True, allow_inf_nan=False
    )

    log_format: Literal["text", "json"] = Field("text", description="Format of the log lines.")
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field(
        "INFO", description="Least level of the lines; lines that the FAQ promises are printed at any level."
    )
    secrets_dir: Path | None = Field(
        None, description="Directory with one file a setting, named like it; wins over the environment."
    )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003 -- there is no .env file, by design
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003 -- replaced by the one that knows the folder
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Files first, then the environment, then what stands for a setting that is not given."""
        return _SecretFiles(settings_cls), env_settings, init_settings


class JobSettings(LogSettings):
    """What everything needs that touches the rows of jobs."""

    database_url: PostgresUrl = Field(
        description="Postgres, as the application's role: `postgresql://USER:PASSWORD@HOST:PORT/ai_agents`."
    )
    job_deadline_seconds: int = Field(
        1800,
        gt=0,
        description="A job that has not ended by then is failed; waits for a desk's rate are not counted, up to a day.",
    )


class ByHandSettings(JobSettings):
    """Settings of `ai-agents jobs`, `show` and `retry`."""


class StoreSettings(JobSettings):
    """What each process needs that touches jobs."""

    redis_url: RedisUrl = Field(
        description="Redis: `redis://HOST:6379/0`; `rediss://` with TLS, whose certificate is verified, by "
        "`?ssl_ca_certs=FILE` where a private CA signed it."
    )


class ForgetSettings(StoreSettings):
    """Settings of `ai-agents forget`."""


class ApiSettings(StoreSettings):
    """Settings of `ai-agents api`."""

    webhook_timeout_seconds: float = Field(
        10, gt=0, description="Longest time for the headers of a request, and again for its body."
    )
    api_probe_port: int | None = Field(
        None,
        ge=1,
        le=65535,
        description="Port of `/health/live`, `/health/ready`, `/metrics` and `/docs`, on all addresses; without it the "
        "first three are at the webhook's port.",
    )


class DeskClientSettings(StoreSettings):
    """What each process needs that calls ServiceDesk Plus."""

    servicedesk_timeout_seconds: float = Field(10, gt=0, description="Longest wait for one answer of ServiceDesk Plus.")
    servicedesk_ca_bundle: Certificates | None = Field(
        None, description="Certificates (PEM) of a private CA that signs the desks' certificates."
    )
    https_proxy: ProxyUrl | None = Field(
        None,
        repr=False,
        description="Proxy for all calls to desks, accounts hosts and models at `https://`: `http://HOST:PORT`, with "
        "`USER:PASSWORD@` before the host where it asks for one. In small letters too. `http://` addresses go past it.",
    )
    no_proxy: str | None = Field(
        None,
        description="Names that are called past the proxy, with commas between them: a domain with all that is below "
        "it, an IP address, either with a port, or `*` alone for all. No ranges of addresses. This host always is.",
    )


class BackgroundSettings(DeskClientSettings):
    """What each process needs that has no HTTP interface of its own."""

    metrics_port: int | None = _METRICS_PORT
    worker_stuck_seconds: float = Field(
        60,
        ge=1,
        description="A worker that takes no job for this long, though jobs wait and it has room, ends itself; so does "
        "housekeeping that stands still for longer than its work may take.",
    )


class WorkerSettings(BackgroundSettings):
    """Settings of `ai-agents worker`."""

    openai_api_key: str = Field(
        description="Key of OpenAI or OpenRouter; not needed while each tenant with a desk has one of its own."
    )
    openai_base_url: HttpUrl = Field(
        "https://api.openai.com/v1", description="OpenRouter: `https://openrouter.ai/api/v1`."
    )
    openai_ca_bundle: Certificates | None = Field(
        None, description="Certificates (PEM) of a private CA that signs the certificate of the model's endpoint."
    )
    openai_model: str = Field("gpt-6-luna", description="Model that is asked for; any that does chat completions.")
    openai_fallback_model: str | None = Field(
        None, description="Asked while the first is down; not for a tenant with an address or a key of its own."
    )
    openai_fallback_api_key: str | None = Field(None, description="Its key, where that is another one.")
    openai_fallback_base_url: HttpUrl | None = Field(None, description="Its address, likewise; then with its key.")
    openai_timeout_seconds: float = Field(30, gt=0, description="Longest silence (no content) of GPT-4.")
    openai_deadline_seconds: float = Field(120, gt=0, description="Longest time for one whole answer of GPT-4.")
    context_timeout_seconds: float = Field(30, gt=0, description="Longest time for gathering context.")
    attempt_timeout_seconds: float = Field(240, gt=0, description="Longest time for one attempt at a job.")
    note_settle_seconds: float = Field(
        60,
        gt=0,
        description="Wait before a note of unknown outcome is posted again, if it is not there; "
        "`SERVICEDESK_TIMEOUT_SECONDS` at least.",
    )
    lease_seconds: float = Field(
        45, ge=1, lt=60, description="A worker that does not renew its claim for this long has lost the job."
    )
    worker_concurrency: int = Field(128, gt=0, le=1024, description="Jobs in flight in one worker process.")
    worker_grace_seconds: float = Field(
        50, ge=0, description="Time that running jobs have to end after SIGTERM before they are given back."
    )

    @field_validator("openai_fallback_api_key", "openai_fallback_base_url")
    @classmethod
    def _belongs_to_a_fallback(cls, value: str | None, info: ValidationInfo) -> str | None:
        # The key of the first must not be sent to another address.
        needed = "openai_fallback_" + ("model" if info.field_name == "openai_fallback_api_key" else "api_key")
        if value is not None and info.data.get(needed, "") is None:
            raise ValueError(f"it needs {needed.upper()}")
        return value

    @field_validator("note_settle_seconds")
    @classmethod
    def _settles_after_the_call(cls, seconds: float, info: ValidationInfo) -> float:
        # It counts from before the call: a note could be posted again while the first call is still under way.
        if seconds < info.data.get("servicedesk_timeout_seconds", 0):
            raise ValueError("must not be below SERVICEDESK_TIMEOUT_SECONDS: the note may come as late as that")
        return seconds


class HousekeepingSettings(BackgroundSettings):
    """Settings of `ai-agents housekeeping`."""

    sync_interval_seconds: float = Field(
        300, gt=0, description="Time between two copies of a desk's newest tickets and solutions."
    )
    keep_text_days: int = Field(
        30,
        ge=1,
        le=36500,
        description="GPT-4's answers are purged so long after their job's end; copies of tickets and solutions, after "
        "the desk last listed them, or as soon as it says that they are gone.",
    )
    keep_jobs_days: int = Field(90, ge=1, le=36500, description="The rows of jobs are purged so long after their end.")


class SignerSettings(LogSettings):
    """Settings of `ai-agents signer`."""

    signer_key: Annotated[str, AfterValidator(_header_key)] = Field(
        description="What the desk sends as `X-Signer-Key`, so that nobody else's webhooks are signed; 32 characters "
        "at least."
    )
    signer_spool_dir: Path = Field(
        description="Directory for webhooks that the API has not accepted yet (ids only), on a disk that outlives the "
        "process; each tenant's signer needs its own."
    )
    signer_spool_megabytes: int = Field(
        64,
        ge=1,
        le=10_000,
        description="Largest size of that, at 4 KiB a webhook; past it the desk's webhooks are refused.",
    )
    signer_ca_bundle: Certificates | None = Field(
        None, description="Certificates (PEM) of a private CA that signs the API's certificate."
    )
    metrics_port: int | None = _METRICS_PORT


class MigrateSettings(LogSettings):
    """Settings of `ai-agents migrate`."""

    database_admin_url: PostgresUrl = Field(description="Postgres, as the owner of the tables; for migrations only.")
    database_url: PostgresUrl = Field(description="Tells the application's role, which the migration grants to.")


ProcessSettings = TypeVar("ProcessSettings", bound=LogSettings)


def load(kind: type[ProcessSettings], **defaults: Any) -> ProcessSettings:
    """Read the settings of one process; `defaults` stand for settings that are not given.

    Raises SettingsRefused with a sentence for each setting that is missing or wrong.
    """
    problems: list[str] = []
    folder = os.environ.get("SECRETS_DIR")
    if folder and not os.path.isdir(folder):  # noqa: PTH112 -- pathlib's raises where it may not look
        problems.append("SECRETS_DIR is not a directory")
    try:
        settings = kind(**defaults)
    except ValidationError as failure:
        problems += [_sentence(dict(problem)) for problem in failure.errors()]
    except SettingsRefused as refused:
        problems += refused.problems
    else:
        if not problems:
            return settings
    raise SettingsRefused(problems)


def _sentence(problem: dict[str, object]) -> str:
    """One problem as pydantic reports it, without the value, which may be a secret."""
    location = problem["loc"]
    name = str(location[0]).upper() if isinstance(location, tuple) and location else "settings"
    if problem["type"] == "missing":
        return f"{name} is missing"
    what = str(problem["msg"]).removeprefix("Value error, ")
    return f"{name} is wrong: {what[0].lower()}{what[1:]}"
