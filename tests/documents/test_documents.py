"""Documents can't lie: whatever they mention exists, and each command could be typed. Nothing runs here."""

import json
import re
import shutil
import subprocess
from functools import cache
from pathlib import Path

import pytest

from tests.documents import cluster_words, commands, sources, statuses, vocabulary
from tests.documents.alert_words import rules, summaries, wrong_alerts, wrong_in
from tests.documents.documents import ROOT, Block, Document, broken_links, documents
from tests.documents.exits import known, of_the_help, wrong_exits
from tests.documents.facts import told_in
from tests.documents.lies import LIES as OTHER_LIES
from tests.documents.limits import facts, wrong_limits
from tests.documents.lists import unknown_in_lists, unknown_lines
from tests.documents.mentions import unknown_mentions
from tests.documents.panel_cells import unknown_panels
from tests.documents.panel_limits import wrong_panel_limits
from tests.documents.setting_words import wrong_defaults

DOCUMENTS = documents()
SUPPORT = [document for document in DOCUMENTS if document.is_for_support]
RUNBOOKS = {document.path.name: document for document in SUPPORT if document.name.startswith("docs/runbooks/")}


_JAEGER = re.compile(r"service=ai-agents-(?:api|worker|housekeeping) \w+_id=<")
_FROM_OUTSIDE = r"(?:\$API|https://api\.ai-agents\.com)(/[\w/]*)"


def faults(document: Document) -> list[str]:
    """All that is wrong with a document."""
    return list(_faults(document, document.text))


@cache
def _faults(document: Document, _text: str) -> tuple[str, ...]:
    found = [f"dead link: {target}" for target in broken_links(document)]
    found += [f"no such thing: {mention}" for mention in unknown_mentions(document)]
    found += [f"not of that kind: {name}" for name in unknown_in_lists(document)]
    found += [f"no such line: {line}" for line in unknown_lines(document)]
    found += [f"no such panel: {part}" for part in unknown_panels(document)]
    found += [f"not as the alert has it: {amount}" for amount in wrong_alerts(document)]
    found += [f"not the default: {amount}" for amount in wrong_defaults(document)]
    found += [f"not the panel's limit: {amount}" for amount in wrong_panel_limits(document)]
    found += [f"not the limit: {words}" for words in wrong_limits(document)]
    found += [f"no such exit status: {status}" for status in wrong_exits(document)]
    found += [f"no such status: {number}" for number in statuses.unknown_in_prose(document)]
    found += [f"wrong command: {problem}" for problem in commands.document_problems(document)]
    found += [f"{block.line}: no kind of block: {block.language}" for block in document.blocks() if not is_known(block)]
    if document.is_for_support:
        blocks = [block for block in document.blocks("sh") if not block.only_names and not block.expectation]
        found += [f"{block.line}: says not what to expect" for block in blocks]
    return tuple(found)


def is_known(block: Block) -> bool:
    """Whether its language is one that is looked after, or it draws something or is what to type into Jaeger."""
    if block.language == "ini":
        names = re.findall(r"^(\w+)=", block.text, re.MULTILINE)
        return all(sources.is_setting(name) or name in vocabulary.OTHER_SETTINGS for name in names)
    if block.language == "json":
        return all(sources.is_setting(name) for name in json.loads(block.text)["stringData"])
    return block.language in ("sh", "bash", "sql", "mermaid") or "►" in block.text or bool(_JAEGER.match(block.text))


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda document: document.name)
def test_what_a_document_mentions_exists(document: Document) -> None:
    assert faults(document) == []


@pytest.mark.parametrize("document", SUPPORT, ids=lambda document: document.name)
def test_a_document_for_support_begins_with_the_answer_and_ends_with_whom_to_ask(document: Document) -> None:
    headings = re.findall(r"^## (.+)$", document.prose, re.MULTILINE)
    assert headings[0].lower() == "quick answer"
    assert headings[1].startswith("Symptoms") or "webhook-setup" in document.name
    assert any("escalat" in heading.lower() for heading in headings)


def test_the_index_names_every_document() -> None:
    index = next(document for document in DOCUMENTS if document.name == "docs/README.md")
    linked = {(index.path.parent / target.split("#")[0]).resolve() for target in index.links()}
    assert [document.name for document in SUPPORT if document.path not in linked] == []


def test_each_alert_has_a_section_in_one_runbook_and_a_row_in_the_index() -> None:
    index = (ROOT / "docs" / "README.md").read_text(encoding="utf-8")
    for alert in sources.alerts():
        homes = [name for name, runbook in RUNBOOKS.items() if f"\n## {alert}\n" in runbook.text]
        assert len(homes) == 1, alert
        row = next(line for line in index.splitlines() if f"`{alert}`" in line)
        assert homes[0] in row


