"""Settings of each process, loaded and validated once at its start.

A process loads only the settings it uses (`load(ApiSettings)`). Files in `SECRETS_DIR`, named like the settings,
override the environment. Tenants' settings are in `config.tenants`. Model keys are read again while a process runs;
`config.tenant_directory` has the current ones.
"""

from typing import Annotated, Any

from pydantic import AfterValidator, Field, ValidationInfo, field_validator

from config.addresses import ODD_KEY, may_be_sent
from config.feedback_settings import FeedbackPageSettings, FeedbackSettings
from config.loading import LogSettings
from config.trace_settings import TraceFileSettings
from config.urls import Certificates, HttpUrl, PostgresUrl, ProxyUrl, RedisUrl

METRICS_PORT: Any = Field(
    None,
    ge=1,
    le=65535,
    description="Port of `/metrics` and `/ready`, on all addresses; the API has `API_PROBE_PORT`.",
)
HTTPS_PROXY: Any = Field(
    None,
    repr=False,
    description="Proxy for all calls to desks, accounts hosts, models and an OpenID provider at `https://`: "
    "`http://HOST:PORT`, with `USER:PASSWORD@` before the host where it asks for one. In small letters too. `http://` "
    "addresses go past it.",
)
NO_PROXY: Any = Field(
    None,
    description="Names that are called past the proxy, with commas between them: a domain with all that is below "
    "it, an IP address, either with a port, or `*` alone for all. No ranges of addresses. This host always is.",
)


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
    """A job that has not ended by then is failed; waits for a desk's rate, for a tenant's `jobs.most_running`, or for
    somebody who has to act, are not counted, up to a day."""


class ByHandSettings(JobSettings):
    """Settings of `ai-agents jobs`, `show`, `retry`, `enhance`, `feedback`, `audit`, `documents` and `secrets`."""


class StoreSettings(JobSettings):
    """Settings of processes that access jobs."""

    redis_url: RedisUrl
    """Redis: `redis://HOST:6379/0`; `rediss://` with TLS, whose certificate is verified, by `?ssl_ca_certs=FILE` where
    a private CA signed it."""


class ForgetSettings(StoreSettings):
    """Settings of `ai-agents forget`."""


class ApiSettings(TraceFileSettings, FeedbackPageSettings, StoreSettings):
    """Settings of `ai-agents api`."""

    webhook_timeout_seconds: float = Field(10, gt=0)
    """Longest time for the headers of a request, and again for its body."""
    api_probe_port: int | None = Field(None, ge=1, le=65535)
    """Port of `/health/live`, `/health/ready`, `/metrics` and `/docs`, on all addresses; without it the first three are
    at the webhook's port."""


class DeskClientSettings(StoreSettings):
    """Settings of processes that call ServiceDesk Plus."""

    servicedesk_timeout_seconds: float = Field(10, gt=0)
    """Longest wait for one answer of ServiceDesk Plus."""
    servicedesk_ca_bundle: Certificates | None = None
    """Certificates (PEM) of a private CA that signs the desks' certificates."""
    https_proxy: ProxyUrl | None = HTTPS_PROXY
    no_proxy: str | None = NO_PROXY


class SyncSettings(DeskClientSettings):
    """Settings of `ai-agents sync`."""


class BackgroundSettings(TraceFileSettings, DeskClientSettings):
    """Settings of processes without an HTTP interface."""

    metrics_port: int | None = METRICS_PORT
    worker_stuck_seconds: float = Field(60, ge=1)
    """A worker that takes no job for this long, though jobs wait and it has room, ends itself; so does housekeeping
    that stands still for longer than its work may take."""


class EmbeddingSettings(BackgroundSettings):
    """Settings of processes that compute embeddings."""

    embeddings_base_url: HttpUrl | None = None
    """Where tenants with `servicedesk.embeddings` of `endpoint` have theirs from, and their texts are sent:
    `https://api.openai.com/v1`."""
    embeddings_api_key: ModelKey | None = None
    """Its key."""
    embeddings_model: str = "text-embedding-3-small"
    """Its model; with another one all copies get their embeddings anew."""
    embeddings_ca_bundle: Certificates | None = None
    """Certificates (PEM) of a private CA that signs its certificate."""


