"""Checks of a tenant's model and embeddings: one small request each, paid once."""

import asyncio
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict

from cli.check.findings import Finding, Findings, State
from config.settings import EmbeddingSettings, WorkerSettings
from config.tenant_directory import TenantDirectory
from integrations.errors import DeferredError, ExternalError, ModelTimeoutError, ModelUnavailableError
from integrations.http import proxy_remedy
from integrations.llm.clients import Endpoint, Models
from integrations.llm.spending import Spent
from integrations.resilience import HoldReason
from integrations.values import Prompt
from knowledge.embeddings import Embedders, EmbeddingsUnavailableError, TextRefusedError

_PROMPT = Prompt("You answer with JSON alone.", 'Put the word "ready" into `word`.')
_EMBEDDINGS_SECONDS = 20.0
_EMBEDDINGS_REMEDY = {
    "local": "install the extra `embeddings` (the image has it)",
    "endpoint": "check EMBEDDINGS_BASE_URL, EMBEDDINGS_MODEL and EMBEDDINGS_API_KEY, and that the server runs",
}


class _Word(BaseModel):
    model_config = ConfigDict(extra="forbid")

    word: str


class _UnusableAnswerError(Exception):
    """The answer has the wrong form; its repair would be a second paid call."""


async def _stop(_unusable: str) -> None:
    raise _UnusableAnswerError


class _NoBook:
    """Spending book that stores nothing, for one small call."""

    def paid(self, tenant_id: str, spent: Spent) -> None:
        """Ignore the spending."""

    def known(self, tenant_id: str) -> Spent:  # noqa: ARG002 -- the port's
        return Spent()

    async def read(self, tenant_id: str) -> Spent:
        return self.known(tenant_id)


class ModelCheck:
    """Calls each endpoint once for all tenants. Close it after use."""

    def __init__(self, tenants: TenantDirectory, settings: WorkerSettings) -> None:
        self._models = Models(tenants, settings, _NoBook(), connections=1)
        self._silence = settings.openai_timeout_seconds
        self._checked: dict[Endpoint, str] = {}

    async def rows(self, tenant_id: str) -> list[Finding]:
        rows = Findings("model", tenant_id)
        try:
            endpoint = self._models.first(tenant_id)
        except DeferredError:
            endpoint = None
        if endpoint is None or not endpoint.api_key:
            return rows.failed("model key", "not set for this tenant", "set OPENAI_API_KEY, or the tenant's own key")
        if endpoint in self._checked:
            return rows.not_checked(f"same model as {self._checked[endpoint]}, checked above")
        self._checked[endpoint] = tenant_id
        await self._call(rows, endpoint)
        if not any(row.state is State.FAILED for row in rows.all):
            await self._call_for_checks(rows, tenant_id)
        return rows.all

    async def _call_for_checks(self, rows: Findings, tenant_id: str) -> None:
        endpoint = self._models.check(tenant_id)
        if endpoint in self._checked:
            rows.ok("called above", "model of checks")
            return
        self._checked[endpoint] = tenant_id
        try:
            await self._models.client(endpoint).complete(_PROMPT, _Word, on_unusable=_stop, is_check=True)
        except (_UnusableAnswerError, DeferredError, ExternalError) as failure:
            seen = getattr(failure, "reason", "not the requested JSON")
            remedy = f"allow the model {endpoint.name} for this key, or set another OPENAI_CHECK_MODEL or check_model"
            rows.warning("model of checks", seen, remedy)
        else:
            rows.ok(f"{endpoint.name} answers", "model of checks")

    async def _call(self, rows: Findings, endpoint: Endpoint) -> None:
        try:
            client = self._models.client(endpoint)
            answer = await client.complete(_PROMPT, _Word, on_unusable=_stop)
            missing = client.left_out_parts
        except _UnusableAnswerError:
            rows.ok("it answers", "model address")
            rows.ok("accepted", "model key", "model credit", "model name")
            remedy = f"use another model than {endpoint.name}: it does not return the requested JSON"
            rows.failed("model answers", "not the requested JSON", remedy)
        except DeferredError as held:
            _report_hold(rows, held, endpoint)
        except ExternalError as failure:
            self._failed(rows, failure, endpoint)
        else:
            rows.ok("it answers", "model address")
            rows.ok("accepted", "model key", "model credit", "model name")
            rows.ok(f"structured, without {', '.join(sorted(missing))}" if missing else "structured", "model answers")
            first = answer.first_milliseconds / 1000
            rows.ok(f"after {first:.1f} s (limit {self._silence:g} s)", "model first token")

    def _failed(self, rows: Findings, failure: ExternalError, endpoint: Endpoint) -> None:
        host = urlsplit(endpoint.base_url).hostname or ""
        reason = str(failure.values.get("reason", ""))
        no_answer = isinstance(failure, ModelUnavailableError) and reason == "invalid answer"
        name, seen = "model address", failure.reason
        if isinstance(failure, ModelTimeoutError):
            rows.ok("it answers", "model address")
            name, seen = "model first token", f"no content within {self._silence:g} s"
            remedy = "use a faster model or server, or raise OPENAI_TIMEOUT_SECONDS"
        elif "certificate" in failure.reason:
            remedy = "set OPENAI_CA_BUNDLE to its certificate authority"
        elif "proxy" in failure.reason:
            remedy = proxy_remedy(host)
        elif reason.startswith(("3", "405")) or no_answer:
            # A model's API returns no redirect, no 405, and no success without a stream or an answer.
            seen = f"{failure.reason}: not a model's API"
            remedy = "set OPENAI_BASE_URL to the part before /chat/completions, such as https://api.openai.com/v1"
        elif "connection" in failure.reason or " 5" in failure.reason:
            remedy = f"check OPENAI_BASE_URL, and that {host} runs and is reachable from here"
        elif "429" in failure.reason:
            rows.not_checked(failure.reason)
            rows.ok("it answers", "model address")
            return
        else:
            rows.ok("it answers", "model address")
            name = "model answers"
            remedy = "change OPENAI_MODEL or OPENAI_BASE_URL; see docs/connect/models.md for requirements"
        rows.failed(name, seen, remedy)

    async def close(self) -> None:
        await self._models.close()


