"""The models of all tenants: their own, the process's, and its fallback (ADR 21).

The first model is the tenant's own, or the process's. If it is held or down, the fallback answers in the same attempt;
not after a 429, a refusal or an unusable answer. A tenant with an address or a key of its own has no fallback: its
texts may be meant for that model only. If the fallback fails, the attempt ends with its error if the call was paid,
else with the first model's.
"""

import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from urllib.parse import urlsplit

from config.settings import WorkerSettings
from config.tenant_directory import TenantDirectory
from config.tenants import ModelSettings, Tenant
from integrations.errors import MODEL_UNAVAILABLE, DeferredError, ExternalError, TemporaryError
from integrations.http import EgressConfig
from integrations.llm.client import ModelClient, ModelOptions
from integrations.llm.spending import Book, SpendingLimits
from integrations.resilience import Breaker
from integrations.values import ModelAnswer, Prompt, Structured, Unanswered, Usage
from observability import log_events, metrics
from observability.logging import log_event

_CLOSED_SECONDS = 30.0
_QUIET_SECONDS = 300.0


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A model at an address, with a key; `server` names it in logs and metrics."""

    base_url: str
    api_key: str = field(repr=False)
    name: str
    server: str


class Models:
    """The models by tenant. The caller must `close()` them.

    Each endpoint has a client with `connections` connections and a breaker, from its first use until no tenant has it.
    """

    def __init__(self, tenants: TenantDirectory, settings: WorkerSettings, book: Book, *, connections: int) -> None:
        self._tenants = tenants
        self._settings = settings
        self._connections = connections
        self.clients: dict[Endpoint, ModelClient] = {}
        self._replaced_at: dict[str, float] = {}
        self._cleaned_for: tuple[Sequence[Tenant], int] = ((), 0)
        self.limits = SpendingLimits(tenants, book)

    def of(self, tenant_id: str) -> "TenantModel":
        """Return the tenant's model; its settings are read for each call."""
        return TenantModel(self, tenant_id)

    def first(self, tenant_id: str) -> Endpoint:
        """Return the tenant's first model. Raises DeferredError if there is none."""
        tenant = self._tenants.get(tenant_id)
        endpoint = None if tenant is None else self._first(tenant)
        if endpoint is None:
            raise DeferredError("tenant closed", _CLOSED_SECONDS, extends_deadline=False)
        return endpoint

    def _first(self, tenant: Tenant) -> Endpoint | None:
        own, process = tenant.model, self._settings
        if own.withdrawn:
            return None
        # The process's key never goes to a tenant's own address: that requires an own key (`config.tenant_validation`).
        key = own.api_key or self._process_key("OPENAI_API_KEY", process.openai_api_key) or ""
        base_url = own.base_url or process.openai_base_url
        name = own.model or process.openai_model
        server = "model" if name == process.openai_model else f"model {name}"
        server = f"model of {tenant.id}" if own.api_key else f"{server} at {urlsplit(base_url).hostname}"
        return Endpoint(base_url, key, name, server)

    def check(self, tenant_id: str) -> Endpoint:
        """Return the model that checks the claims of an answer. Raises DeferredError if there is none."""
        return self._check(self._tenants.get(tenant_id), self.first(tenant_id))

    def _check(self, tenant: Tenant | None, first: Endpoint) -> Endpoint:
        own = tenant.model if tenant else ModelSettings()
        is_of_process = not (own.api_key or own.base_url)
        name = own.check_model or (self._settings.openai_check_model if is_of_process else "") or first.name
        return first if name == first.name else replace(first, name=name, server=f"check {first.server}")

    def fallback(self, tenant_id: str) -> Endpoint | None:
        """Return the fallback; None if the tenant's texts must not be sent there."""
        tenant, process = self._tenants.get(tenant_id), self._settings
        own = None if tenant is None else tenant.model
        if own is None or own.api_key or own.base_url or own.withdrawn or not process.openai_fallback_model:
            return None
        base_url = process.openai_fallback_base_url or process.openai_base_url
        key = self._process_key("OPENAI_FALLBACK_API_KEY", process.openai_fallback_api_key)
        # None: never set. A removed key is empty, and must not be replaced by the first model's, which would then be
        # sent to the fallback's address.
        if key is None:
            key = self._process_key("OPENAI_API_KEY", process.openai_api_key)
        server = f"fallback model at {urlsplit(base_url).hostname}"
        return Endpoint(base_url, key, process.openai_fallback_model, server) if key else None

    def _process_key(self, name: str, at_start: str | None) -> str | None:
        current = self._tenants.process_key(name)
        return at_start if current is None else current

    def client(self, endpoint: Endpoint) -> ModelClient:
        """Return the endpoint's client, opened at its first use."""
        if endpoint not in self.clients:
            self.clients[endpoint] = ModelClient(
                api_key=endpoint.api_key,
                base_url=endpoint.base_url,
                model=endpoint.name,
                idle_seconds=self._settings.openai_timeout_seconds,
                total_seconds=self._settings.openai_deadline_seconds,
                connections=self._connections,
                breaker=Breaker(endpoint.server, MODEL_UNAVAILABLE),
                egress=EgressConfig.of(self._settings, self._settings.openai_ca_bundle),
                options=ModelOptions.of(self._settings),
            )
        return self.clients[endpoint]

    async def close_unused(self) -> None:
        """Close the clients of unused endpoints, each after its calls in flight."""
        tenants = self._tenants.all()
        # The number of clients is compared too: an endpoint chosen before a change may get its client after it.
        if tenants is self._cleaned_for[0] and len(self.clients) == self._cleaned_for[1]:
            return
        used = {self.fallback(tenant.id) for tenant in tenants}
        for tenant in tenants:
            if first := self._first(tenant):
                used |= {first, self._check(tenant, first)}
        unused = {endpoint: self.clients.pop(endpoint) for endpoint in self.clients.keys() - used}
        # After a change of the key, the new endpoint has the same server name, and uses the metric.
        for server in {endpoint.server for endpoint in unused} - {endpoint.server for endpoint in self.clients}:
            metrics.server_gone(server)
        self._cleaned_for = (tenants, len(self.clients))
        for client in unused.values():
            await client.close()

    def log_fallback(self, first: Endpoint, fallback: Endpoint) -> None:
        now = time.monotonic()
        if now - self._replaced_at.get(first.server, -_QUIET_SECONDS) >= _QUIET_SECONDS:
            log_event(log_events.FALLBACK_USED, server=first.server, fallback=fallback.server)
        self._replaced_at[first.server] = now

    async def close(self) -> None:
        """Close all clients, each after its calls in flight."""
        for client in self.clients.values():
            await client.close()


