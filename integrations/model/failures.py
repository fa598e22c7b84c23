"""Failures of the openai package as ours."""

import openai

from integrations.errors import ModelRefused, ModelUnavailable, OutsideFailure, retry_after_seconds, status_words

_LATER = {408, 409, 425, 429}
_CODES = {"rate_limit_exceeded": 429, "insufficient_quota": 429, "server_error": 500, "overloaded": 503}


def of_status(status: int, retry_after: float | None) -> OutsideFailure:
    """Return the failure that an HTTP status is: later, or never."""
    if status in _LATER or status >= 500:
        return ModelUnavailable(status_words(status), retry_after)
    return ModelRefused(status_words(status))


def classed(failure: openai.OpenAIError) -> OutsideFailure:
    """Return one of the package's exceptions as a failure with our own words; its text is left behind."""
    if isinstance(failure, openai.APIStatusError):
        return of_status(failure.status_code, retry_after_seconds(failure.response.headers.get("retry-after")))
    if isinstance(failure, openai.APIConnectionError):  # its timeout too: ours come first, but for connecting
        return ModelUnavailable("connection")
    if isinstance(failure, openai.APIResponseValidationError):
        return ModelRefused("invalid answer")
    if isinstance(failure, openai.APIError):
        # An error event in the middle of a stream; it has no status, and its code is a number or a word.
        return of_status(code_of(failure.code if failure.code is not None else failure.type), None)
    return ModelRefused("invalid answer")


def code_of(code: object) -> int:
    """Return the HTTP status in a failure's `code`: a number, also as text, or one of OpenAI's words; else 500."""
    if isinstance(code, str | int) and str(code).isdecimal() and len(str(code)) == 3 and int(code) >= 400:
        return int(code)
    return _CODES.get(str(code), 500)
