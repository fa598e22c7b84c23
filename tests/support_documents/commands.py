"""Commands of documents, looked at without running them: a shell takes them apart, with stubs in place of programs.

Each stub writes down its arguments, so that quotes, variables, pipes and loops are the shell's business. Then verbs,
flags and names are checked against what there is.
"""

import argparse
import contextlib
import io
import re
import shlex
import shutil
import subprocess
import tempfile
from functools import cache
from pathlib import Path

from support.arguments import add_verbs
from support.cli import main
from tests.support_documents import sources
from tests.support_documents.documents import Document

KUBECTL_FLAGS = {
    "logs": "--all-pods --since --tail --previous --prefix -l -f -n",
    "exec": "-it -i -n",
    "get": "-l -o -n --sort-by",
    "describe": "-l -n",
    "top pods": "-l -n",
    "scale": "--replicas -n",
    "annotate": "--overwrite -n",
    "patch": "--type -p -n",
    "delete": "-n",
    "rollout restart": "-n",
    "rollout status": "--timeout -n",
    "rollout history": "-n",
    "rollout undo": "-n",
    "set resources": "--limits -n",
}
_OTHER_FLAGS = {
    "curl": "-sS -s -i -o -w -H -d -m -D --http2",
    "openssl": "-sha256 -hmac -base64 -hex",
    "redis-cli": "-h",
    "psql": "-c",
}
_NAMES: dict[str, tuple[str, ...]] = {
    "deployment": ("ai-agents-api", "ai-agents-worker", "ai-agents-housekeeping"),
    "scaledobject": ("ai-agents-worker",),
    "secret": ("ai-agents-secrets",),
    "statefulset": ("redis",),
}
KUBERNETES_NAMES = frozenset(name for names in _NAMES.values() for name in names)
_KINDS = {"pods", "pod", "deployment", "secret", "hpa", "scaledobject", "events"}
_PLAIN = ("awk", "sed", "grep", "sort", "uniq", "wc", "base64", "head", "tail", "tr", "sha256sum", "cat", "date")
_STUBBED = ("kubectl", "curl", "openssl", "redis-cli", "psql", "ai-agents", "make", "sleep")
PROGRAMS = frozenset({*_STUBBED, "date"} - {"sleep"})
_JOB = "01936b2e-7c1a-7000-8000-0123456789ab"
# Names that a document has the reader set.
_GIVEN = {"API_URL": "http://api"}
_PRELUDE = """
record() { local IFS=$'\\037'; printf '%s\\036' "$*" >> "$RECORD"; }
command_not_found_handle() { record unknown "$@"; }
kubectl() {
  record kubectl "$@"
  case "$*" in *jsonpath*) printf c2VjcmV0 ;; *jobs*) printf 'JOB\\n%s acme\\n' "$EXAMPLE_JOB" ;; *) echo text ;; esac
}
""" + "\n".join(f'{name}() {{ record {name} "$@"; echo text; }}' for name in _STUBBED if name != "kubectl")


@cache
def calls(script: str) -> list[list[str]]:
    """Each call of a program in a shell script, as the shell hands it over; raises AssertionError for bad syntax."""
    with tempfile.TemporaryDirectory(prefix="documents-") as folder:
        tools = Path(folder) / "bin"
        tools.mkdir()
        for name in _PLAIN:
            found = shutil.which(name)
            if found:
                (tools / name).symlink_to(found)
        record = Path(folder) / "record"
        record.touch()
        environment = {"PATH": str(tools), "RECORD": str(record), "SECRETS_DIR": folder, "EXAMPLE_JOB": _JOB} | _GIVEN
        done = subprocess.run(
            [shutil.which("bash") or "bash", "-c", f"{_PRELUDE}\n{script}"],
            env=environment,
            cwd=folder,
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
            timeout=20,
        )
        assert "syntax error" not in done.stderr, done.stderr
        recorded = record.read_text(encoding="utf-8", errors="replace")
        return [call.split("\037") for call in recorded.split("\036") if call]


def problems(words: list[str]) -> list[str]:
    """What is wrong with one call; empty when nothing is."""
    program, *rest = words
    match program:
        case "kubectl":
            return _kubectl(rest)
        case "ai-agents":
            return _ours(rest)
        case "make":
            return [f"make has no {word}" for word in rest if "=" not in word and word not in sources.make_verbs()]
        case "redis-cli":
            return _flags(program, rest) + _redis(rest)
        case "unknown":
            return [f"{' '.join(rest)}: no such program"]
        case _:
            return _flags(program, rest)


def is_known(text: str) -> bool:
    """Whether a command in the middle of a sentence is one that could be typed."""
    if text.startswith("kubectl ") and text.removeprefix("kubectl ") in {*KUBECTL_FLAGS, *_KUBECTL_SHORT}:
        return True
    if text.startswith("ai-agents ") and text.split()[1:] and re.fullmatch(r"ai-agents [a-z]+(?: JOB)?", text):
        return text.split()[1] in our_verbs()
    try:
        found = calls(text.replace("JOB", _JOB))
    except AssertionError:
        return False
    return bool(found or text.startswith("date")) and not any(problems(call) for call in found)


