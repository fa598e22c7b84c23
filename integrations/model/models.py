"""The models of all tenants: their own, the process's, and its fallback.

Results of the first model, and the use of a fallback:

| the first model                               | the fallback                                               |
|-----------------------------------------------|------------------------------------------------------------|
| HeldBack: breaker open, no money, key, model   | answers, at once; the first is not called                  |
| Temporary that is `down`: silence, 5xx, no     | answers, at once, within the same attempt                  |
|   connection                                   |                                                            |
| any other Temporary: 429, a broken answer      | is not called: the first is up, and the job is retried     |
| Permanent: a refusal, an unusable answer       | is not called: the first has answered                      |

A tenant with an address or a key of its own has no fallback: its texts may be meant for that model only. The first is
called again as soon as its breaker or hold allows it. If the fallback fails too, the job waits for the first: a
misconfigured fallback must not end jobs which would have waited without it. Only paid calls count: an unusable answer
or a refusal of the fallback ends the job, and a broken answer is an attempt.
"""

import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from urllib.parse import urlsplit

from config.settings import WorkerSettings
from config.tenant_directory import TenantDirectory
from config.tenants import Tenant
from integrations.breaker import Breaker
from integrations.errors import MODEL_UNAVAILABLE, HeldBack, OutsideFailure, Temporary
from integrations.model.client import ModelClient
from integrations.model.endpoints import Endpoint, Endpoints
from integrations.model.spending import Book, SpendingLimits
from integrations.outward import Outward
from integrations.values import ModelAnswer, Prompt, Structured, Unanswered, Usage
from observability import metrics, phrases
from observability.logging import say

_CLOSED_SECONDS = 30.0
_QUIET_SECONDS = 300.0


class Models:
    """The models by tenant; `close()` them. `connections` are for each endpoint.

    Each endpoint is open from its first use until its settings are gone.
    """

    def __init__(self, tenants: TenantDirectory, settings: WorkerSettings, book: Book, *, connections: int) -> None:
        self._tenants = tenants
        self._settings = settings
        self._connections = connections
        self.endpoints = Endpoints(self._open)
        self._replaced_at: dict[str, float] = {}
        self._kept_for: tuple[Sequence[Tenant], int] = ((), 0)
        self.limits = SpendingLimits(tenants, book)

    def of(self, tenant_id: str) -> "TenantModel":
        return TenantModel(self, tenant_id)

    def first(self, tenant_id: str) -> Endpoint:
        """Return the endpoint for the tenant's tickets. Raises HeldBack if there is none.

        Without the process's key, the endpoint has none, which holds its jobs as a refused key does.
        """
        tenant = self._tenants.get(tenant_id)
        endpoint = None if tenant is None else self._first(tenant)
        if endpoint is None:
            raise HeldBack("tenant closed", _CLOSED_SECONDS, extends_deadline=False)
        return endpoint

    def _first(self, tenant: Tenant) -> Endpoint | None:
        own, process = tenant.model, self._settings
        # An address of its own comes with a key of its own, or is withdrawn with it (`config.tenant_directory`).
        key = own.api_key or self._process_key("OPENAI_API_KEY", process.openai_api_key) or ""
        if own.withdrawn:
            return None
        base_url = own.base_url or process.openai_base_url
        name = own.model or process.openai_model
        server = f"model at {urlsplit(base_url).hostname}"
        if own.api_key:
            server = f"model of {tenant.id}"
        elif name != process.openai_model:
            server = f"model {name} at {urlsplit(base_url).hostname}"
        return Endpoint(base_url, key, name, server)

    def fallback(self, tenant_id: str) -> Endpoint | None:
        """Return the fallback; None for a tenant whose texts must not be sent there."""
        tenant, process = self._tenants.get(tenant_id), self._settings
        own = None if tenant is None else tenant.model
        if own is None or own.api_key or own.base_url or own.withdrawn or not process.openai_fallback_model:
            return None
        base_url = process.openai_fallback_base_url or process.openai_base_url
        key = self._process_key("OPENAI_FALLBACK_API_KEY", process.openai_fallback_api_key)
        if key is None:
            key = self._process_key("OPENAI_API_KEY", process.openai_api_key)
        # A missing fallback key is not replaced by the first's: that must not be sent to another address.
        server = f"fallback model at {urlsplit(base_url).hostname}"
        return Endpoint(base_url, key, process.openai_fallback_model, server) if key else None

    def _process_key(self, name: str, at_start: str | None) -> str | None:
        now = self._tenants.process_key(name)
        return at_start if now is None else now

    @contextmanager
    def call(self, endpoint: Endpoint) -> Iterator[ModelClient]:
        """Yield the client of an endpoint; afterwards close unconfigured endpoints."""
        try:
            with self.endpoints.call(endpoint) as client:
                yield client
        finally:
            self._close_gone()

    def _close_gone(self) -> None:
        tenants, kept_for = self._tenants.all(), self._kept_for
        # An endpoint that was chosen before a change may have been opened after it.
        if tenants is kept_for[0] and len(self.endpoints) == kept_for[1]:
            return
        firsts, fallbacks = map(self._first, tenants), (self.fallback(tenant.id) for tenant in tenants)
        self.endpoints.keep({*firsts, *fallbacks})
        self._kept_for = (tenants, len(self.endpoints))

    def say_fallback(self, first: Endpoint, fallback: Endpoint) -> None:
        now = time.monotonic()
        if now - self._replaced_at.get(first.server, -_QUIET_SECONDS) >= _QUIET_SECONDS:
            say(phrases.FALLBACK_USED, server=first.server, fallback=fallback.server)
        self._replaced_at[first.server] = now

    def _open(self, endpoint: Endpoint) -> ModelClient:
        return ModelClient(
            api_key=endpoint.api_key,
            base_url=endpoint.base_url,
            model=endpoint.name,
            idle_seconds=self._settings.openai_timeout_seconds,
            total_seconds=self._settings.openai_deadline_seconds,
            connections=self._connections,
            breaker=Breaker(endpoint.server, MODEL_UNAVAILABLE),
            outward=Outward.to_models(self._settings),
        )

    async def close(self) -> None:
        await self.endpoints.close()


