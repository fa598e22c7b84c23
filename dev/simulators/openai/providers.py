"""Configuration, paths, rules and errors of providers of OpenAI's API.

Sources: `openai`: OpenAI's API reference. `openrouter`: https://openrouter.ai/docs/features/provider-routing, its page
of errors, and for an unknown model https://github.com/OpenRouterTeam/openrouter-examples/issues/74. `azure`:
https://learn.microsoft.com/azure/foundry/openai/api-version-lifecycle (address, key, deployment as model),
https://github.com/microsoft/autogen/issues/3953 (any other address). `local`: any key, as Ollama, vLLM and LM Studio;
an unknown model is Ollama's, https://github.com/netease-youdao/QAnything/issues/555; an unknown format is LM Studio's,
https://github.com/lmstudio-ai/lmstudio-bug-tracker/issues/189. Unknown parameter:
https://github.com/coroot/coroot/issues/698; invalid value: https://github.com/Kilo-Org/cloud/pull/3807, those of
`gpt-6-luna`: https://docs.oxen.ai/inference-api/reference/models/gpt-6-luna.
"""

import hmac
from collections.abc import Mapping
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from dev.simulators.answers import Json

Document = dict[str, Any]
Provider = Literal["openai", "openrouter", "azure", "local"]


class ApiError(Exception):
    """An error without a provider's envelope."""

    def __init__(self, status: int, message: str, *, param: str | None = None, code: str | None = None) -> None:
        super().__init__(message)
        self.status, self.message, self.param, self.code = status, message, param, code

    def answer(self, provider: Provider, headers: Mapping[str, str] | None = None) -> Json:
        return Json({"error": self.document(provider)}, self.status, headers)

    def document(self, provider: Provider) -> Document | str:
        """Return the value under `error`, worded as by the provider.

        Recorded bodies: `tests/integrations/provider_answers.json`. For local servers, LM Studio's wording is used for
        invalid parameters and Ollama's for the rest.
        """
        match provider:
            case "openrouter":
                return {"message": self.message, "code": self.status}
            case "azure" if self.code == "content_filter":
                filtered = {"violence": {"filtered": True, "severity": "medium"}}
                inner = {"code": "ResponsibleAIPolicyViolation", "content_filter_result": filtered}
                error = {"message": self.message, "type": None, "param": "prompt", "code": self.code}
                return {**error, "status": self.status, "innererror": inner}
            case "azure":
                return {"code": self.code or str(self.status), "message": self.message}
            case "local" if self.param:
                return self.message
            case "local":
                return {"message": self.message, "type": "api_error", "param": None, "code": None}
            case "openai":
                kind = {429: "rate_limit_error"}.get(self.status, "invalid_request_error")
                kind = "server_error" if self.status >= 500 else kind
                kind = "insufficient_quota" if self.code in NO_CREDIT else kind
                return {"message": self.message, "type": kind, "param": self.param, "code": self.code}


NO_CREDIT = frozenset(
    {
        *("insufficient_quota", "credit_balance_exhausted"),
        *("organization_spend_limit_exceeded", "organization_usage_limit_exceeded", "project_spend_limit_exceeded"),
    }
)
"""Codes of a 429 with the type `insufficient_quota`: https://help.openai.com/en/articles/6614457."""


# From OpenAI's pages on models and deprecations; retired models are a 404.
MODELS = frozenset(
    {"text-embedding-3-small", "text-embedding-3-large", "gpt-6-luna", "gpt-6.1-sol", "gpt-6.1-terra", "gpt-6-astra"}
    | {"gpt-4o", "gpt-4o-mini", "gpt-4.1", "gpt-4.1-mini"}
)


class OpenAIConfig(BaseModel):
    """The endpoint's provider, key, pace and models.

    A streamed answer starts after `first_token_seconds` and is complete after `seconds`, in `chunks` pieces; a
    non-streamed answer comes after `seconds`. `models` are an Azure resource's deployments or a local server's pulled
    models; `lacks` lists missing features of the model behind OpenRouter or a local server.
    """

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    api_key: str = Field(min_length=1)
    first_token_seconds: float = Field(default=0.2, ge=0)
    seconds: float = Field(default=1.0, ge=0)
    chunks: int = Field(default=24, ge=1)
    provider: Provider = "openai"
    models: frozenset[str] = frozenset()
    lacks: frozenset[Literal["json_schema", "json_object", "reasoning", "max_tokens"]] = frozenset()

    def knows(self, model: str) -> bool:
        """Return True if a model is served; `openai` ignores a prefix like `openai/`."""
        if model in self.models:
            return True
        maker, _, name = model.rpartition("/")
        return name in MODELS and (self.provider == "openai" or (self.provider, maker) == ("openrouter", "openai"))


