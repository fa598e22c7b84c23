"""Announce a ticket of ServiceDesk Plus (on premises) to ai-agents, signed. Python 3.6 or later, nothing to install.

The desk runs it:  py ai_agents_webhook.py $COMPLETE_V3_JSON_FILE
For changes:       py ai_agents_webhook.py --event ticket.updated $COMPLETE_V3_JSON_FILE
Try it by hand:    py ai_agents_webhook.py --check

It prints one line for each try. Exit status 0: ai-agents has the ticket (or the check was right). 1: it has not.
"""

import hashlib
import hmac
import http.client
import json
import os
import random
import sys
import time
import urllib.error
import urllib.request
import uuid
from typing import Dict, List, Optional, Tuple

TENANT = "@TENANT@"
URL = "@URL@"
# The secret; or leave it empty, and put it into a file beside this one: ai_agents_webhook.secret
SECRET = "@SECRET@"

EVENT = "ticket.created"
# Seconds between the tries. The desk may end a script that runs for long: nothing begins after MOST_SECONDS.
PAUSES = (1, 2, 4, 8, 16)
MOST_SECONDS = 60
ANSWER_SECONDS = 10
# Worth another try. Every other answer below 500 will be the same the next time.
PASSING = (408, 425, 429)
REMEDIES = {
    400: "an older or damaged copy of this script: print the kit anew",
    403: "the secret is not the one in force, TENANT is misspelt, or this machine's clock is wrong",
    404: "URL is wrong: it ends in /webhook",
    405: "URL is wrong: it ends in /webhook",
}


class NotSent(Exception):
    """Why nothing can be sent; a sentence for the desk's admin."""


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """A redirected POST would become a GET without a body."""

    def redirect_request(self, *_):  # type: ignore[no-untyped-def]
        return None


def secret() -> bytes:
    """Return the secret. Raises NotSent without one."""
    found = SECRET
    if not found:
        beside = os.path.splitext(os.path.abspath(__file__))[0] + ".secret"
        try:
            with open(beside, "rb") as file:
                found = _text(file.read()).strip()
        except OSError:
            raise NotSent("SECRET is empty, and %s can't be read" % beside) from None
    if not found or found.startswith("PASTE-"):
        raise NotSent("SECRET is not filled in, at the top of this script")
    return found.encode("utf-8")


def ticket_of(path: str) -> str:
    """Return the id of the ticket that the desk wrote into the file. Raises NotSent."""
    if not path:
        raise NotSent("the desk gave no file: the command ends in $COMPLETE_V3_JSON_FILE")
    try:
        with open(path, "rb") as file:
            told = json.loads(_text(file.read()), strict=False)
    except OSError as failure:
        raise NotSent("the desk's file can't be read: %s" % failure.strerror) from None
    except ValueError:
        raise NotSent("the desk's file is not JSON: is its argument $COMPLETE_V3_JSON_FILE?") from None
    request = told.get("request", told) if isinstance(told, dict) else {}
    # `id` is the name of version 3; older files have the other one.
    found = request.get("id", request.get("WORKORDERID")) if isinstance(request, dict) else None
    ticket = str(found).strip()
    if isinstance(found, bool) or not (ticket.isdigit() and len(ticket) <= 20):
        raise NotSent("the desk's file has no request with an id")
    return ticket


def _text(raw: bytes) -> str:
    """Whatever the machine's encoding: what is needed of the text is digits."""
    for mark, encoding in ((b"\xef\xbb\xbf", "utf-8-sig"), (b"\xff\xfe", "utf-16"), (b"\xfe\xff", "utf-16")):
        if raw.startswith(mark):
            return raw.decode(encoding, "replace")
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        return raw.decode("latin-1")


def signed(key: bytes, body: bytes, delivery: str) -> Dict[str, str]:
    """Return the headers of a try that begins now."""
    timestamp = str(int(time.time()))
    digest = hmac.new(key, timestamp.encode("ascii") + b"." + body, hashlib.sha256).hexdigest()
    return {
        "Content-Type": "application/json",
        "X-ServiceDesk-Signature": "sha256=" + digest,
        "X-ServiceDesk-Timestamp": timestamp,
        "X-ServiceDesk-Delivery": delivery,
    }


def post(body: bytes, headers: Dict[str, str]) -> Tuple[Optional[int], str, float]:
    """Send it once: the status (None without an answer), what to print, and the pause that was asked for."""
    # Certificates are verified, and HTTPS_PROXY is honoured: both are urllib's ways.
    opener = urllib.request.build_opener(_NoRedirects)
    try:
        with opener.open(urllib.request.Request(URL, body, headers), timeout=ANSWER_SECONDS) as answer:
            return answer.status, "%d" % answer.status, 0.0
    except urllib.error.HTTPError as refused:
        refused.close()
        asked = refused.headers.get("Retry-After", "")
        return refused.code, "%d" % refused.code, float(asked) if asked.isdigit() else 0.0
    except (OSError, http.client.HTTPException) as failure:
        return None, "no answer (%s)" % getattr(failure, "reason", type(failure).__name__), 0.0


def _say(text: str) -> None:
    # What reads it may have any encoding, and what the machine says of a failure any letters.
    print("ai-agents: " + text.encode("ascii", "replace").decode("ascii"))
    sys.stdout.flush()


def announce(what: str, message: Dict[str, str]) -> bool:
    """Send until it is taken, or can't be, or time is over; True if it was taken."""
    if not URL.lower().startswith(("https://", "http://")) or "PASTE-" in URL:
        raise NotSent("URL is not filled in, at the top of this script")
    key = secret()
    body = json.dumps(message).encode("utf-8")
    # The same at each try: it is known again if an earlier one came through after all.
    delivery = str(uuid.uuid4())
    end = time.time() + MOST_SECONDS
    for pause in (*PAUSES, None):
        status, told, asked = post(body, signed(key, body, delivery))
        if status is not None and 200 <= status < 300:
            _say("%s: taken (%s)" % (what, told))
            return True
        if status is not None and status < 500 and status not in PASSING:
            remedy = REMEDIES.get(status, "it would be the same the next time")
            _say("%s: refused with %s, not tried again: %s" % (what, told, remedy))
            return False
        wait = max(pause * random.uniform(1, 1.2), asked) if pause is not None else None
        if wait is None or time.time() + wait > end:
            _say("%s: %s; given up" % (what, told))
            return False
        _say("%s: %s; again in %.1f s" % (what, told, wait))
        time.sleep(wait)
    return False


def main(arguments: List[str]) -> int:
    """Announce the ticket of the desk's file, or check the connection; the exit status."""
    try:
        if arguments == ["--check"]:
            return 0 if announce("check", {"tenant_id": TENANT, "event": "webhook.check"}) else 1
        event = EVENT
        if len(arguments) > 1 and arguments[0] == "--event":
            event, arguments = arguments[1], arguments[2:]
        # Joined: a path with blanks that nobody quoted comes in pieces.
        ticket = ticket_of(" ".join(arguments))
        message = {"tenant_id": TENANT, "ticket_id": ticket, "event": event}
        return 0 if announce("ticket " + ticket, message) else 1
    except NotSent as reason:
        _say("not sent: %s" % reason)
        return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