_KUBECTL_SHORT = ("describe pod", "get pods", "rollout status", "scale", "logs deployment/NAME", "exec")


def document_problems(document: Document) -> list[str]:
    """What is wrong with the commands of its blocks, run as one session so that names which are set stay set."""
    script = "\n".join(block.text for block in document.blocks("sh"))
    found = calls(script)
    return [f"{shlex.join(call)}: {problem}" for call in found for problem in problems(call)]


def _kubectl(words: list[str]) -> list[str]:
    behind = words[words.index("--") + 1 :] if "--" in words else []
    words = words[: words.index("--")] if "--" in words else words
    verb = next((verb for verb in KUBECTL_FLAGS if words[: len(verb.split())] == verb.split()), None)
    if verb is None:
        return [f"kubectl has no such verb here: {' '.join(words[:2])}"]
    rest = words[len(verb.split()) :]
    found = [f"no flag {flag} of kubectl {verb}" for flag in _unknown_flags(rest, KUBECTL_FLAGS[verb].split())]
    if "-n" not in rest or rest[rest.index("-n") + 1 : rest.index("-n") + 2] != ["ai-agents-production"]:
        found.append("-n ai-agents-production is missing")
    if verb == "logs" and any(word.startswith("deployment/") for word in rest) and "--all-pods=true" not in rest:
        found += ["--all-pods=true is missing"] * ("deployment/ai-agents-housekeeping" not in rest)
    found += _kubernetes_names(rest)
    if verb in ("get", "describe", "delete", "patch", "annotate"):
        kind = rest[0].split("/")[0] if rest else ""
        found += [] if kind in _KINDS else [f"no kind {kind}"]
    if verb == "exec":
        # In its own pod Redis is at hand.
        here = ["redis-cli", "-h", "redis"] if "statefulset/redis" in rest else behind[:1]
        found += problems([*here, *behind[1:]]) if behind else ["nothing to run"]
        if behind[:2] == ["sh", "-c"]:
            found += [problem for call in calls(behind[2]) for problem in problems(call)]
            named = re.findall(r"\$\{?([A-Z_]+)", behind[2])
            found += [f"no setting {name}" for name in named if not _set_in_pods(name)]
    return found


def _set_in_pods(name: str) -> bool:
    return name in sources.settings() or name in ("REDISCLI_AUTH", "REDIS_PASSWORD")


def _kubernetes_names(words: list[str]) -> list[str]:
    text = " ".join(words)
    found = []
    for kind, names in _NAMES.items():
        named = re.findall(rf"(?<![\w.]){kind}[/ ]([a-z][\w-]*)", text)
        found += [f"no {kind} {name}" for name in named if name not in names]
    found += [f"no app {name}" for name in re.findall(r"app=([\w-]+)", text) if name not in _NAMES["deployment"]]
    keys = re.findall(r"\.data\.(\w+)", text) + re.findall(r'"([A-Z][A-Z_]+)":', text)
    found += [f"no key {key} in the secret" for key in keys if not (sources.is_setting(key) or _set_in_pods(key))]
    if "autoscaling" in text and not re.search(r"autoscaling\.keda\.sh/paused(?:-replicas)?(?:=\S+|-)", text):
        found.append("no annotation of KEDA's")
    return found


def _flags(program: str, words: list[str]) -> list[str]:
    known = _OTHER_FLAGS.get(program)
    return [] if known is None else [f"no flag {flag} of {program}" for flag in _unknown_flags(words, known.split())]


def _unknown_flags(words: list[str], known: list[str]) -> list[str]:
    return [
        word
        for before, word in zip(["", *words], words, strict=False)
        if re.match(r"--?[a-zA-Z]", word)
        and word.split("=")[0] not in known
        and not re.match(r"-[cdHpu]$|-hmac$", before)
    ]


def _redis(words: list[str]) -> list[str]:
    asked = [word for word in words if not word.startswith("-")]
    host = ["redis"] if "-h" in words else asked[:1]
    rest = asked[len(host) :]
    if rest in (["LLEN", "celery"], ["PING"]) or rest[:3] == ["ACL", "SETUSER", "default"]:
        return [] if words[:2] == ["-h", "redis"] else ["the host is missing: -h redis"]
    return [f"{' '.join(rest)} is no question that support asks"]


@cache
def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="ai-agents")
    add_verbs(parser.add_subparsers(dest="verb", required=True))
    return parser


def our_verbs() -> set[str]:
    """The verbs of `ai-agents`."""
    return set(re.findall(r"^    ([a-z]+) ", _cli_help(), re.MULTILINE))


@cache
def _cli_help() -> str:
    told = io.StringIO()
    with contextlib.redirect_stdout(told), contextlib.suppress(SystemExit):
        main(["--help"])
    return told.getvalue()


def _ours(words: list[str]) -> list[str]:
    if words and words[0] not in ("jobs", "show", "retry"):
        return [] if words[0] in our_verbs() else [f"ai-agents has no {words[0]}"]
    told = io.StringIO()
    try:
        with contextlib.redirect_stderr(told), contextlib.redirect_stdout(told):
            _parser().parse_args(words)
    except SystemExit as ended:
        return [told.getvalue().strip().splitlines()[-1]] if ended.code else []
    return []