def test_the_runbooks_that_alerts_link_exist() -> None:
    """`runbook_url` of an alert is the runbook that has its section."""
    text = sources.ALERTS.read_text(encoding="utf-8")
    for alert, link in re.findall(r"alert: (\w+)\n(?:(?!alert: ).*\n)*? +runbook_url: \"?(\S+?)\"?\n", text):
        assert f"\n## {alert}\n" in RUNBOOKS[Path(link).name].text, alert


def test_each_alert_says_of_itself_what_it_asks_for() -> None:
    """Its summary has the numbers and times of its rule."""
    assert rules().keys() == summaries().keys() == sources.alerts()
    assert [wrong for name, summary in summaries().items() for wrong in wrong_in(summary, rules()[name])] == []


def test_each_limit_that_is_held_is_told_somewhere() -> None:
    """Words that no document has any more would hold nothing."""
    told = {fact for document in DOCUMENTS for fact, _, _ in told_in(document, facts())}
    assert [fact.words for fact in facts() if fact not in told] == []


def test_the_help_says_of_each_exit_status_what_the_code_means_by_it() -> None:
    assert {status: known()[status].search(words) is not None for status, words in of_the_help().items()} == (
        dict.fromkeys(of_the_help(), True)
    )


def test_the_table_of_refusals_is_the_code_s() -> None:
    """Each status and each reason that a webhook can be refused with has its row, and there is no other row."""
    text = RUNBOOKS["WEBHOOK_TROUBLESHOOTING_RUNBOOK.md"].text
    rows = re.findall(r"^\| (\d{3}) \| ([^|]*) \|", text, re.MULTILINE)
    assert {int(status) for status, _ in rows} == statuses.of_webhooks()
    told = {(int(status), reason) for status, cell in rows for reason in re.findall(r"`([^`(]+)`", cell)}
    promised = {(status, reason) for status, reason in told if not reason.startswith("Webhook ")}
    assert promised == statuses.refused()


def test_panels_are_those_of_the_dashboards() -> None:
    """Each dashboard that a document names has the panels that it is said to have."""
    if not sources.panels():
        pytest.skip("no dashboards in the tree yet: panels are held to the agreed list")
    assert vocabulary.AGREED.keys() <= sources.panels().keys()
    for title, panels in vocabulary.AGREED.items():
        assert set(panels) <= sources.panels()[title]


def test_names_in_kubernetes_are_those_of_the_manifests() -> None:
    manifests = ROOT / "k8s"
    if not manifests.exists():
        pytest.skip("no manifests in the tree yet")
    text = "\n".join(path.read_text(encoding="utf-8") for path in manifests.rglob("*.yaml"))
    assert {name for name in cluster_words.KUBERNETES_NAMES if not re.search(rf"name: {name}\b", text)} == set()


def test_what_is_called_from_outside_is_what_the_ingress_lets_in() -> None:
    """`$API` and `api.ai-agents.com` are the world's way to the API: what has no path there stays in the cluster."""
    ingress = (ROOT / "k8s" / "overlays" / "production" / "ingress.yaml").read_text(encoding="utf-8")
    open_paths = set(re.findall(r"- path: (\S+)", ingress))
    called = {path for document in SUPPORT for path in re.findall(_FROM_OUTSIDE, document.text)}
    assert called == open_paths


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("kubectl"), reason="needs kubectl")
@pytest.mark.parametrize("verb", cluster_words.KUBECTL_FLAGS)
def test_the_flags_of_kubectl_are_kubectl_s(verb: str) -> None:
    """What the checker lets pass is what the real one takes."""
    told = subprocess.run(["kubectl", *verb.split(), "--help"], capture_output=True, text=True, check=True).stdout
    general = subprocess.run(["kubectl", "options"], capture_output=True, text=True, check=True).stdout
    for flag in cluster_words.KUBECTL_FLAGS[verb].split():
        parts = [f"-{letter}" for letter in flag[1:]] if re.fullmatch(r"-[a-z]{2}", flag) else [flag]
        for part in parts:
            assert re.search(rf"(?m)^\s+(?:-\w, )?{part}[ ,=]", told + general), part


