"""What documents put between back quotes, type or grep for, exists: log lines, reasons, panels, names."""

import json
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from devstack import document_tables as tables
from observability import phrases, tracing
from observability.phrases import Phrase
from tests.documents.documents import MarkdownFile, documents, lie
from tests.documents.kinds import IN_TRACES, KINDS, KINDS_FOR_DEVELOPERS, OF_TRACES, product

# A sentence's beginning, with a capital: a line, a panel's title, or what another program prints.
SENTENCE = re.compile(r"[A-Z][\w-]*[a-z0-9]\S* \S.*|[A-Z][\w-]+: ?.*")
# What kubectl, curl, Postgres and others print or are told, and the marker of a note.
OF_OTHERS = frozenset(
    {"Name:", "State:", "Last State", "Last State:", "Reason:", "Exit Code:", "Limits:", "Liveness:", "date"}
    | {
        "No resources found",
        "Name or service not known",
        "HTTP Error 401",
        "ServiceDesk Plus API: 403",
        "Upgrade: h2c",
        "Ref <job id>",
    }
    | {"Location:"}
)


@cache
def templates() -> tuple[str, ...]:
    """The fixed text of each log line, with `{places}`."""
    found = [phrase.template for phrase in vars(phrases).values() if isinstance(phrase, Phrase)]
    return tuple(t.replace("{process}", process) for t in found for process in ("API", "Worker", "Housekeeping"))


@cache
def shapes() -> list[re.Pattern[str]]:
    """How each line looks, whole or up to any place; identifiers and a cause may follow."""
    found = []
    for template in templates():
        first, *rest = re.split(r"\{\w+(?::[^}]*)?\}", template)
        begins = "|".join(re.escape(first[:end].strip()) for end in range(len(first), 3, -1) if first[:end].strip())
        after = ""
        for fixed in reversed(rest):
            clause, comma, more = map(re.escape, fixed.partition(", "))
            after = f"(?:[^,]+?(?:{clause}(?:{comma}{more}{after})?)?)?"
        found.append(re.compile(f"(?:{begins}|{re.escape(first)}{after})(?:, …|, held back for \\d+s|[….]*)"))
    return found


@cache
def titles() -> frozenset[str]:
    """The dashboards' and their panels', and the names of spans."""
    told = [json.loads((tables.DASHBOARDS / page).read_text(encoding="utf-8")) for page in tables._pages()]
    named = {title for page in told for title in (page["title"], *(panel["title"] for panel in page["panels"]))}
    return frozenset(named | {value for value in vars(tracing).values() if isinstance(value, str)})


def is_line(text: str) -> bool:
    """Return True if a log line begins so, and its reason is one of ours."""
    if refusal := re.fullmatch(r"Webhook rejected: status=(\d+), reason=([a-z][^:]*).*", text):
        return (int(refusal[1]), refusal[2]) in tables.refusals()
    reason = re.search(r"reason=([a-z][^,;:….]*)", text)
    if reason and not re.search(rf'"{re.escape(reason[1].strip())}("| ?{{)', product()):
        return False
    return any(shape.fullmatch(text) for shape in shapes())


def is_printed(text: str) -> bool:
    """Return True if it is a line, a title, a text of the product's, or what others print."""
    return text in OF_OTHERS or text in titles() or is_line(text) or text.strip().rstrip(":") in product()


def quoted(document: MarkdownFile) -> Iterator[str]:
    """What stands between back quotes, what is grepped for, and what is typed of ours."""
    yield from (mention.text.removeprefix("| ") for mention in document.mentions())
    for pattern in re.findall(r'grep (?:-\w+ )*"([^"$<]+)"', document.text):
        yield from (piece.lstrip("^") for piece in pattern.split(r"\|") if not piece.islower())
    for typed in re.findall(r"(?<![^\s(])((?:make|(?:\.venv/bin/)?ai-agents) [a-z][^|)&;\n]*)", document.script):
        yield typed.strip()


def unknown(document: MarkdownFile) -> list[str]:
    """What a document quotes and nothing has."""
    wrong = [
        f"no {kind}: {name}"
        for kind, names in OF_TRACES.findall(document.prose)
        for name in re.findall("`(.+?)`", names)
        if name not in IN_TRACES[kind]
    ]
    kinds = KINDS_FOR_DEVELOPERS if document.name.startswith("docs/dev/") else KINDS
    for text in quoted(document):
        named = [(kind, found) for kind, (shape, _) in kinds.items() if (found := shape.fullmatch(text))][:1]
        wrong += [f"no {kind}: {text}" for kind, found in named if not kinds[kind].has(found[found.re.groups])]
        if not named and SENTENCE.fullmatch(text) and not is_printed(text):
            wrong.append(f"nobody says: {text}")
    return wrong


@pytest.mark.parametrize("document", documents(), ids=lambda document: document.name)
def test_what_a_document_quotes_exists(document: MarkdownFile) -> None:
    assert unknown(document) == []


@pytest.mark.parametrize(
    "text",
    [
        *("Webhook doubled", "Webhook rejected: status=403, reason=signature wrong", "Breaker gone"),
        *(
            "Worker stoppeds",
            "Task completed: duration=1x, and dragons",
            "Task failed: job_id=1, ticket_id=2, reason=dra",
        ),
        *("Webhook rejected: status=404, reason=signature mismatch", "GPT-4 call status", "Webhooks by Outcome"),
        *("Task failed: reason=eaten by dragons", "AiAgentsSleepy", "ai_agents_webhook_total", "WEBHOOK_TIMEOUT"),
        *("api/webhooks.py", "ai-agents-wroker", "functions.py", ".ci/ran", "make demos", "ai-agents list"),
        *(
            "ai-agents jobs --all",
            ".venv/bin/ai-agents list",
            "ai-agents jobs --state lost",
            "api.app:make_app",
            "/readyz",
            "GET /health/alive",
        ),
        *("X-ServiceDesk-Signatur: sha256=<hex>", "webhook-sign", "claim_jobs", "DeskCaller"),
    ],
)
def test_what_there_is_not_is_found(text: str, tmp_path: Path) -> None:
    assert len(unknown(lie(f"It says `{text}`.", "dev", tmp_path))) == 1


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("the spans `Queue` and `Thinking`", "no span: Thinking"),
        ("the spans are `Contxt`", "no span: Contxt"),
        ("by the tag `ticket`", "no tag: ticket"),
        ("```sh\nmake teast\n```", "no verb of make: make teast"),
        ("```sh\nJOB=$(ai-agents job --ticket 7 | wc -l)\n```", "no command: ai-agents job --ticket 7"),
        ("```sh\nkubectl exec x -- ai-agents show 7\n```", "no command: ai-agents show 7"),
    ],
)
def test_what_is_typed_or_traced_and_is_not_is_found(text: str, problem: str, tmp_path: Path) -> None:
    assert problem in unknown(lie(text, "dev", tmp_path))
