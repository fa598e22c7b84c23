"""Sentences that tell a limit of the system, each with the constant or the setting that it tells.

A fact's sentence stands in some document, or it would hold nothing; its numbers are the code's, in whatever unit.
"""

from functools import cache

from api import crowd, http_protocol, schemas, signature
from config import secret_files, tenant_directory, tenants
from dispatch import inbox
from integrations import breaker
from storage.limits import MOST_ATTEMPTS
from tests.documents.alert_words import rules
from tests.documents.cluster_limits import facts_of_the_cluster
from tests.documents.defaults import of_settings
from tests.documents.documents import Document
from tests.documents.facts import Fact, told_in
from tests.documents.panel_limits import facts_of_panels
from workflow import retry


def _facts_of_the_front_door() -> list[Fact]:
    body, head, window = schemas.LARGEST_BODY_BYTES, http_protocol.LARGEST_HEAD_BYTES, signature.WINDOW_SECONDS
    waiting, patience = http_protocol._MOST_WAITING_REQUESTS, of_settings()["WEBHOOK_TIMEOUT_SECONDS"]
    return [
        Fact("the body has more than {}", (body,)),
        Fact("`body too large` | over {}", (body,)),
        Fact("the headers have more than {}", (head,)),
        Fact("`headers too large` | over {}", (head,)),
        Fact("at most {} of headers", (head,)),
        Fact("headers or the body did not come within {}", (patience,)),
        Fact("`body too slow` | over {}", (patience,)),
        Fact("it must be within {}", (window,)),
        Fact("over {} apart", (window,)),
        Fact("clock is off by over {}", (window,)),
        Fact("since the window of {} is shorter", (window,)),
        Fact("(within {} where a timestamp is signed", (window,)),
        Fact("over {} requests", (waiting,)),
        Fact("at most {} requests", (waiting,)),
        Fact("{} requests are being answered", (crowd.MOST_CONNECTIONS,)),
        Fact("more than {} connections", (crowd.MOST_CONNECTIONS,)),
        Fact("comes at all is closed after {}", (http_protocol.FIRST_BYTE_SECONDS,)),
        Fact("a second delivery within {}", (inbox._DUPLICATE_SECONDS,)),
    ]


def _facts_of_jobs() -> list[Fact]:
    setting, attempts = of_settings(), MOST_ATTEMPTS
    deadline, past = setting["JOB_DEADLINE_SECONDS"], rules()["AiAgentsAcceptedWithoutOutcome"].lasts
    return [
        Fact("{} attempts within {}", (attempts, deadline)),
        Fact("retried by itself, up to {} times in {}", (attempts, deadline)),
        Fact("gave up after {} attempts", (attempts,)),
        Fact("No worker ended the job within {}", (deadline,)),
        Fact("if it is back within {}", (deadline,)),
        Fact("fails at its deadline, {} by default", (deadline,)),
        Fact("Those with AGE over {}", (deadline + past,)),
        Fact("and up to {} an attempt is waited for", (setting["ATTEMPT_TIMEOUT_SECONDS"],)),
        Fact("ends such a worker after {}", (setting["WORKER_STUCK_SECONDS"],)),
        Fact("A worker ends itself after {}", (setting["WORKER_STUCK_SECONDS"],)),
        Fact("{} without content", (setting["OPENAI_TIMEOUT_SECONDS"],)),
        Fact("failed {} times in a row", (breaker.MOST_FAILURES,)),
        Fact("held back for {}", (breaker.REST_SECONDS,)),
        Fact("Retries come after {}, doubling", (retry.FIRST_SECONDS,)),
    ]


def _facts_of_tenants() -> list[Fact]:
    again, settled = tenant_directory._REREAD_SECONDS, secret_files.SETTLED_SECONDS
    return [
        Fact("are read again every {}", (again,)),
        Fact("were left alone for {}", (settled,)),
        Fact("is in force after {} at most", (again + settled,)),
        Fact("and counts {} later", (again + settled,)),
        Fact("read again within {}", (again + settled,)),
        Fact("the usual {} (in the cloud {})", (_usual_rate(""), _usual_rate("cloud"))),
        Fact("{} on premises, {} on cloud", (_usual_rate(""), _usual_rate("cloud"))),
    ]


@cache
def _usual_rate(edition: str) -> int:
    settings = {"WEBHOOK_SECRET_ACME": "secret", "SERVICEDESK_URL_ACME": "https://desk.example"}
    if edition:
        keys = ("CLIENT_ID", "CLIENT_SECRET", "REFRESH_TOKEN")
        settings |= {f"SERVICEDESK_{key}_ACME": "key" for key in keys} | {
            "SERVICEDESK_EDITION_ACME": edition,
            "SERVICEDESK_ACCOUNTS_URL_ACME": "https://accounts.zoho.eu",
        }
    else:
        settings["SERVICEDESK_API_KEY_ACME"] = "key"
    known, problems = tenants.parse_tenants(settings)
    desk = known["acme"].desk
    assert desk is not None, problems
    return desk.rate_per_minute


def _facts_of_alerts() -> list[Fact]:
    depth, success = rules()["AiAgentsQueueDepthHigh"], rules()["AiAgentsSuccessRateLow"]
    (waiting,) = [value for kind, value, _ in depth.limits if kind == "count"]
    (share,) = [value for kind, value, _ in success.limits if kind == "share"]
    both = "a queue of over {} jobs for {} and on a success rate of under {} for {}"
    return [
        Fact(both, (waiting, depth.lasts, share, success.lasts)),
        Fact("success rate under {} for {}", (share, success.lasts)),
        Fact("success rate in `Baseline Metrics` is under {}", (share,)),
    ]


@cache
def facts() -> tuple[Fact, ...]:
    """Everything that is held."""
    return (
        *_facts_of_the_front_door(),
        *_facts_of_jobs(),
        *_facts_of_tenants(),
        *_facts_of_alerts(),
        *facts_of_panels(),
        *facts_of_the_cluster(),
    )


def wrong_limits(document: Document) -> list[str]:
    """The words of each fact that are not so."""
    return [words for _, words, is_true in told_in(document, facts()) if not is_true]