class TenantModel:
    """The model for a tenant, within its spending limit: see `workflow.ports.Model`."""

    provider = ModelClient.provider

    def __init__(self, models: Models, tenant_id: str) -> None:
        self._models = models
        self._tenant_id = tenant_id

    @property
    def name(self) -> str:
        return self._models.first(self._tenant_id).name

    @property
    def check_name(self) -> str:
        return self._models.check(self._tenant_id).name

    @property
    def base_url(self) -> str:
        return self._models.first(self._tenant_id).base_url

    def check(self) -> None:
        first, fallback = self._models.first(self._tenant_id), self._models.fallback(self._tenant_id)
        self._models.limits.check(self._tenant_id)
        try:
            self._models.client(first).check()
        except DeferredError as held:
            if fallback is None:
                raise
            try:
                self._models.client(fallback).check()
            except DeferredError:
                raise held from None

    async def complete(
        self,
        prompt: Prompt,
        answer_type: type[Structured],
        on_paid: Callable[[Usage], None],
        *,
        unusable: str | None,
        on_unusable: Callable[[str], Awaitable[None]],
        on_unanswered: Callable[[Unanswered], None] = lambda _: None,
        is_check: bool = False,
    ) -> ModelAnswer[Structured]:
        """Return the first model's answer, or the fallback's if that one is held or down.

        Raises the errors of `ModelClient.complete`, and DeferredError if the day's limit is reached, before anything is
        sent.
        """
        await self._models.limits.check_fresh(self._tenant_id)
        paid_for: set[Endpoint] = set()

        async def keep(text: str) -> None:
            nonlocal unusable
            unusable = text
            await on_unusable(text)

        async def complete_at(endpoint: Endpoint) -> ModelAnswer[Structured]:
            def paid(usage: Usage) -> None:
                paid_for.add(endpoint)
                self._models.limits.paid(self._tenant_id, usage)
                on_paid(replace(usage, model=endpoint.name))

            try:
                return await self._models.client(endpoint).complete(
                    prompt,
                    answer_type,
                    paid,
                    unusable=unusable,
                    on_unusable=keep,
                    on_unanswered=on_unanswered,
                    is_check=is_check,
                )
            finally:
                await self._models.close_unused()

        first = (self._models.check if is_check else self._models.first)(self._tenant_id)
        try:
            return await complete_at(first)
        except (DeferredError, TemporaryError) as failure:
            # Read again: the tenant may have got a key or an address of its own during the first call.
            fallback = self._models.fallback(self._tenant_id)
            if fallback is None or (isinstance(failure, TemporaryError) and not failure.down):
                raise
            first_failure = failure
        try:
            answer = await complete_at(fallback)
        except (DeferredError, ExternalError) as failure:
            _log(first_failure if fallback in paid_for else failure)
            if fallback in paid_for:
                raise
            raise first_failure from None
        _log(first_failure)
        self._models.log_fallback(first, fallback)
        metrics.FALLBACK_ANSWERS.labels(self._tenant_id).inc()
        return answer


def _log(failure: DeferredError | ExternalError) -> None:
    if isinstance(failure, ExternalError):
        failure.log()