# -- Shown to fail: each kind of lie, in a copy -----------------------------------------------------------------------
LIES = {
    "a wrong phrase": ("`Webhook duplicate`", "`Webhook doubled`"),
    "a wrong reason": ("reason=signature mismatch`", "reason=signature wrong`"),
    "a reason that there is not": ("reason=signature mismatch`", "`, `reason=worker vanished`"),
    "a wrong metric": ("`ai_agents_webhooks_total`", "`ai_agents_webhook_total`"),
    "a dead link": ("(secret-rotation.md)", "(secrets-rotation.md)"),
    "a dead anchor": ("(#aiagentssignaturefailuresrising)", "(#signaturefailuresrising)"),
    "a wrong flag": ("--all-pods=true", "--all-pod=true"),
    "a forgotten flag": (" --all-pods=true", ""),
    "a wrong panel": ("`Webhooks by Result`", "`Webhooks by Outcome`"),
    "a wrong alert": ("[AiAgentsSignatureFailuresRising]", "[`AiAgentsSignatureFailing`]"),
    "a wrong setting": ("`WEBHOOK_TIMEOUT_SECONDS`", "`WEBHOOK_TIMEOUT`"),
    "a wrong deployment": ("deployment/ai-agents-api", "deployment/ai-agent-api"),
    "a wrong namespace": ("-n ai-agents-production", "-n ai-agents"),
    "a wrong secret": ("get secret ai-agents-secrets", "get secret ai-agents-secret"),
    "a wrong key of the secret": (".data.WEBHOOK_SECRET_", ".data.WEBHOOKS_SECRET_"),
    "a wrong route": ("`/webhook`", "`/webhooks`"),
    "a wrong header": ("`X-Hub-Signature-256`", "`X-Hub-Signature-512`"),
    "a program that there is not": ("sha256sum", "sha265sum"),
    "a grep for what nobody prints": ('grep "Tenant settings unusable"', 'grep "Tenant settings unuseable"'),
    "bad syntax": ('body="{', 'body=""{('),
    "no expectation": ("Expect `SHA2-256(stdin)= `", "See `SHA2-256(stdin)= `"),
    "a wrong status": ("Expect `422`", "Expect `410`"),
    "a wrong status in a phrase": ("status=403, reason=...`", "status=402, reason=...`"),
    "a reason of another status": ("status=403, reason=signature mismatch`", "status=404, reason=signature mismatch`"),
    "a wrong status in a sentence": ("for a 403;", "for a 418;"),
    "a wrong status in a list": ("404, 405, 413", "404, 406, 413"),
}
_FAILURES, _SETUP = "docs/runbooks/enhancement-failures.md", "docs/support/faq/faq-webhook-setup.md"
_ERRORS = "docs/support/faq/troubleshooting-high-error-rate.md"
LIES_ELSEWHERE = OTHER_LIES | {
    "a status of nobody's": (_FAILURES, "`404`: the model", "`410`: the model"),
    "a status that the model never gave": (_ERRORS, "error: 404 Not Found`", "error: 410 Gone`"),
    "other words for a status": (_ERRORS, "429 Rate Limit", "429 Too Many Requests"),
    "half a word for a status": (_ERRORS, "401 Unauthorized", "401 Unauth"),
    "a status that a desk never gave": (_FAILURES, "Plus API error: 500`", "Plus API error: 418`"),
    "words that are not told of a desk": (_FAILURES, "Plus API error: 403`", "Plus API error: 403 Forbidden`"),
    "a failure that is called an answer": (_FAILURES, "API call: status=200`", "API call: status=500`"),
    "a status of nobody's in a reason": ("docs/runbooks/secret-rotation.md", "Plus API: 401`", "Plus API: 402`"),
    "a status of nobody's in a sentence": (_SETUP, "any 500 or 503", "any 500 or 507"),
    "an answer of nobody's": ("docs/dashboards.md", "answered 503", "answered 204"),
    "a measured answer of nobody's": ("docs/chaos.md", "desk throttles (429)", "desk throttles (409)"),
    "a row of nobody's status": ("docs/webhook.md", "| 413, 431 |", "| 413, 432 |"),
}


@pytest.mark.parametrize("lie", LIES)
def test_a_lie_is_found(lie: str, tmp_path: Path) -> None:
    assert is_found("docs/runbooks/WEBHOOK_TROUBLESHOOTING_RUNBOOK.md", *LIES[lie], tmp_path)


@pytest.mark.parametrize("lie", LIES_ELSEWHERE)
def test_a_lie_in_another_document_is_found(lie: str, tmp_path: Path) -> None:
    assert is_found(*LIES_ELSEWHERE[lie], tmp_path)


def is_found(name: str, true: str, false: str, folder: Path) -> bool:
    """Whether a copy of the document with something false in place of something true has faults of its own."""
    shutil.copytree(ROOT / "docs", folder / "docs")
    for document in ROOT.glob("*.md"):
        shutil.copy(document, folder)
    path = folder / name
    text = path.read_text(encoding="utf-8")
    assert true in text
    path.write_text(text.replace(true, false), encoding="utf-8")
    try:
        found = faults(Document(path, folder))
    except AssertionError as refused:
        found = [str(refused)]
    return bool(set(found) - set(faults(Document(ROOT / name))))