class TenantModel:
    """The model for a tenant, within its spending limit: see `workflow.ports.Model`."""

    provider = ModelClient.provider

    def __init__(self, models: Models, tenant_id: str) -> None:
        self._models = models
        self._tenant_id = tenant_id

    @property
    def name(self) -> str:
        """The first model's requested name. Raises HeldBack if there is none."""
        return self._models.first(self._tenant_id).name

    @property
    def base_url(self) -> str:
        """The first model's address. Raises HeldBack if there is none."""
        return self._models.first(self._tenant_id).base_url

    def check(self) -> None:
        """Raise HeldBack if neither model is available, or the day's limit is reached."""
        first, fallback = self._models.first(self._tenant_id), self._models.fallback(self._tenant_id)
        self._models.limits.check(self._tenant_id)
        try:
            self._models.endpoints.check(first)
        except HeldBack:
            if fallback is None:
                raise
            with suppress(HeldBack):
                self._models.endpoints.check(fallback)
                return
            raise

    async def ask(
        self,
        prompt: Prompt,
        answer_type: type[Structured],
        on_paid: Callable[[Usage], None],
        *,
        unusable: str | None,
        on_unusable: Callable[[str], Awaitable[None]],
        on_unanswered: Callable[[Unanswered], None] = lambda _: None,
    ) -> ModelAnswer[Structured]:
        """Return an answer, of the fallback if the first model fails.

        Raises as `ModelClient.ask` does; HeldBack, before anything is sent, past the day's limit.
        """
        await self._models.limits.ask(self._tenant_id)
        paid_for: set[Endpoint] = set()

        async def keep(text: str) -> None:
            nonlocal unusable
            unusable = text
            await on_unusable(text)

        async def of(endpoint: Endpoint) -> ModelAnswer[Structured]:
            def paid(usage: Usage) -> None:
                paid_for.add(endpoint)
                self._models.limits.paid(self._tenant_id, usage)
                on_paid(replace(usage, model=endpoint.name))

            with self._models.call(endpoint) as client:
                return await client.ask(
                    prompt, answer_type, paid, unusable=unusable, on_unusable=keep, on_unanswered=on_unanswered
                )

        first = self._models.first(self._tenant_id)
        try:
            return await of(first)
        except (HeldBack, Temporary) as failure:
            # Read again: the tenant may have got a key or an address of its own during the first call.
            fallback = self._models.fallback(self._tenant_id)
            if fallback is None or (isinstance(failure, Temporary) and not failure.down):
                raise
            failed = failure
        try:
            answer = await of(fallback)
        except (HeldBack, OutsideFailure) as failure:
            if fallback in paid_for:
                _say(failed)
                raise
            _say(failure)
            raise failed from None
        _say(failed)
        self._models.say_fallback(first, fallback)
        metrics.FALLBACK_ANSWERS.labels(self._tenant_id).inc()
        return answer


def _say(failure: HeldBack | OutsideFailure) -> None:
    if isinstance(failure, OutsideFailure):
        say(failure.phrase, failure.values, also=failure.also)