class ModelAddressSettings(EmbeddingSettings):
    """Settings of processes that call the model's server."""

    openai_base_url: HttpUrl = "https://api.openai.com/v1"
    """OpenRouter: `https://openrouter.ai/api/v1`."""
    openai_ca_bundle: Certificates | None = None
    """Certificates (PEM) of a private CA that signs the certificate of the model's endpoint."""


class WorkerSettings(FeedbackSettings, ModelAddressSettings):
    """Settings of `ai-agents worker` and `replay`."""

    openai_api_key: ModelKey
    """Key of OpenAI or OpenRouter; not needed while each tenant with a desk has one of its own. A file of it in
    `SECRETS_DIR` is read again like a tenant's."""
    openai_model: str = "gpt-6-luna"
    """Model that is asked for; any that does chat completions."""
    openai_fallback_model: str | None = None
    """Asked while the first is down; not for a tenant with an address or a key of its own."""
    openai_fallback_api_key: ModelKey | None = None
    """Its key, where that is another one. Its file is read again likewise."""
    openai_fallback_base_url: HttpUrl | None = None
    """Its address, likewise; then with its key."""
    openai_timeout_seconds: float = Field(30, gt=0)
    """Longest silence (no content) of GPT-4."""
    openai_deadline_seconds: float = Field(120, gt=0)
    """Longest time for one whole answer of GPT-4."""
    context_timeout_seconds: float = Field(30, gt=0)
    """Longest time for gathering context."""
    attempt_timeout_seconds: float = Field(240, gt=0)
    """Longest time for one attempt at a job, beside that for GPT-4's answer."""
    note_settle_seconds: float = Field(60, gt=0)
    """Wait before a note of unknown outcome is posted again, if it is not there; `SERVICEDESK_TIMEOUT_SECONDS` at
    least."""
    lease_seconds: float = Field(45, ge=1, lt=60)
    """A worker that does not renew its claim for this long has lost the job."""
    worker_concurrency: int = Field(128, gt=0, le=1024)
    """Jobs in flight in one worker process."""
    worker_grace_seconds: float = Field(50, ge=0)
    """Time that running jobs have to end after SIGTERM before they are given back."""

    @field_validator("openai_fallback_api_key", "openai_fallback_base_url")
    @classmethod
    def _belongs_to_a_fallback(cls, value: str | None, info: ValidationInfo) -> str | None:
        # The primary model's key must not be sent to another address.
        needed = "openai_fallback_" + ("model" if info.field_name == "openai_fallback_api_key" else "api_key")
        if value is not None and info.data.get(needed, "") is None:
            raise ValueError(f"it needs {needed.upper()}")
        return value

    @field_validator("note_settle_seconds")
    @classmethod
    def _settles_after_the_call(cls, seconds: float, info: ValidationInfo) -> float:
        # The wait starts before the call, so a shorter one could repost the note while the call is in progress.
        if seconds < info.data.get("servicedesk_timeout_seconds", 0):
            raise ValueError("must not be below SERVICEDESK_TIMEOUT_SECONDS: the note may come as late as that")
        return seconds


class HousekeepingSettings(ModelAddressSettings):
    """Settings of `ai-agents housekeeping`."""

    sync_interval_seconds: float = Field(300, gt=0)
    """Time between two copies of a desk's newest tickets and solutions."""
    keep_text_days: int = Field(30, ge=1, le=36500)
    """GPT-4's answers are purged so long after their job's end; copies of tickets and solutions, after the desk last
    showed them, or as soon as it says that they are gone."""
    keep_jobs_days: int = Field(90, ge=1, le=36500)
    """The rows of jobs are purged so long after their end."""
    reconcile_interval_seconds: float = Field(300, gt=0, le=1800)
    """Time between two looks at a desk's new tickets; one that has had no webhook for so long has missed it
    ([Reconcile](reconcile.md))."""
    reconcile_window_hours: int = Field(24, ge=1, le=168)
    """How old a ticket may be whose webhook is missed, for its job to be made; not beyond half of `KEEP_JOBS_DAYS`."""


class MigrateSettings(LogSettings):
    """Settings of `ai-agents migrate`."""

    database_admin_url: PostgresUrl
    """Postgres, as the owner of the tables; for migrations only."""
    database_url: PostgresUrl
    """Tells the application's role, which the migration grants to."""
