"""Access to a desk: keys, OAuth access tokens, rate limit.

Sources: the vendor's pages on authentication (on premises `authtoken`, cloud `Zoho-oauthtoken`) and Zoho's OAuth page
(ten access tokens in ten minutes per refresh token; a failure can be a 200 with `error`); messages from its list of
status codes; https://www.zoho.com/accounts/protocol/oauth/self-client/authorization-code-flow.html for grant codes.
"""

import hmac
import secrets
import time
from collections import deque
from collections.abc import Mapping
from typing import Any

from dev.simulators.servicedesk.envelope import INVALID_KEY, INVALID_URL, NOT_FOUND, RATE_LIMIT, RefusedError
from dev.simulators.servicedesk.settings import DeskOptions

MAX_TOKENS = 10
TOKEN_WINDOW_SECONDS = 600
_RATE_WINDOW_SECONDS = 60.0


class _Window:
    """Counts events within the last `seconds`."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._times: deque[float] = deque()

    def admits(self, most: int) -> bool:
        now = time.monotonic()
        while self._times and self._times[0] <= now - self._seconds:
            self._times.popleft()
        if len(self._times) >= most:
            return False
        self._times.append(now)
        return True


def _same(text: str, expected: str) -> bool:
    return hmac.compare_digest(text.encode(), expected.encode())


class Access:
    """Authentication and rate limit of one desk."""

    def __init__(self, settings: DeskOptions) -> None:
        self._settings = settings
        self._tokens: dict[str, float] = {}
        self._grant_code = settings.grant_code
        self._issued = _Window(TOKEN_WINDOW_SECONDS)
        self._called = _Window(_RATE_WINDOW_SECONDS)

    def check(self, headers: Mapping[str, str], *, names_portal: bool) -> None:
        """Admit an API call, or raise RefusedError.

        4022: bad key or token; 4015: over the rate. 4007 on premises if the desk is one of several portals and the call
        does not name it. The call then addresses another portal; a real desk's answer is not known.
        """
        if not self._is_authenticated(headers):
            raise RefusedError(INVALID_KEY, "Invalid API Key")
        limit = self._settings.rate_per_minute
        if limit is not None and not self._called.admits(limit):
            raise RefusedError(RATE_LIMIT, "API Rate Limit reached")
        portal_id = self._settings.portal_id
        if portal_id and not names_portal and headers.get("portalid") != portal_id:
            raise RefusedError(NOT_FOUND, INVALID_URL)

    def _is_authenticated(self, headers: Mapping[str, str]) -> bool:
        if self._settings.edition == "onpremises":
            return _same(headers.get("authtoken", ""), self._settings.api_key)
        scheme, _, token = headers.get("authorization", "").partition(" ")
        return scheme == "Zoho-oauthtoken" and self._tokens.get(token, 0.0) > time.monotonic()

    def issue(self, form: Mapping[str, str]) -> dict[str, Any]:
        """Return the body of `POST /oauth/v2/token`: a 200 even with an `error`."""
        proofs = {"refresh_token": ("refresh_token", self._settings.refresh_token)}
        proofs["authorization_code"] = ("code", self._grant_code)
        if (grant := form.get("grant_type", "")) not in proofs:
            return {"error": "unsupported_grant_type"}
        name, proof = proofs[grant]
        expected = {
            "client_id": (self._settings.client_id, "invalid_client"),
            "client_secret": (self._settings.client_secret, "invalid_client_secret"),
            name: (proof, "invalid_code"),
        }
        for key, (value, refusal) in expected.items():
            if not value or not _same(form.get(key, ""), value):
                return {"error": refusal}
        if not self._issued.admits(MAX_TOKENS):
            return {
                "error": "Access Denied",
                "error_description": "You have made too many requests continuously. Please try again.",
                "status": "failure",
            }
        now = time.monotonic()
        self._tokens = {token: expires for token, expires in self._tokens.items() if expires > now}
        token = f"1000.{secrets.token_hex(16)}.{secrets.token_hex(16)}"
        self._tokens[token] = now + self._settings.token_seconds
        refresh = {}
        if name == "code":
            # Valid once.
            self._grant_code, refresh = "", {"refresh_token": self._settings.refresh_token}
        return {
            **refresh,
            "access_token": token,
            "api_domain": "https://www.zohoapis.com",
            "token_type": "Bearer",
            "expires_in": self._settings.token_seconds,
        }

    def revoke_tokens(self) -> None:
        self._tokens.clear()
