"""Settings of each process, loaded and validated once at its start (`load(ApiSettings)`).

Files in `SECRETS_DIR`, named like the settings, override the environment. Tenants' settings are in `config.tenants`.
Model keys are read again while a process runs; `config.tenant_directory` has the current ones.
"""

import os
import re
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, ValidationError, ValidationInfo, field_validator
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from config.addresses import (
    ODD_KEY,
    Certificates,
    HttpUrl,
    PostgresUrl,
    ProxyUrl,
    RedisUrl,
    address_problem,
    may_be_sent,
)
from config.secret_files import UNREADABLE, read_file, secrets_dir


class SettingsError(Exception):
    """Settings that prevent a start. `problems`: one sentence for each, without its value."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("; ".join(problems))
        self.problems = problems


class _SecretFiles(PydanticBaseSettingsSource):
    """Files of `SECRETS_DIR` named like a setting. Empty files count as unset, like empty variables."""

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:  # noqa: ARG002
        folder, name = secrets_dir(), field_name.upper()
        file = read_file(folder / name) if folder is not None else None
        if file is not None and file.text == UNREADABLE:
            raise SettingsError([f"{name} is wrong: its file can't be read as text"])
        return (file.text or None) if file is not None else None, field_name, False

    def __call__(self) -> dict[str, Any]:
        found = {name: self.get_field_value(field, name)[0] for name, field in self.settings_cls.model_fields.items()}
        return {name: value for name, value in found.items() if value is not None}


class LogSettings(BaseSettings):
    """Settings that every process needs for its log lines."""

    model_config = SettingsConfigDict(
        env_ignore_empty=True,
        hide_input_in_errors=True,
        extra="ignore",
        frozen=True,
        allow_inf_nan=False,
        use_attribute_docstrings=True,
    )

    log_format: Literal["text", "json"] = "text"
    """Format of the log lines."""
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    """Lowest level of the log lines; lines that the FAQ promises are logged at any level."""
    secrets_dir: Path | None = None
    """Directory with one file for each setting, of the same name; overrides the environment."""
    tenants_file: Path | None = None
    """Path of `tenants.toml` ([settings of a tenant](#settings-of-a-tenant)). Read again while a process runs."""

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003 -- there is no .env file, by design
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003 -- replaced by _SecretFiles
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return _SecretFiles(settings_cls), env_settings, init_settings


ProcessSettings = TypeVar("ProcessSettings", bound=LogSettings)


def load(kind: type[ProcessSettings], **defaults: Any) -> ProcessSettings:
    """Load the settings of one process; `defaults` replace unset ones. Raises SettingsError."""
    problems: list[str] = []
    folder = secrets_dir()
    if folder is not None and not os.path.isdir(folder):  # noqa: PTH112 -- pathlib's version raises without permission
        problems.append("SECRETS_DIR is not a directory")
    try:
        settings = kind(**defaults)
    except ValidationError as failure:
        problems += [_sentence(dict(problem)) for problem in failure.errors()]
    except SettingsError as refused:
        problems += refused.problems
    else:
        if not problems:
            return settings
    raise SettingsError(problems)


def _sentence(problem: dict[str, object]) -> str:
    """Format a pydantic problem without the value, which may be a secret."""
    location = problem["loc"]
    name = str(location[0]).upper() if isinstance(location, tuple) and location else "settings"
    if problem["type"] == "missing":
        return f"{name} is missing"
    what = str(problem["msg"]).removeprefix("Value error, ")
    return f"{name} is wrong: {what[0].lower()}{what[1:]}"


class TraceFileSettings(LogSettings):
    """Settings of processes that create or display spans."""

    traces_dir: Path | None = None
    """Directory for the spans of each process, in JSON files, also without a collector; the oldest files are deleted.
    `ai-agents trace` displays them."""


_SHORTEST_KEY = 32
FEWEST_CHARACTERS = 10
"""Least number of different characters of a key or token."""
# Characters allowed unescaped (RFC 3986), except those that end a link in text or HTML.
_AS_IN_A_LINK = re.compile(r"(?:[A-Za-z0-9._~:/\[\]!$&()*+,;=-]|%[0-9A-Fa-f]{2})+")


def _page_url(url: str) -> str:
    parts = urlsplit(url)
    if parts.query or parts.fragment or "@" in parts.netloc or not _AS_IN_A_LINK.fullmatch(url):
        raise ValueError("must be http(s)://HOST[:PORT][/PATH]")
    return url


def _signing_key(key: str) -> str:
    if len(key.strip()) < _SHORTEST_KEY:
        raise ValueError(f"must have at least {_SHORTEST_KEY} characters")
    return key.strip()


PageUrl = Annotated[HttpUrl, AfterValidator(_page_url)]
SigningKey = Annotated[str, AfterValidator(_signing_key)]


class FeedbackSettings(LogSettings):
    """Settings of processes that create or read feedback links."""

    feedback_url: PageUrl | None = None
    """Public address of the feedback page, e.g. `https://feedback.example.com`. Notes have a link to it if this and
    `FEEDBACK_KEY` are set; otherwise there is no page."""
    feedback_key: SigningKey | None = Field(None, repr=False, validate_default=True)
    """Key that signs the links, the same for API and workers; at least 32 characters."""

    @field_validator("feedback_key")
    @classmethod
    def _goes_with_the_address(cls, key: str | None, info: ValidationInfo) -> str | None:
        # An invalid address is reported by its own field.
        if "feedback_url" in info.data and (info.data["feedback_url"] is None) != (key is None):
            raise ValueError("requires FEEDBACK_URL" if key else "must be set if FEEDBACK_URL is set")
        return key


class FeedbackPageSettings(FeedbackSettings):
    """Settings of the process that serves the feedback page."""

    feedback_previous_key: SigningKey | None = Field(None, repr=False)
    """The previous key: links signed with it remain valid."""
    feedback_port: int = Field(8002, ge=1, le=65535)
    """Port of the feedback page only, on all addresses; open if `FEEDBACK_URL` is set."""

    @field_validator("feedback_previous_key")
    @classmethod
    def _goes_with_a_key(cls, key: str | None, info: ValidationInfo) -> str | None:
        if key is not None and info.data.get("feedback_key", "") is None:
            raise ValueError("requires FEEDBACK_KEY")
        return key


class MetricsSettings(LogSettings):
    """Settings of processes with a port for metrics only."""

    metrics_port: int | None = Field(None, ge=1, le=65535)
    """Port of `/metrics` and `/ready`, on all addresses; the API has `API_PROBE_PORT`."""


class ProxySettings(LogSettings):
    """Settings of processes that call servers on the internet."""

    https_proxy: ProxyUrl | None = Field(None, repr=False)
    """Proxy for all `https://` calls to desks, accounts hosts, models and an OpenID provider: `http://HOST:PORT`, or
    `http://USER:PASSWORD@HOST:PORT`. Also read in lower case. Not used for `http://` addresses."""
    no_proxy: str | None = None
    """Hosts called without the proxy, separated by commas: domains with their subdomains or IP addresses, either with a
    port, or `*` for all. No address ranges. The local host is always included."""


def _model_key(key: str) -> str:
    """Strip the line break that a shell or a file appends. Raises ValueError."""
    if not may_be_sent(key.strip()):
        raise ValueError(ODD_KEY)
    return key.strip()


ModelKey = Annotated[str, AfterValidator(_model_key)]


class JobSettings(LogSettings):
    """Settings of everything that accesses the job rows."""

    database_url: PostgresUrl
    """Postgres, as the application's role: `postgresql://USER:PASSWORD@HOST:PORT/ai_agents`."""
    job_deadline_seconds: int = Field(1800, gt=0)
    """An older job fails. Waits for a desk's rate, for a tenant's `jobs.most_running` or for an operator do not count,
    up to a day."""


class ByHandSettings(JobSettings):
    """Settings of `ai-agents jobs`, `show`, `retry`, `enhance`, `feedback`, `audit`, `documents` and `secrets`."""


class StoreSettings(JobSettings):
    """Settings of processes that access jobs."""

    redis_url: RedisUrl
    """Redis: `redis://HOST:6379/0`, or `rediss://` for TLS with a verified certificate; `?ssl_ca_certs=FILE` for a
    private CA."""


class ForgetSettings(StoreSettings):
    """Settings of `ai-agents forget`."""


class ApiSettings(TraceFileSettings, FeedbackPageSettings, StoreSettings):
    """Settings of `ai-agents api`."""

    webhook_timeout_seconds: float = Field(10, gt=0)
    """Longest time for the headers of a request, and again for its body."""
    api_probe_port: int | None = Field(None, ge=1, le=65535)
    """Port of `/health/live`, `/health/ready`, `/metrics` and `/docs`, on all addresses; if unset, the first three are
    at the webhook's port."""


class DeskClientSettings(ProxySettings, StoreSettings):
    """Settings of processes that call ServiceDesk Plus."""

    servicedesk_timeout_seconds: float = Field(10, gt=0)
    """Longest wait for one answer of ServiceDesk Plus."""
    servicedesk_ca_bundle: Certificates | None = None
    """Certificates (PEM) of a private CA that signs the desks' certificates."""


class SyncSettings(DeskClientSettings):
    """Settings of `ai-agents sync`."""


class BackgroundSettings(MetricsSettings, TraceFileSettings, DeskClientSettings):
    """Settings of processes without an HTTP interface."""

    worker_stuck_seconds: float = Field(60, ge=1)
    """A worker with free slots that takes no waiting job for so long exits, to be restarted. Housekeeping exits if its
    work is late by as much."""


class EmbeddingSettings(BackgroundSettings):
    """Settings of processes that compute embeddings."""

    embeddings_base_url: HttpUrl | None = None
    """Endpoint that receives the texts of tenants with `servicedesk.embeddings = "endpoint"`, e.g.
    `https://api.openai.com/v1`."""
    embeddings_api_key: ModelKey | None = None
    """Key of the embeddings endpoint."""
    embeddings_model: str = "text-embedding-3-small"
    """Embeddings model. After a change, the embeddings of all copies are computed again."""
    embeddings_ca_bundle: Certificates | None = None
    """Certificates (PEM) of a private CA that signs the endpoint's certificate."""


class ModelAddressSettings(EmbeddingSettings):
    """Settings of processes that call the model's server."""

    openai_base_url: HttpUrl = "https://api.openai.com/v1"
    """Address of the model's API; OpenRouter: `https://openrouter.ai/api/v1`."""
    openai_ca_bundle: Certificates | None = None
    """Certificates (PEM) of a private CA that signs the certificate of the model's endpoint."""


class WorkerSettings(FeedbackSettings, ModelAddressSettings):
    """Settings of `ai-agents worker` and `replay`."""

    openai_api_key: ModelKey
    """Key of OpenAI or OpenRouter; not required if each tenant with a desk has its own. A file in `SECRETS_DIR` is read
    again like a tenant's."""
    openai_model: str = "gpt-6-luna"
    """Model; any with chat completions."""
    openai_fallback_model: str | None = None
    """Second model, used while the first is down; not for tenants with an address or key of their own."""
    openai_fallback_api_key: ModelKey | None = None
    """Key of the fallback model, if it differs. Its file is read again likewise."""
    openai_fallback_base_url: HttpUrl | None = None
    """Address of the fallback model, if it differs; requires its own key."""
    openai_timeout_seconds: float = Field(30, gt=0)
    """Longest time without content from GPT-4."""
    openai_deadline_seconds: float = Field(120, gt=0)
    """Longest time for a complete answer of GPT-4."""
    context_timeout_seconds: float = Field(30, gt=0)
    """Longest time for gathering context."""
    attempt_timeout_seconds: float = Field(240, gt=0)
    """Longest time for one attempt at a job, without GPT-4's answer."""
    note_settle_seconds: float = Field(60, gt=0)
    """Wait before a missing note of unknown outcome is posted again; at least `SERVICEDESK_TIMEOUT_SECONDS`."""
    lease_seconds: float = Field(45, ge=1, lt=60)
    """A worker that does not renew its claim for so long loses the job."""
    worker_concurrency: int = Field(128, gt=0, le=1024)
    """Jobs in flight in one worker process."""
    worker_grace_seconds: float = Field(50, ge=0)
    """Time for running jobs to end after SIGTERM, before they are given back."""

    @field_validator("openai_fallback_api_key", "openai_fallback_base_url")
    @classmethod
    def _belongs_to_a_fallback(cls, value: str | None, info: ValidationInfo) -> str | None:
        # The primary model's key must not be sent to another address.
        needed = "openai_fallback_" + ("model" if info.field_name == "openai_fallback_api_key" else "api_key")
        if value is not None and info.data.get(needed, "") is None:
            raise ValueError(f"requires {needed.upper()}")
        return value

    @field_validator("note_settle_seconds")
    @classmethod
    def _settles_after_the_call(cls, seconds: float, info: ValidationInfo) -> float:
        # The wait starts before the call: after a shorter one, the first call could still post its note.
        if seconds < info.data.get("servicedesk_timeout_seconds", 0):
            raise ValueError("must not be below SERVICEDESK_TIMEOUT_SECONDS: the note may arrive as late as that")
        return seconds


class HousekeepingSettings(ModelAddressSettings):
    """Settings of `ai-agents housekeeping`."""

    sync_interval_seconds: float = Field(300, gt=0)
    """Time between two copies of a desk's newest tickets and solutions."""
    keep_text_days: int = Field(30, ge=1, le=36500)
    """Days until GPT-4's answers are purged, from the end of their job, and copies of tickets and solutions, from when
    the desk last listed them; copies of deleted ones go at once."""
    keep_jobs_days: int = Field(90, ge=1, le=36500)
    """Days until rows of ended jobs are purged."""
    reconcile_interval_seconds: float = Field(300, gt=0, le=1800)
    """Time between two checks of a desk's new tickets. A webhook counts as missed after so long
    ([Reconcile](reconcile.md))."""
    reconcile_window_hours: int = Field(24, ge=1, le=168)
    """Largest age of a ticket with a missed webhook whose job is created; at most half of `KEEP_JOBS_DAYS`."""


class MigrateSettings(LogSettings):
    """Settings of `ai-agents migrate`."""

    database_admin_url: PostgresUrl
    """Postgres, as the owner of the tables; for migrations only."""
    database_url: PostgresUrl
    """Address with the application's role, which gets the grants."""


def _without_user(url: str) -> str:
    if "@" in urlsplit(url).netloc:
        raise ValueError("must have no user and no password: it is printed in links")
    return url


class DiagnoseSettings(ByHandSettings):
    """Settings of `ai-agents diagnose`."""

    jaeger_url: Annotated[HttpUrl, AfterValidator(_without_user)] | None = None
    """Jaeger's address for people, e.g. `http://localhost:16686`: `diagnose` prints links to traces."""


class TraceSettings(TraceFileSettings, ByHandSettings):
    """Settings of `ai-agents trace` when it queries the database."""


def _origin(url: str) -> str:
    if (problem := address_problem(url, secure=True)) is not None:
        raise ValueError(problem)
    if not url.isascii():
        raise ValueError("must have an ASCII host name (xn--...), as browsers send it")
    parts = urlsplit(url)
    if parts.path.strip("/"):
        raise ValueError("must have no path: the console needs its own host or port")
    host, default = (parts.hostname or "").lower(), 443 if parts.scheme == "https" else 80
    named = f"[{host}]" if ":" in host else host
    return f"{parts.scheme}://{named}" + (f":{parts.port}" if parts.port not in (None, default) else "")


def _not_guessed(key: str) -> str:
    if len(set(key)) < FEWEST_CHARACTERS:
        raise ValueError(f"could be guessed: it has fewer than {FEWEST_CHARACTERS} different characters")
    return key


Origin = Annotated[str, AfterValidator(_origin)]
CookieKey = Annotated[SigningKey, AfterValidator(_not_guessed)]


class ConsoleSettings(MetricsSettings, ProxySettings, DiagnoseSettings, StoreSettings):
    """Settings of `ai-agents console`."""

    console_key: CookieKey = Field(repr=False)
    """Key that signs session cookies, the same for all consoles; at least 32 characters, ten of them different."""
    console_previous_key: CookieKey | None = Field(None, repr=False)
    """The previous key: sessions signed with it remain valid."""
    console_url: Origin | None = None
    """Public address of the console, e.g. `https://console.example.com`, without a path. Other `Host` headers are
    refused. Required unless it listens on the local host only."""
    console_ca_bundle: Certificates | None = None
    """Certificates (PEM) of a private CA that signs the OpenID provider's certificate."""
