"""Check of a tenant's model: one small request, paid once."""

from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict

from config.settings import WorkerSettings
from config.tenant_directory import TenantDirectory
from integrations.errors import HeldBack, ModelTimeout, ModelUnavailable, OutsideFailure
from integrations.model.models import Endpoint, Models
from integrations.resilience import HoldReason
from integrations.values import Prompt, Spent
from support.check.findings import Finding, Findings, checks_of, proxy_remedy

NAMES = checks_of("model")
_PROMPT = Prompt("You answer with JSON alone.", 'Put the word "ready" into `word`.')


class _Word(BaseModel):
    model_config = ConfigDict(extra="forbid")

    word: str


class _Unusable(Exception):
    """The answer has the wrong form; its repair would be a second paid call."""


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
        self._asked: dict[Endpoint, str] = {}

    async def rows(self, tenant_id: str) -> list[Finding]:
        rows = Findings(NAMES, tenant_id)
        try:
            endpoint = self._models.first(tenant_id)
        except HeldBack:
            endpoint = None
        if endpoint is None or not endpoint.api_key:
            rows.failed("model key", "there is none for this tenant", "set OPENAI_API_KEY, or the tenant's own")
            return rows.all
        if endpoint in self._asked:
            rows.not_checked(f"it is the model of {self._asked[endpoint]}, asked above", *NAMES)
            return rows.all
        self._asked[endpoint] = tenant_id
        await self._ask(rows, endpoint)
        return rows.all

    async def _ask(self, rows: Findings, endpoint: Endpoint) -> None:
        host = urlsplit(endpoint.base_url).hostname or ""
        try:
            with self._models.call(endpoint) as client:
                answer = await client.ask(_PROMPT, _Word, on_unusable=_stop)
                less = client.done_without
        except _Unusable:
            _is_up(rows)
            remedy = f"take another model than {endpoint.name}: its answers are not of the form that is asked for"
            rows.failed("model answers", "not the JSON that was asked for", remedy)
        except HeldBack as held:
            _held(rows, held, endpoint)
        except OutsideFailure as failure:
            _failed(rows, failure, host, self._silence)
        else:
            _is_up(rows)
            form = f"structured, without {', '.join(sorted(less))}" if less else "structured"
            rows.ok(form, "model answers")
            first = answer.first_milliseconds / 1000
            rows.ok(f"{first:.1f} s, of {self._silence:g} s at most", "model first token")

    async def close(self) -> None:
        await self._models.close()


def model_not_asked(tenant_id: str, why: str) -> list[Finding]:
    return Findings(NAMES, tenant_id, why).all


async def _stop(_unusable: str) -> None:
    raise _Unusable


def _is_up(rows: Findings) -> None:
    rows.ok("it answers", "model address")
    rows.ok("taken", "model key", "model credit", "model name")


def _held(rows: Findings, held: HeldBack, endpoint: Endpoint) -> None:
    rows.ok("it answers", "model address")
    match held.reason:
        case HoldReason.OUT_OF_CREDIT:
            rows.ok("taken", "model key")
            rows.failed("model credit", held.reason, "pay in, or raise the limit of the account, or of the key")
        case HoldReason.NOT_FOUND:
            remedy = (
                f"OPENAI_MODEL must be a model that the account has; {endpoint.name} is none, unless OPENAI_BASE_URL "
                "lacks its path, such as /v1"
            )
            rows.failed("model name", held.reason, remedy)
        case HoldReason.NOT_PERMITTED:
            rows.failed(
                "model key",
                held.reason,
                "have the model opened to this account from here: at the provider, or in the rules of Azure's network",
            )
        case _:
            rows.failed("model key", held.reason, "make OPENAI_API_KEY anew (a tenant's own: with its ending)")


def _of_another_server(failure: OutsideFailure) -> bool:
    """Return True if the answer can't come from a model's server.

    That is a redirect, a 405, or a success that is neither stream nor answer.
    """
    what = str(failure.values.get("reason", ""))
    return what.startswith(("3", "405")) or (isinstance(failure, ModelUnavailable) and what == "invalid answer")


def _failed(rows: Findings, failure: OutsideFailure, host: str, silence: float) -> None:
    if isinstance(failure, ModelTimeout):
        rows.ok("it answers", "model address")
        remedy = "take a faster model or server, or raise OPENAI_TIMEOUT_SECONDS"
        rows.failed("model first token", f"no content within {silence:g} s", remedy)
    elif "certificate" in failure.reason:
        rows.failed("model address", failure.reason, "give the authority that signed it as OPENAI_CA_BUNDLE")
    elif "proxy" in failure.reason:
        rows.failed("model address", failure.reason, proxy_remedy(host))
    elif _of_another_server(failure):
        remedy = "OPENAI_BASE_URL must be what stands before /chat/completions, such as https://api.openai.com/v1"
        rows.failed("model address", f"{failure.reason}: that is no model's service", remedy)
    elif "connection" in failure.reason or " 5" in failure.reason:
        remedy = f"see that {host} runs, that OPENAI_BASE_URL is right, and that this machine may reach it"
        rows.failed("model address", failure.reason, remedy)
    elif "429" in failure.reason:
        rows.ok("it answers", "model address")
        rows.not_checked(failure.reason, *NAMES[1:])
    else:
        rows.ok("it answers", "model address")
        rows.failed(
            "model answers",
            failure.reason,
            "change OPENAI_MODEL or OPENAI_BASE_URL; docs/connect/models.md has what a server has to take",
        )
