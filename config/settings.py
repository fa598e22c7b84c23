"""Settings of each process, validated once at its start (`load(ApiSettings)`).

Files in `SECRETS_DIR`, named like the settings, override the environment. Tenants' settings are in `config.tenants`.
Model keys are read again while a process runs; `config.tenant_directory` has the current ones.
"""

import os
import re
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, ValidationError, ValidationInfo, field_validator
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, NoDecode, PydanticBaseSettingsSource, SettingsConfigDict

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
from config.prices import ModelPrices, parse_prices
from config.secret_files import UNREADABLE, read_file, secrets_dir


class SettingsError(Exception):
    """Settings that prevent a start. `problems`: a sentence for each, without values."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("; ".join(problems))
        self.problems = problems


class _SecretFiles(PydanticBaseSettingsSource):
    """Files of `SECRETS_DIR` named like a setting; empty files count as unset."""

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
    """Lowest level of the log lines; lines that the FAQ names are printed at any level."""
    secrets_dir: Path | None = None
    """Directory with one file per setting, named like the setting; overrides the environment."""
    tenants_file: Path | None = None
    """Path of `tenants.toml`, the [settings of tenants](#settings-of-a-tenant) except addresses and secrets. Reloaded
    while a process runs."""

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
    """Load a process's settings; `defaults` fill unset ones. Raises SettingsError."""
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
    message = str(problem["msg"]).removeprefix("Value error, ")
    return f"{name} is wrong: {message[0].lower()}{message[1:]}"


class TraceFileSettings(LogSettings):
    """Settings of processes that create or display spans."""

    traces_dir: Path | None = None
    """Directory for each process's spans as JSON files, for `ai-agents trace`; the oldest files are deleted. A
    collector receives the spans too."""


_MIN_KEY_LENGTH = 32
MIN_CHARACTERS = 10
"""Least number of different characters of a key or token."""
# Characters allowed unescaped (RFC 3986), except those that end a link in text or HTML.
_AS_IN_A_LINK = re.compile(r"(?:[A-Za-z0-9._~:/\[\]!$&()*+,;=-]|%[0-9A-Fa-f]{2})+")


def _page_url(url: str) -> str:
    parts = urlsplit(url)
    if parts.query or parts.fragment or "@" in parts.netloc or not _AS_IN_A_LINK.fullmatch(url):
        raise ValueError("must be http(s)://HOST[:PORT][/PATH]")
    return url


def _signing_key(key: str) -> str:
    if len(key.strip()) < _MIN_KEY_LENGTH:
        raise ValueError(f"must have at least {_MIN_KEY_LENGTH} characters")
    return key.strip()


PageUrl = Annotated[HttpUrl, AfterValidator(_page_url)]
SigningKey = Annotated[str, AfterValidator(_signing_key)]


class FeedbackSettings(LogSettings):
    """Settings of processes that create or read feedback links."""

    feedback_url: PageUrl | None = None
    """Public address of the feedback page: `https://feedback.example.com`. With `FEEDBACK_KEY`, each note gets a link
    to it; unset, there is no page."""
    feedback_key: SigningKey | None = Field(None, repr=False, validate_default=True)
    """Key that signs the feedback links; at least 32 characters, the same for API and workers."""

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
    """The previous `FEEDBACK_KEY`; links signed with it stay valid."""
    feedback_port: int = Field(8002, ge=1, le=65535)
    """Port of the feedback page alone, on all addresses; open if `FEEDBACK_URL` is set."""

    @field_validator("feedback_previous_key")
    @classmethod
    def _goes_with_a_key(cls, key: str | None, info: ValidationInfo) -> str | None:
        if key is not None and info.data.get("feedback_key", "") is None:
            raise ValueError("requires FEEDBACK_KEY")
        return key


class ProbeSettings(LogSettings):
    """Settings of processes with a port for metrics and probes."""

    metrics_host: str = ""
    """Address that `METRICS_PORT` and `API_PROBE_PORT` listen on; unset, all."""


class MetricsSettings(ProbeSettings):
    """Settings of processes with a port for metrics only."""

    metrics_port: int | None = Field(None, ge=1, le=65535)
    """Port of `/metrics` and `/ready`; the API uses `API_PROBE_PORT`."""


class ProxySettings(LogSettings):
    """Settings of processes that call servers on the internet."""

    https_proxy: ProxyUrl | None = Field(None, repr=False)
    """Proxy for calls to `https://` addresses of desks, accounts hosts, models and the OpenID provider:
    `http://[USER:PASSWORD@]HOST:PORT`. `https_proxy` works too. Calls to `http://` addresses are direct."""
    no_proxy: str | None = None
    """Hosts called without the proxy, separated by commas: a domain with its subdomains or an IP address, each with an
    optional port, or `*` for all. No address ranges. Localhost never uses the proxy."""


def _model_key(key: str) -> str:
    """Strip the line break that a shell or a file appends. Raises ValueError."""
    if not may_be_sent(key.strip()):
        raise ValueError(ODD_KEY)
    return key.strip()


ModelKey = Annotated[str, AfterValidator(_model_key)]


class JobSettings(LogSettings):
    """Settings of everything that accesses the job rows."""

    database_url: PostgresUrl
    """Address of Postgres with the application's role: `postgresql://USER:PASSWORD@HOST:PORT/ai_agents`."""
    job_deadline_seconds: int = Field(1800, gt=0)
    """Seconds after which a job fails. The time of waiting for a desk's rate limit, for `jobs.most_running` or for an
    operator does not count, up to a day."""


class PriceSettings(LogSettings):
    """Settings of processes that compute or show the cost of jobs."""

    model_prices: Annotated[ModelPrices, NoDecode, BeforeValidator(parse_prices)] = Field({}, validate_default=False)
    """Prices of models in dollars per million tokens, input/output: `gpt-4.1=2/8, gpt-4o-mini=0.15/0.60`. A name
    covers its dated snapshots. Needed for the cost of jobs unless the endpoint reports it (OpenRouter does). Calls are
    priced when they are paid, jobs without a cost when they are shown."""


class ByHandSettings(PriceSettings, JobSettings):
    """Settings of `jobs`, `show`, `retry`, `enhance`, `feedback`, `report`, `audit`, `documents` and `secrets`."""


class StoreSettings(JobSettings):
    """Settings of processes that access the job rows and Redis."""

    redis_url: RedisUrl
    """Address of Redis: `redis://HOST:6379/0`, or `rediss://` for TLS. For a private CA, append
    `?ssl_ca_certs=FILE`."""


class ForgetSettings(StoreSettings):
    """Settings of `ai-agents forget`."""


class ApiSettings(TraceFileSettings, FeedbackPageSettings, StoreSettings, ProbeSettings):
    """Settings of `ai-agents api`."""

    webhook_timeout_seconds: float = Field(10, gt=0)
    """Seconds allowed for the headers of a request, and again for its body."""
    api_probe_port: int | None = Field(None, ge=1, le=65535)
    """Port of `/health/live`, `/health/ready`, `/metrics` and `/docs`. Unset, the first three are on the webhook's
    port."""


class DeskClientSettings(ProxySettings, StoreSettings):
    """Settings of processes that call ServiceDesk Plus."""

    servicedesk_timeout_seconds: float = Field(10, gt=0)
    """Seconds to wait for one response of ServiceDesk Plus."""
    servicedesk_ca_bundle: Certificates | None = None
    """File of CA certificates (PEM) for desks with a private CA."""


class SyncSettings(DeskClientSettings):
    """Settings of `ai-agents sync`."""


class BackgroundSettings(MetricsSettings, TraceFileSettings, DeskClientSettings):
    """Settings of processes without an HTTP interface."""

    worker_stuck_seconds: float = Field(60, ge=1)
    """Seconds after which a worker exits, to be restarted, if it has free slots and takes none of the waiting jobs.
    Housekeeping exits if its work is this late."""


class EmbeddingSettings(BackgroundSettings):
    """Settings of processes that compute embeddings."""

    embeddings_base_url: HttpUrl | None = None
    """Address of the embeddings endpoint, such as `https://api.openai.com/v1`; receives the texts of tenants with
    `servicedesk.embeddings = "endpoint"`."""
    embeddings_api_key: ModelKey | None = None
    """API key of the embeddings endpoint."""
    embeddings_model: str = "text-embedding-3-small"
    """Model of the embeddings endpoint. After a change, all embeddings are computed again."""
    embeddings_ca_bundle: Certificates | None = None
    """File of CA certificates (PEM) for an embeddings endpoint with a private CA."""


class ModelAddressSettings(EmbeddingSettings):
    """Settings of processes that call the model's server."""

    openai_base_url: HttpUrl = "https://api.openai.com/v1"
    """Address of the model's API; OpenRouter: `https://openrouter.ai/api/v1`."""
    openai_ca_bundle: Certificates | None = None
    """File of CA certificates (PEM) for a model endpoint with a private CA."""


class WorkerSettings(PriceSettings, FeedbackSettings, ModelAddressSettings):
    """Settings of `ai-agents worker` and `replay`."""

    openai_api_key: ModelKey
    """API key of OpenAI or OpenRouter; optional if each tenant with a desk has its own. A file in `SECRETS_DIR` is
    reloaded while a process runs."""
    openai_model: str = "gpt-6-luna"
    """Model to use; any model with chat completions."""
    openai_api: Literal["chat", "responses"] = "chat"
    """API of the model's server: chat completions, or OpenAI's Responses API with `store: false`."""
    openai_reasoning_effort: Literal["auto", "none", "minimal", "low", "medium", "high"] = "auto"
    """Reasoning effort of the model. `auto`: `low` for models that always think, otherwise `none`."""
    openai_max_output_tokens: int | None = Field(None, ge=500)
    """Limit of an answer, with the model's thinking. Default: 2,000 tokens, and 10,000 if the model thinks."""
    openai_claim_check: bool = True
    """Check each answer with a second, smaller request: claims that their sources do not support are removed."""
    openai_check_model: str | None = None
    """Model of that second request, at the same server, instead of `OPENAI_MODEL`; not for tenants with their own
    address or key."""
    openai_fallback_model: str | None = None
    """Model to use while `OPENAI_MODEL` is down; not for tenants with their own address or key."""
    openai_fallback_api_key: ModelKey | None = None
    """API key of the fallback model, if different from `OPENAI_API_KEY`. Reloaded likewise."""
    openai_fallback_base_url: HttpUrl | None = None
    """Address of the fallback model, if different from `OPENAI_BASE_URL`; needs `OPENAI_FALLBACK_API_KEY`."""
    openai_timeout_seconds: float = Field(30, gt=0)
    """Seconds without content from GPT-4 after which a call times out."""
    openai_deadline_seconds: float = Field(120, gt=0)
    """Seconds allowed for one complete answer of GPT-4."""
    context_timeout_seconds: float = Field(30, gt=0)
    """Seconds allowed for gathering context."""
    attempt_timeout_seconds: float = Field(240, gt=0)
    """Seconds allowed for one attempt at a job, without GPT-4's answer."""
    note_settle_seconds: float = Field(60, gt=0)
    """Seconds to wait before a note with unknown outcome is searched for and posted again if missing; at least
    `SERVICEDESK_TIMEOUT_SECONDS`."""
    lease_seconds: float = Field(45, ge=1, lt=60)
    """Seconds after which a worker loses a job unless it renews its claim."""
    worker_concurrency: int = Field(128, gt=0, le=1024)
    """Maximum jobs in flight in one worker process."""
    worker_grace_seconds: float = Field(50, ge=0)
    """Seconds for running jobs to end after SIGTERM; then they are given back to the queue."""

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
        # The wait starts before the call: after a shorter wait, the first call could still post its note.
        if seconds < info.data.get("servicedesk_timeout_seconds", 0):
            raise ValueError("must not be below SERVICEDESK_TIMEOUT_SECONDS: the note may arrive as late as that")
        return seconds


class HousekeepingSettings(PriceSettings, ModelAddressSettings):
    """Settings of `ai-agents housekeeping`."""

    sync_interval_seconds: float = Field(300, gt=0)
    """Seconds between two syncs of a desk's tickets and solutions."""
    keep_text_days: int = Field(30, ge=1, le=36500)
    """Days after which GPT-4's answers are purged, from the job's end; for copies of tickets and solutions, from when
    the desk last listed them. Copies that the desk reports as deleted are purged at once."""
    keep_jobs_days: int = Field(90, ge=1, le=36500)
    """Days from the end of a job until its row is purged."""
    reconcile_interval_seconds: float = Field(300, gt=0, le=1800)
    """Seconds between two checks of a desk for new tickets. A webhook counts as missed if it is this late
    ([Reconcile](reconcile.md))."""
    reconcile_window_hours: int = Field(24, ge=1, le=168)
    """Maximum age of a ticket, in hours, to get a job for a missed webhook; at most half of `KEEP_JOBS_DAYS`."""
    reports_dir: Path | None = None
    """Directory for a [value report](report.md) of each tenant and week, as HTML files, deleted after 53 weeks. Unset,
    none is written."""


class MigrateSettings(LogSettings):
    """Settings of `ai-agents migrate`."""

    database_admin_url: PostgresUrl
    """Address of Postgres with the owner of the tables; for migrations only."""
    database_url: PostgresUrl
    """Address of Postgres with the application's role; the migration grants rights to this role."""


def _without_user(url: str) -> str:
    if "@" in urlsplit(url).netloc:
        raise ValueError("must have no user and no password: it is printed in links")
    return url


class DiagnoseSettings(ByHandSettings):
    """Settings of `ai-agents diagnose`."""

    jaeger_url: Annotated[HttpUrl, AfterValidator(_without_user)] | None = None
    """Address of Jaeger for operators, such as `http://localhost:16686`; `diagnose` links a job's trace there."""
    docs_url: PageUrl | None = None
    """Address of the site of `make docs`; `diagnose` and the console link their documents there."""
    compose_command: str | None = None
    """The Compose command that runs this system, such as `docker compose`: `diagnose` and the console print its
    commands instead of those for Kubernetes."""
    logs_dir: Path | None = None
    """Folder of the processes' log files, set by `ai-agents up` and `make dev`: `diagnose` and the console print
    commands for these."""


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
    authority = f"[{host}]" if ":" in host else host
    return f"{parts.scheme}://{authority}" + (f":{parts.port}" if parts.port not in (None, default) else "")


def _not_guessed(key: str) -> str:
    if len(set(key)) < MIN_CHARACTERS:
        raise ValueError(f"could be guessed: it has fewer than {MIN_CHARACTERS} different characters")
    return key


Origin = Annotated[str, AfterValidator(_origin)]
CookieKey = Annotated[SigningKey, AfterValidator(_not_guessed)]


class ConsoleSettings(MetricsSettings, ProxySettings, DiagnoseSettings, StoreSettings):
    """Settings of `ai-agents console`."""

    console_key: CookieKey = Field(repr=False)
    """Key that signs session cookies; at least 32 characters, ten of them different, the same for all consoles."""
    console_previous_key: CookieKey | None = Field(None, repr=False)
    """The previous `CONSOLE_KEY`; its sessions stay valid."""
    console_url: Origin | None = None
    """Public address of the console, without a path: `https://console.example.com`. Requests with another `Host` are
    refused. Optional if the console listens on localhost only."""
    console_ca_bundle: Certificates | None = None
    """File of CA certificates (PEM) for an OpenID provider with a private CA."""


# langchain-core depends on langsmith, which uploads ticket text to a third party if one of these is on.
_OFF = ("LANGSMITH_TRACING", "LANGSMITH_TRACING_V2", "LANGCHAIN_TRACING", "LANGCHAIN_TRACING_V2")
# Spans per export. 256 take 8 ms of CPU; in exports of 64 each span takes 25 % more.
_MAX_SENT = 256


def set_library_defaults() -> list[str]:
    """Disable uploads to LangSmith and lower OpenTelemetry's defaults.

    Returns the variables that had switched LangSmith on. Call this before the first use of LangSmith or OpenTelemetry:
    both read the variables then, and LangSmith caches them.
    """
    switched_on = [name for name in _OFF if _value(name) not in ("", "false", "0")]
    os.environ.update(dict.fromkeys(_OFF, "false"))
    # Seconds. Limits how long an unresponsive collector delays the end of a process.
    os.environ.setdefault("OTEL_EXPORTER_OTLP_TIMEOUT", "3")
    # OpenTelemetry refuses to start if the batch is larger than the queue, which an operator may shorten.
    queue = _value("OTEL_BSP_MAX_QUEUE_SIZE")
    most = min(_MAX_SENT, int(queue)) if queue.isdecimal() else _MAX_SENT
    os.environ.setdefault("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", str(most))
    return switched_on


def exports_spans() -> bool:
    """Return True if spans go to a collector."""
    has_collector = _value("OTEL_EXPORTER_OTLP_ENDPOINT") or _value("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
    is_off = _value("OTEL_SDK_DISABLED") == "true" or _value("OTEL_TRACES_EXPORTER") == "none"
    return bool(has_collector) and not is_off


def captures_messages() -> bool:
    """Return True if spans include prompts and answers (default: off)."""
    return _value("OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT") in ("true", "span_only", "span_and_event")


def _value(name: str) -> str:
    return os.environ.get(name, "").strip().lower()