ROOTS: dict[Provider, str] = {"openai": "/v1", "openrouter": "/api/v1", "azure": "/openai/v1", "local": "/v1"}
_KNOWN = frozenset({"model", "messages", "stream", "stream_options", "response_format", "max_tokens"})
_KNOWN_OF: dict[Provider, frozenset[str]] = {
    **dict.fromkeys(("openai", "azure", "local"), frozenset({"reasoning_effort", "max_completion_tokens"})),
    "openrouter": frozenset({"provider", "reasoning"}),
}
_EFFORTS = ("none", "low", "medium", "high", "xhigh", "max")
_NO_ENDPOINT = (
    "No endpoints found that can handle the requested parameters. To learn more about provider routing, visit: "
    "https://openrouter.ai/docs/guides/routing/provider-selection"
)
_AZURE_KEY = (
    "Access denied due to invalid subscription key or wrong API endpoint. Make sure to provide a valid key for an "
    "active subscription and use a correct regional API endpoint for your resource."
)
_AZURE_DEPLOYMENT = (
    "The API deployment for this resource does not exist. If you created the deployment within the last 5 minutes, "
    "please wait a moment and try again."
)


def check_key(config: OpenAIConfig, header: str) -> None:
    """Raise ApiError (401) for a wrong key; a local server accepts any."""
    if config.provider == "local" or hmac.compare_digest(header.encode(), f"Bearer {config.api_key}".encode()):
        return
    match config.provider:
        case "openrouter":
            raise ApiError(401, "User not found." if header else "No auth credentials found")
        case "azure":
            raise ApiError(401, _AZURE_KEY)
    message = "Incorrect API key provided." if header else "You didn't provide an API key."
    raise ApiError(401, message, code="invalid_api_key")


def check_body(config: OpenAIConfig, body: Document | None) -> tuple[Document, str]:
    """Return a request's body and model. Raises ApiError, also for a retired model."""
    if body is None:
        raise ApiError(400, "We could not parse the JSON body of your request.")
    model = body.get("model")
    if not isinstance(model, str) or not model:
        raise ApiError(400, "you must provide a model parameter", param="model")
    if config.knows(model):
        return body, model
    match config.provider:
        case "openrouter":
            raise ApiError(400, f"{model} is not a valid model ID")
        case "azure":
            raise ApiError(404, _AZURE_DEPLOYMENT, code="DeploymentNotFound")
        case "local":
            raise ApiError(404, f'model "{model}" not found, try pulling it first')
    message = f"The model `{model}` does not exist or you do not have access to it."
    raise ApiError(404, message, code="model_not_found")


def check_names(config: OpenAIConfig, body: Document) -> None:
    """Raise ApiError for a parameter that this provider or model does not accept."""
    # For models without reasoning: https://github.com/umputun/tg-spam/issues/304.
    valid = _KNOWN | _KNOWN_OF[config.provider] - ({"reasoning_effort"} if "gpt-4" in str(body.get("model")) else set())
    for name in body.keys() - valid:
        raise ApiError(400, f"Unrecognized request argument supplied: {name}")
    if body.get("reasoning_effort", "none") not in _EFFORTS:
        message = (
            f"Unsupported value: 'reasoning_effort' does not support '{body['reasoning_effort']}' with this model."
        )
        raise ApiError(400, message, param="reasoning_effort", code="unsupported_value")


def check_parts(config: OpenAIConfig, body: Document) -> None:
    """Raise ApiError for a feature that the model behind this provider lacks."""
    response_format = body.get("response_format")
    form = response_format.get("type") if isinstance(response_format, dict) else None
    if not ({*body} & {"reasoning", "max_tokens"} | {form}) & config.lacks:
        return
    if config.provider == "openrouter":
        # Without `require_parameters` an endpoint ignores unknown parameters.
        routing = body.get("provider")
        if isinstance(routing, dict) and routing.get("require_parameters"):
            raise ApiError(404, _NO_ENDPOINT)
    elif form in config.lacks:
        accepted = sorted({"json_schema", "json_object", "text"} - config.lacks)
        names = " or ".join(f"'{name}'" for name in accepted)
        raise ApiError(400, f"'response_format.type' must be {names}", param="response_format")