def _report_hold(rows: Findings, held: DeferredError, endpoint: Endpoint) -> None:
    rows.ok("it answers", "model address")
    name, remedy = "model key", "replace OPENAI_API_KEY (or the tenant's OPENAI_API_KEY_<TENANT>)"
    match held.reason:
        case HoldReason.OUT_OF_CREDIT:
            rows.ok("accepted", "model key")
            name, remedy = "model credit", "add credit, or raise the spending limit of the account or key"
        case HoldReason.NOT_FOUND:
            name = "model name"
            remedy = (
                f"set OPENAI_MODEL to a model of the account, which {endpoint.name} is not, or add the missing path, "
                "such as /v1, to OPENAI_BASE_URL"
            )
        case HoldReason.NOT_PERMITTED:
            remedy = "allow the model for this account and network, at the provider or in Azure's network rules"
    rows.failed(name, held.reason, remedy)


class EmbeddingsCheck:
    """Calls each embedder once for all tenants. Close it after use."""

    def __init__(self, tenants: TenantDirectory, settings: EmbeddingSettings) -> None:
        self._tenants = tenants
        self._embedders = Embedders(tenants, settings)
        self._checked: dict[str, str] = {}

    async def rows(self, tenant_id: str) -> list[Finding]:
        rows = Findings("embeddings", tenant_id)
        tenant = self._tenants.get(tenant_id)
        kind = tenant.desk.embeddings if tenant is not None and tenant.desk is not None else "none"
        if kind == "none":
            return rows.not_checked("the tenant uses no embeddings")
        if kind in self._checked:
            return rows.not_checked(f"same embedder as {self._checked[kind]}, checked above")
        self._checked[kind] = tenant_id
        remedy = _EMBEDDINGS_REMEDY[kind]
        embedder = self._embedders.of(tenant_id)
        if embedder is None:
            return rows.failed("embeddings answer", "EMBEDDINGS_BASE_URL is not set", remedy)
        try:
            async with asyncio.timeout(_EMBEDDINGS_SECONDS):
                await embedder.model_id()
        except TimeoutError:
            return rows.failed("embeddings answer", f"no answer within {_EMBEDDINGS_SECONDS:g} s", remedy)
        except (EmbeddingsUnavailableError, TextRefusedError, DeferredError) as failure:
            return rows.failed("embeddings answer", failure.reason, remedy)
        return rows.ok(f"{embedder.server} answers", "embeddings answer")

    async def close(self) -> None:
        await self._embedders.close()
