"""Answers of providers, seen or documented, with source and interpretation."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from integrations.errors import ModelRefused, ModelUnavailable, OutsideFailure
from integrations.resilience import HoldReason

NO_ENDPOINT = "No endpoints found that can handle the requested parameters."
ROUTING = "To learn more about provider routing, visit: https://openrouter.ai/docs/guides/routing/provider-selection"
AZURE_KEY = (
    "Access denied due to invalid subscription key or wrong API endpoint. Make sure to provide a valid key for an "
    "active subscription and use a correct regional API endpoint for your resource."
)
AZURE_DEPLOYMENT = (
    "The API deployment for this resource does not exist. If you created the deployment within the last 5 minutes, "
    "please wait a moment and try again."
)
AZURE_FILTER = "The response was filtered due to the prompt triggering Azure OpenAI's content management policy."
AZURE_RATE = "Requests to the ChatCompletions_Create Operation have exceeded token rate limit. Retry after 60 seconds."
AZURE_NETWORK = {
    "Access denied due to Virtual Network/Firewall rules.": "Azure-Samples/azure-sql-db-chatbot/issues/3",
    "A Virtual Network is configured for this resource. Please use the correct endpoint for making requests. Check "
    "https://aka.ms/cogsvc-vnet for more details.": "continuedev/continue/issues/12547",
    "Public access is disabled. Please configure private endpoint.": "TabularEditor/TabularEditor3/issues/1557",
}
KEY_LIMIT = "Key limit exceeded (total limit). Manage it using https://openrouter.ai/settings/keys"
QUOTA = "You exceeded your current quota, please check your plan and billing details."
SUSPENDED = "Your account is suspended due to insufficient balance, please recharge your account"
ISSUES = "https://github.com"
ROUTER_ERRORS = "https://openrouter.ai/docs/api/reference/errors-and-debugging"
SPENDING = "https://help.openai.com/en/articles/6614457"


@dataclass(frozen=True)
class ProviderAnswer:
    """One answer.

    `becomes`: a hold of all jobs, or a failure of this one, whose line contains `told`.
    """

    provider: str
    status: int
    body: Any
    becomes: HoldReason | type[OutsideFailure]
    told: str
    source: str
    headers: Mapping[str, str] = field(default_factory=dict)
    wait: float | None = None

    def __str__(self) -> str:
        return f"{self.provider} {self.told} {self.source.rpartition('/')[2]}"


def openai(status: int, code: str, kind: str, message: str, why: Any, told: str, source: str) -> ProviderAnswer:
    body = {"error": {"message": message, "type": kind, "param": None, "code": code}}
    return ProviderAnswer("openai", status, body, why, told, source)


def openrouter(status: int, message: str, why: Any, told: str, source: str, **more: Any) -> ProviderAnswer:
    return ProviderAnswer(
        "openrouter", status, {"error": {"message": message, "code": status}}, why, told, source, **more
    )


def azure(status: int, code: str, message: str, why: Any, told: str, source: str, **more: Any) -> ProviderAnswer:
    return ProviderAnswer("azure", status, {"error": {"code": code, "message": message}}, why, told, source, **more)


_SPENT = "429 Rate Limit"
ANSWERS = [
    openai(
        *(401, "invalid_api_key", "invalid_request_error", "Incorrect API key provided.", HoldReason.KEY_REFUSED),
        *("401 Unauthorized", "https://developers.openai.com/api/docs/guides/error-codes"),
    ),
    openai(
        *(429, "insufficient_quota", "insufficient_quota", QUOTA, HoldReason.OUT_OF_CREDIT, _SPENT),
        f"{ISSUES}/openai/openai-cookbook/issues/844",
    ),
    # The documented type is the first one. Public clients do not rely on it, so the code alone must decide.
    *(
        openai(429, code, kind, QUOTA, HoldReason.OUT_OF_CREDIT, _SPENT, f"{SPENDING}#{code}")
        for kind in ("insufficient_quota", "rate_limit_error")
        for code in (
            "credit_balance_exhausted",
            "organization_spend_limit_exceeded",
            "organization_usage_limit_exceeded",
            "project_spend_limit_exceeded",
        )
    ),
    openai(
        *(429, "billing_not_active", "billing_not_active", "Your account is not active.", HoldReason.OUT_OF_CREDIT),
        *(_SPENT, f"{ISSUES}/BerriAI/litellm/issues/2743"),
    ),
    openai(
        *(400, "billing_hard_limit_reached", "invalid_request_error", "Billing hard limit has been reached"),
        *(HoldReason.OUT_OF_CREDIT, "400 Bad Request (code billing_hard_limit_reached)"),
        f"{ISSUES}/dfinke/PowerShellAI/issues/127",
    ),
    openai(
        *(429, "rate_limit_exceeded", "tokens", "Rate limit reached", ModelUnavailable, _SPENT),
        f"{ISSUES}/openai/openai-dotnet/issues/404",
    ),
    openai(
        *(404, "model_not_found", "invalid_request_error", "The model `x` does not exist", HoldReason.NOT_FOUND),
        *("404 Not Found", f"{ISSUES}/Aider-AI/aider/issues/2030"),
    ),
    openai(
        *(403, "model_not_found", "invalid_request_error", "Project `p` does not have access", HoldReason.NOT_FOUND),
        *("403 Forbidden", f"{ISSUES}/cursor/cursor/issues/2953"),
    ),
    openai(
        *(
            403,
            "unsupported_country_region_territory",
            "request_forbidden",
            "Country, region, or territory not supported",
        ),
        *(HoldReason.NOT_PERMITTED, "403 Forbidden", f"{ISSUES}/home-assistant/core/issues/120072"),
    ),
    openrouter(
        401,
        "User not found.",
        HoldReason.KEY_REFUSED,
        "401 Unauthorized",
        f"{ISSUES}/apurvsinghgautam/robin/issues/103",
    ),
    openrouter(
        *(402, "Insufficient credits. Add more using https://openrouter.ai/settings/credits", HoldReason.OUT_OF_CREDIT),
        *("402 Payment Required", f"{ISSUES}/open-assistant-org/open-assistant/issues/80"),
    ),
    openrouter(
        *(402, "In-flight budget", ModelUnavailable, "402 Payment Required", f"{ROUTER_ERRORS}#in-flight"),
        headers={"retry-after": "5"},
        wait=5.0,
    ),
    openrouter(403, "Your input was flagged", ModelRefused, "403 Forbidden", f"{ROUTER_ERRORS}#moderation"),
    openrouter(
        *(403, KEY_LIMIT, HoldReason.OUT_OF_CREDIT, "403 Forbidden", f"{ISSUES}/MCPJam/inspector/issues/1287"),
    ),
    ProviderAnswer(
        *("openrouter", 200, {"error": {"message": KEY_LIMIT, "code": 403}}, HoldReason.OUT_OF_CREDIT),
        *("403 Forbidden", f"{ROUTER_ERRORS}#key-limit-in-a-200"),
    ),
    openrouter(
        *(400, "gpt-6-luna is not a valid model ID", HoldReason.NOT_FOUND, "400 Bad Request"),
        f"{ISSUES}/OpenRouterTeam/openrouter-examples/issues/74",
    ),
    openrouter(
        *(
            404,
            "No endpoints found for nousresearch/hermes-3-llama-3.1-405b:free.",
            HoldReason.NOT_FOUND,
            "404 Not Found",
        ),
        f"{ISSUES}/vyancharuk/nodejs-api-boilerplate/issues/16",
    ),
    # After the last optional part.
    openrouter(
        *(404, f"{NO_ENDPOINT} {ROUTING}", HoldReason.NOT_FOUND, "404 Not Found"),
        f"{ISSUES}/openstory-so/openstory/issues/1302",
    ),
    ProviderAnswer(
        *("openrouter", 200, {"error": {"message": "Insufficient credits", "code": 402}}, HoldReason.OUT_OF_CREDIT),
        *("402 Payment Required", f"{ROUTER_ERRORS}#in-a-200"),
    ),
    ProviderAnswer(
        *("openrouter", 200, 'data: {"error": {"code": "insufficient_quota", "message": "Quota"}, "choices": []}\n\n'),
        *(HoldReason.OUT_OF_CREDIT, _SPENT, f"{ROUTER_ERRORS}#in-a-stream"),
    ),
    ProviderAnswer(
        "openrouter",
        200,
        'data: {"id": "c", "object": "chat.completion.chunk", "error": {"code": "server_error", "message": "Provider '
        'disconnected"}, "choices": [{"index": 0, "delta": {"content": ""}, "finish_reason": "error"}]}\n\n',
        *(ModelUnavailable, "500 Internal Server Error", f"{ROUTER_ERRORS}#mid-stream"),
    ),
    azure(
        *(401, "401", AZURE_KEY, HoldReason.KEY_REFUSED, "401 Unauthorized"),
        f"{ISSUES}/microsoft/semantic-kernel/issues/10337",
    ),
    azure(
        *(403, "AuthenticationTypeDisabled", "Key based authentication is disabled for this resource."),
        *(HoldReason.KEY_REFUSED, "403 Forbidden", f"{ISSUES}/microsoft/sample-app-aoai-chatGPT/issues/1000"),
    ),
    *(
        azure(403, "403", message, HoldReason.NOT_PERMITTED, "403 Forbidden", f"{ISSUES}/{issue}")
        for message, issue in AZURE_NETWORK.items()
    ),
    azure(
        *(404, "DeploymentNotFound", AZURE_DEPLOYMENT, HoldReason.NOT_FOUND, "404 Not Found"),
        f"{ISSUES}/chatboxai/chatbox/issues/861",
    ),
    azure(
        *(404, "404", "Resource not found", HoldReason.NOT_FOUND, "404 Not Found"),
        f"{ISSUES}/microsoft/autogen/issues/3953",
    ),
    azure(
        *(429, "429", AZURE_RATE, ModelUnavailable, _SPENT, f"{ISSUES}/jasonacox/TinyLLM/issues/17"),
        # Source of the header: `openai._base_client`, and the error pages of Azure.
        headers={"retry-after-ms": "1500", "retry-after": "60"},
        wait=1.5,
    ),
    ProviderAnswer(
        "azure",
        400,
        {
            "error": {
                "message": AZURE_FILTER,
                "type": None,
                "param": "prompt",
                "code": "content_filter",
                "status": 400,
                "innererror": {
                    "code": "ResponsibleAIPolicyViolation",
                    "content_filter_result": {"violence": {"filtered": True, "severity": "medium"}},
                },
            }
        },
        *(ModelRefused, "400 Bad Request (code content_filter)", f"{ISSUES}/compl-ai/compl-ai/issues/20"),
    ),
    ProviderAnswer(
        "moonshot",
        429,
        {"error": {"message": SUSPENDED, "type": "exceeded_current_quota_error"}},
        *(HoldReason.OUT_OF_CREDIT, "429 Rate Limit (code exceeded_current_quota_error)"),
        f"{ISSUES}/MoonshotAI/kimi-code/pull/1857",
    ),
    # The same words mean a minute's limit and a plan without credit: retry, since it may pass.
    ProviderAnswer(
        "gemini",
        429,
        {"error": {"code": 429, "message": QUOTA, "status": "RESOURCE_EXHAUSTED"}},
        *(ModelUnavailable, _SPENT, f"{ISSUES}/google-gemini/gemini-cli/issues/8437"),
    ),
    ProviderAnswer(
        "local",
        404,
        {
            "error": {
                "message": 'model "x" not found, try pulling it first',
                "type": "api_error",
                "param": None,
                "code": None,
            }
        },
        *(HoldReason.NOT_FOUND, "404 Not Found", f"{ISSUES}/netease-youdao/QAnything/issues/555"),
    ),
    ProviderAnswer(
        "local",
        404,
        {
            "object": "error",
            "message": "The model `x` does not exist.",
            "type": "NotFoundError",
            "param": None,
            "code": 404,
        },
        *(HoldReason.NOT_FOUND, "404 Not Found", f"{ISSUES}/vllm-project/vllm/issues/3485"),
    ),
]
