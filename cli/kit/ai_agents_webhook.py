"""Announce a ticket of ServiceDesk Plus (on premises) to ai-agents, signed.

The desk runs it:  py ai_agents_webhook.py $COMPLETE_V3_JSON_FILE
For changes:       py ai_agents_webhook.py --event ticket.updated $COMPLETE_V3_JSON_FILE
Try it by hand:    py ai_agents_webhook.py --check

Python 3.6 or later, nothing to install. Exit status 0: ai-agents has the ticket (or the check was right); else 1.
"""

import hashlib
import hmac
import http.client
import json
import os
import random
import re
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
import uuid
from typing import Dict, List, Tuple

TENANT = "@TENANT@"
URL = "@URL@"
# The secret; or leave it empty, and put it into a file beside this one: ai_agents_webhook.secret
SECRET = "@SECRET@"

EVENT = "ticket.created"
# Seconds between attempts. No attempt begins after MAX_SECONDS, because the desk may end a long script.
PAUSES = (1, 2, 4, 8, 16)
MAX_SECONDS = 60
ANSWER_SECONDS = 10
_ADDRESS = "URL is wrong: it begins with https:// and ends in /webhook"
# Fixes for refusals. Attempts continue, because ai-agents or a proxy may be restarting.
REMEDIES = {
    301: _ADDRESS,
    302: _ADDRESS,
    307: _ADDRESS,
    308: _ADDRESS,
    400: "an older or damaged copy of this script: print the kit again",
    403: "the secret is not the one in force, TENANT is misspelt, or this machine's clock is wrong",
    404: _ADDRESS,
    405: _ADDRESS,
    422: "EVENT has other characters than A-Z, a-z, 0-9, blanks and _.:/-, or this script was changed",
}
_NOT_OURS = "%d, but not of ai-agents: is the URL right, or does a proxy answer?"
# A broken answer; on Python 3.6 also a certificate for another host is a ValueError.
_BROKEN = (OSError, http.client.HTTPException, ValueError)


class SendError(Exception):
    """Nothing can be sent; the text is a sentence for the desk's admin."""


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """Refuses redirects: a redirected POST would become a GET without a body."""

    def redirect_request(self, *_):  # type: ignore[no-untyped-def]
        return None


def settings() -> bytes:
    """Check the settings at the top, and return the secret. Raises SendError."""
    if "PASTE-" in URL:
        raise SendError("URL is not filled in, at the top of this script")
    try:
        parts = urllib.parse.urlsplit(URL)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    if not (usable and re.match(r"[!-~]+\Z", URL)):
        raise SendError(
            "URL, at the top of this script, is not an address like https://api.example.com/webhook, in ASCII"
        )
    secret = SECRET
    if not secret:
        secret_file = os.path.splitext(os.path.abspath(__file__))[0] + ".secret"
        try:
            with open(secret_file, "rb") as file:
                secret = _text(file.read()).strip()
        except OSError:
            raise SendError("SECRET is empty, and %s can't be read" % secret_file) from None
    if not secret or secret.startswith("PASTE-"):
        raise SendError("SECRET is not filled in, at the top of this script")
    return secret.encode("utf-8")


def ticket_of(path: str) -> str:
    if not path:
        raise SendError("the desk gave no file: the command ends in $COMPLETE_V3_JSON_FILE")
    try:
        with open(path, "rb") as file:
            document = json.loads(_text(file.read()), strict=False)
    except OSError as failure:
        raise SendError("the desk's file can't be read: %s" % failure.strerror) from None
    except (ValueError, RecursionError):
        raise SendError("the desk's file is not JSON: is its argument $COMPLETE_V3_JSON_FILE?") from None
    request = document.get("request", document) if isinstance(document, dict) else {}
    # `id` is the name in version 3, the other one in older files.
    number = request.get("id") or request.get("WORKORDERID") if isinstance(request, dict) else None
    ticket = str(number).strip()
    if not re.match(r"[0-9]{1,20}\Z", ticket):
        raise SendError("the desk's file has no request with an id")
    return ticket


def _text(raw: bytes) -> str:
    for mark, encoding in ((b"\xef\xbb\xbf", "utf-8-sig"), (b"\xff\xfe", "utf-16"), (b"\xfe\xff", "utf-16")):
        if raw.startswith(mark):
            return raw.decode(encoding, "replace")
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        return raw.decode("latin-1")


