"""Mapping of openai's errors, and errors in answers, to `integrations.errors`.

Sources of the codes: https://developers.openai.com/api/docs/guides/error-codes,
https://help.openai.com/en/articles/6614457 (spending), https://openrouter.ai/docs/api/reference/errors-and-debugging;
recorded bodies: `tests/integrations/provider_answers.json`.
"""

import re

import httpx2
import openai

from integrations.errors import ExternalError, ModelDeniedError, ModelRefusedError, ModelUnavailableError
from integrations.http import retry_after_of, status_words
from integrations.resilience import HoldReason

CONTENT_FILTER = "content_filter"
_LATER = {408, 409, 425, 429}
_NAMED_CODES = frozenset(
    {
        *("unsupported_value", "unsupported_parameter", "unknown_parameter", "missing_required_parameter"),
        *("invalid_value", "invalid_type", "invalid_json_schema", "integer_above_max_value", "integer_below_min_value"),
        *("context_length_exceeded", "string_above_max_length", "invalid_prompt", "content_policy_violation"),
        *("unsupported_model", "OperationNotSupported", CONTENT_FILTER),
    }
)
_NAMED_PARAMS = frozenset(
    {
        *("model", "messages", "stream", "stream_options", "response_format", "reasoning_effort", "reasoning"),
        *("max_completion_tokens", "max_tokens", "temperature", "top_p", "provider"),
    }
)
"""Codes and parameters that log lines may contain; a server may put any text into either."""
_RATE = "rate_limit_exceeded"
_NO_CREDIT = (
    *("insufficient_quota", "credit_balance_exhausted", "exceeded_current_quota_error"),
    *("organization_spend_limit_exceeded", "organization_usage_limit_exceeded", "project_spend_limit_exceeded"),
    *("billing_not_active", "billing_hard_limit_reached"),
)
_STATUSES = {
    **dict.fromkeys((_RATE, *_NO_CREDIT), 429),
    CONTENT_FILTER: 400,
    "invalid_api_key": 401,
    "model_not_found": 404,
    "server_error": 500,
    "overloaded": 503,
}
"""Statuses of codes in a stream, or in a body under HTTP 200."""
_DENIED_STATUSES = {401: HoldReason.KEY_REFUSED, 402: HoldReason.OUT_OF_CREDIT, 404: HoldReason.NOT_FOUND}
# Any other 403 concerns one question: OpenRouter's moderation uses it.
_DENIED_CODES = {
    **dict.fromkeys(_NO_CREDIT, HoldReason.OUT_OF_CREDIT),
    "invalid_api_key": HoldReason.KEY_REFUSED,
    "model_not_found": HoldReason.NOT_FOUND,
    "AuthenticationTypeDisabled": HoldReason.KEY_REFUSED,
    "unsupported_country_region_territory": HoldReason.NOT_PERMITTED,
}
# End of OpenRouter's 400 for an unknown model.
_NO_SUCH_MODEL = "is not a valid model ID"
# Start of a 403 without a code that is about all questions: OpenRouter's, and Azure's.
_DENIED_MESSAGES = {
    "Key limit exceeded": HoldReason.OUT_OF_CREDIT,
    "Access denied due to Virtual Network/Firewall rules": HoldReason.NOT_PERMITTED,
    "A Virtual Network is configured for this resource": HoldReason.NOT_PERMITTED,
    "Public access is disabled": HoldReason.NOT_PERMITTED,
}


def of_status(status: int, retry_after: float | None = None, *codes: object, param: object = None) -> ExternalError:
    """Return the failure for a status and its codes; `param` is the refused part."""
    names = [code for code in codes if isinstance(code, str)]
    if CONTENT_FILTER in names:
        return ModelRefusedError(status_words(status) + _refused_part(names, param))
    # OpenRouter: a 402 with a Retry-After is a temporary budget.
    passes = status == 402 and retry_after is not None
    reason = next((_DENIED_CODES[code] for code in names if code in _DENIED_CODES), _DENIED_STATUSES.get(status))
    if reason is not None and not passes:
        # The code distinguishes missing credit from a rate limit or a refused question.
        code = next((code for code in names if code in _NO_CREDIT), None)
        return ModelDeniedError(status_words(status) + (f" (code {code})" if code else ""), reason)
    if passes or status in _LATER or status >= 500:
        unavailable = ModelUnavailableError(status_words(status), retry_after)
        if status == 429 and _RATE in names:
            unavailable.reason += f" (code {_RATE})"  # only in the row: the log line must match the FAQ
        return unavailable
    return ModelRefusedError(status_words(status) + _refused_part(names, param))


def _refused_part(codes: list[str], param: object) -> str:
    """Return the refused part: ` (code unsupported_value, param temperature)`."""
    root = re.split(r"[.\[]", param)[0] if isinstance(param, str) else ""
    code = next((f"code {code}" for code in codes if code in _NAMED_CODES), "")
    parts = ", ".join(filter(None, (code, f"param {root}" if root in _NAMED_PARAMS else "")))
    return f" ({parts})" if parts else ""


def of_error(code: object, kind: object, message: object = None, param: object = None) -> ExternalError:
    """Return the failure for an error body without an HTTP status."""
    status = next((found for found in (_status_of(code), _status_of(kind)) if found is not None), 500)
    return _denied_in_words(status, message) or of_status(status, None, code, kind, param=param)


def _denied_in_words(status: int, message: object) -> ExternalError | None:
    text = message if isinstance(message, str) else ""
    reason = HoldReason.NOT_FOUND if status == 400 and text.endswith(_NO_SUCH_MODEL) else None
    if status == 403:
        reason = next((reason for words, reason in _DENIED_MESSAGES.items() if text.startswith(words)), None)
    return None if reason is None else ModelDeniedError(status_words(status), reason)


def classed(failure: openai.OpenAIError) -> ExternalError:
    """Map the package's exception to an ExternalError."""
    if isinstance(failure, openai.APIStatusError):
        wait = retry_after_of(failure.response.headers)
        denied = _denied_in_words(failure.status_code, message_of(failure))
        return denied or of_status(failure.status_code, wait, failure.code, failure.type, param=failure.param)
    is_down = isinstance(failure, openai.APIConnectionError)
    return ModelUnavailableError("connection") if is_down else ModelRefusedError("invalid answer")


def of_too_large(response: httpx2.Response) -> ExternalError:
    if response.status_code < 300:
        return ModelUnavailableError("invalid answer")
    return of_status(response.status_code, retry_after_of(response.headers))


def message_of(failure: openai.APIStatusError) -> str:
    """Return the message in the body, or the package's text.

    LM Studio's error is the message itself (https://github.com/lmstudio-ai/lmstudio-bug-tracker/issues/189).
    """
    body: object = failure.body
    message: object = body.get("message") if isinstance(body, dict) else body
    return message if isinstance(message, str) else failure.message


def _status_of(code: object) -> int | None:
    if isinstance(code, str | int) and str(code).isdecimal() and len(str(code)) == 3 and int(code) >= 400:
        return int(code)
    return _STATUSES.get(code) if isinstance(code, str) else None
