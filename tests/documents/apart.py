"""A shell script taken apart without running it: stubs stand in place of its programs.

Each stub writes down its arguments, so that quotes, variables, pipes and loops are the shell's business.
"""

import shutil
import subprocess
import tempfile
from functools import cache
from pathlib import Path

_PLAIN = ("awk", "sed", "grep", "sort", "uniq", "wc", "base64", "head", "tail", "tr", "sha256sum", "cat", "date")
_STUBBED = ("kubectl", "curl", "openssl", "redis-cli", "psql", "ai-agents", "make", "sleep", "docker", "kind", "rm")
# What a command in the middle of a sentence begins with.
PROGRAMS = frozenset({*_STUBBED, "date", "grep"} - {"sleep", "rm"})
EXAMPLE_JOB = "01936b2e-7c1a-7000-8000-0123456789ab"
# Names that a document has the reader set.
_GIVEN = {"API_URL": "http://api"}
_PRELUDE = """
record() { local IFS=$'\\037'; printf '%s\\036' "$*" >> "$RECORD"; }
grep() { record grep "$@"; command grep "$@"; }
command_not_found_handle() { record unknown "$@"; }
kubectl() {
  record kubectl "$@"
  case "$*" in
    *jsonpath*) printf c2VjcmV0 ;;
    *jobs*) printf 'JOB\\n%s acme\\n' "$EXAMPLE_JOB" ;;
    *) echo text ;;
  esac
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
        environment = {
            "PATH": str(tools),
            "RECORD": str(record),
            "SECRETS_DIR": folder,
            "EXAMPLE_JOB": EXAMPLE_JOB,
        } | _GIVEN
        done = subprocess.run(
            [shutil.which("bash") or "bash", "-c", f"{_PRELUDE}\n{script}"],
            env=environment,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
            timeout=20,
        )
        assert "syntax error" not in done.stderr, done.stderr
        recorded = record.read_text(encoding="utf-8", errors="replace")
        return [call.split("\037") for call in recorded.split("\036") if call]
