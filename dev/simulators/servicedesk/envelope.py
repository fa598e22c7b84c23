"""The envelope of API v3: `response_status`, and the inner codes by HTTP status.

Source of the codes:
https://www.manageengine.com/products/service-desk/sdpop-v3-api/getting-started/common-error-code.html The outer code
of a failure is 4000; the real one is in `messages`, with the texts below: recorded in the tests of
rapid7/insightconnect-plugins (`plugins/manage_engine_service_desk`).
"""

from typing import Any

from dev.simulators.answers import Json

SUCCESS = 2000
WARNING = 3000
FAILED = 4000
BAD_REFERENCE = 4001
FORBIDDEN = 4002
INTERNAL = 4004
NOT_FOUND = 4007
MANDATORY_FIELD = 4012
RATE_LIMIT = 4015
WRONG_TYPE = 4021
INVALID_KEY = 4022

HTTP_STATUS = {
    BAD_REFERENCE: 400,
    FORBIDDEN: 403,
    INTERNAL: 500,
    NOT_FOUND: 404,
    MANDATORY_FIELD: 400,
    RATE_LIMIT: 429,
    WRONG_TYPE: 400,
    INVALID_KEY: 401,
}
CODE_OF_HTTP_STATUS = {400: BAD_REFERENCE, 401: INVALID_KEY, 403: FORBIDDEN, 404: NOT_FOUND, 429: RATE_LIMIT}

EXTRA_KEY = "EXTRA_KEY_FOUND_IN_JSON"
INVALID_INPUT = "Invalid Input"
INVALID_URL = "Invalid URL"


class RefusedError(Exception):
    """A refused operation, with an inner code and optionally the field at fault."""

    def __init__(self, code: int, message: str | dict[str, Any], field: str | None = None) -> None:
        super().__init__(str(message))
        self.code = code
        self.message = message
        self.field = field


def success(document: dict[str, Any]) -> Json:
    """Return a single reply; its `response_status` is an object."""
    return Json({**document, "response_status": {"status_code": SUCCESS, "status": "success"}})


def success_list(document: dict[str, Any]) -> Json:
    """Return a list reply; its `response_status` is a list."""
    status = [{"status_code": SUCCESS, "status": "success"}]
    return Json({"response_status": status, **document})


def failure(error: RefusedError, http_status: int | None = None, retry_after: str | None = None) -> Json:
    """Return a failure, by default under the HTTP status of its inner code."""
    message: dict[str, Any] = {"status_code": error.code, "type": "failed", "message": error.message}
    if error.field is not None:
        message["field"] = error.field
    status = {"status_code": FAILED, "messages": [message], "status": "failed"}
    headers = {"retry-after": retry_after} if retry_after is not None else {}
    return Json({"response_status": status}, http_status or HTTP_STATUS.get(error.code, 400), headers)


def warning(message: str, *, as_list: bool) -> Json:
    """Return a 3000 under HTTP 200: it looks like success, but nothing was done."""
    entry = {"status_code": WARNING, "type": "warning", "message": message}
    status = {"status_code": WARNING, "messages": [entry], "status": "warning"}
    return Json({"response_status": [status] if as_list else status})