def signed(key: bytes, body: bytes, delivery: str, now: float) -> Dict[str, str]:
    """Return the headers of an attempt that begins at this Unix time."""
    timestamp = str(int(now))
    digest = hmac.new(key, timestamp.encode("ascii") + b"." + body, hashlib.sha256).hexdigest()
    return {
        "Content-Type": "application/json",
        "X-ServiceDesk-Signature": "sha256=" + digest,
        "X-ServiceDesk-Timestamp": timestamp,
        "X-ServiceDesk-Delivery": delivery,
    }


def post(body: bytes, headers: Dict[str, str]) -> Tuple[bool, str, float]:
    """Send it once; return success, the text to print and Retry-After in seconds."""
    # urllib verifies certificates and honours HTTPS_PROXY.
    opener = urllib.request.build_opener(_NoRedirects)
    try:
        with opener.open(urllib.request.Request(URL, body, headers), timeout=ANSWER_SECONDS) as answer:
            content = _json_object(answer.read(4000).decode("utf-8", "replace"))
            # A status alone proves nothing: a proxy's page is a success as well.
            accepted = answer.status == 202 and "job_id" in content
            accepted = accepted or (answer.status == 200 and content.get("status") == "verified")
            return accepted, ("taken (%d)" if accepted else _NOT_OURS) % answer.status, 0.0
    except urllib.error.HTTPError as refused:
        retry_after = refused.headers.get("Retry-After", "")
        problem = ": ".join(filter(None, [str(refused.code), REMEDIES.get(refused.code)]))
        try:
            text = refused.read1(4000).decode("utf-8", "replace")
            # Not an answer of ai-agents: words are shown, a page is not.
            text = str(_json_object(text).get("detail", "" if text.lstrip().startswith("<") else text))
            words = " ".join(text.split())[:200]
        except _BROKEN:
            words = ""
        refused.close()
        problem += ", cause: " + words if words else ""
        return False, problem, float(retry_after) if retry_after.isdecimal() else 0.0
    except _BROKEN as failure:
        reason = getattr(failure, "reason", None) or str(failure) or type(failure).__name__
        return False, "no answer (%s)" % reason, 0.0


def _json_object(text: str) -> Dict[str, object]:
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return document if isinstance(document, dict) else {}


def _log(text: str) -> None:
    # The reader may have any encoding, and the answer any characters.
    print("ai-agents: " + "".join(letter if " " <= letter <= "~" else "?" for letter in text))
    sys.stdout.flush()


def announce(subject: str, message: Dict[str, str]) -> bool:
    """Send until accepted or out of time; return True if accepted. Raises SendError."""
    key = settings()
    body = json.dumps(message).encode("utf-8")
    # The same for each attempt: the receiver recognises it if an earlier one arrived.
    delivery = str(uuid.uuid4())
    end = time.monotonic() + MAX_SECONDS
    for pause in (*PAUSES, None):
        accepted, result, retry_after = post(body, signed(key, body, delivery, time.time()))
        remaining = end - time.monotonic()
        if accepted or pause is None or remaining <= 0:
            _log("%s: %s%s" % (subject, result, "" if accepted else "; given up"))
            return accepted
        wait = min(max(pause * random.uniform(1, 1.2), retry_after), remaining)
        _log("%s: %s; again in %.1f s" % (subject, result, wait))
        time.sleep(wait)
    return False


def main(arguments: List[str]) -> int:
    """Announce the ticket of the desk's file, or check the connection."""
    try:
        if arguments == ["--check"]:
            return 0 if announce("check", {"tenant_id": TENANT, "event": "webhook.check"}) else 1
        event = EVENT
        if len(arguments) > 1 and arguments[0] == "--event":
            event, arguments = arguments[1], arguments[2:]
        # Joined: an unquoted path with blanks arrives in pieces.
        ticket = ticket_of(" ".join(arguments))
        message = {"tenant_id": TENANT, "ticket_id": ticket, "event": event}
        return 0 if announce("ticket " + ticket, message) else 1
    except SendError as reason:
        _log("not sent: %s" % reason)
    except KeyboardInterrupt:
        _log("stopped by hand")
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
