"""Errors in each provider's format."""

from typing import Any, Literal

from simulators.exchange import Answer

Json = dict[str, Any]
Provider = Literal["openai", "openrouter", "azure", "local"]


class ApiError(Exception):
    """An error without a provider's envelope."""

    def __init__(self, status: int, message: str, *, param: str | None = None, code: str | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.param = param
        self.code = code

    def answer(self, provider: Provider, headers: dict[str, str] | None = None) -> Answer:
        return Answer.of_json(self.status, {"error": self.document(provider)}, headers)

    def document(self, provider: Provider) -> Json | str:
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
                told = {"message": self.message, "type": None, "param": "prompt", "code": self.code}
                return {**told, "status": self.status, "innererror": inner}
            case "azure":
                return {"code": self.code or str(self.status), "message": self.message}
            case "local" if self.param:
                return self.message
            case "local":
                return {"message": self.message, "type": "api_error", "param": None, "code": None}
            case "openai":
                kind = _error_type(self.status) if self.code not in NO_CREDIT else "insufficient_quota"
                return {"message": self.message, "type": kind, "param": self.param, "code": self.code}


NO_CREDIT = frozenset(
    {
        *("insufficient_quota", "credit_balance_exhausted"),
        *("organization_spend_limit_exceeded", "organization_usage_limit_exceeded", "project_spend_limit_exceeded"),
    }
)
"""Codes of a 429 whose type is `insufficient_quota`: https://help.openai.com/en/articles/6614457."""


def _error_type(status: int) -> str:
    if status == 429:
        return "rate_limit_error"
    return "server_error" if status >= 500 else "invalid_request_error"
