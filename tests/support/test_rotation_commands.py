"""Commands for a cluster's secret, run in a shell; each step runs once."""

import base64
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from support.secrets.files import RotationStep
from support.secrets.rotate import commands

RUNBOOK = Path(__file__).parents[2] / "docs/runbooks/secret-rotation.md"
needs_openssl = pytest.mark.skipif(shutil.which("openssl") is None, reason="needs openssl")
# A fake: the secret is a file, `get` reads a key, and `patch` merges.
KUBECTL = """
import json, pathlib, re, sys
path = pathlib.Path(sys.argv[0]).with_name("secret.json")
kept = json.loads(path.read_text())
if sys.argv[1] == "get":
    sys.stdout.write(kept.get(re.search(r"\\.data\\.(\\w+)", sys.argv[-1])[1], ""))
else:
    kept |= json.load(sys.stdin)["data"]
    path.write_text(json.dumps({name: value for name, value in kept.items() if value is not None}))
    print("patched")
"""


class ClusterSecret:
    """The secret `ai-agents-secrets` in plain text, and a shell."""

    def __init__(self, folder: Path, **values: str) -> None:
        self._folder = folder
        (folder / "kubectl").write_text(f"#!{sys.executable}\n{KUBECTL}", encoding="utf-8")
        (folder / "kubectl").chmod(0o755)
        encoded = {name: base64.b64encode(value.encode()).decode() for name, value in values.items()}
        (folder / "secret.json").write_text(json.dumps(encoded), encoding="utf-8")

    def type(self, step: RotationStep) -> str:
        done = self.typed("\n".join(commands(step, "acme-eu")))
        assert done.stderr == ""
        return done.stdout

    def typed(self, text: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["bash", "-c", text],
            env={"PATH": f"{self._folder}:{os.environ['PATH']}"},
            capture_output=True,
            text=True,
            check=False,
        )

    def lack(self, program: str, when: str = "") -> None:
        """Make a program fail if it is called with these words."""
        real = self._folder / program
        elsewhere = shutil.which(program) or "true"
        if real.exists():
            elsewhere = str(real.rename(real.with_name("real")))
        real.write_text(f'#!/bin/bash\n[[ "$*" == *"{when}"* ]] && exit 1\nexec {elsewhere} "$@"\n', encoding="utf-8")
        real.chmod(0o755)

    def values(self) -> dict[str, str]:
        kept = json.loads((self._folder / "secret.json").read_text(encoding="utf-8"))
        return {name: base64.b64decode(value).decode() for name, value in kept.items()}


@needs_openssl
def test_a_rotation_by_its_commands_changes_what_the_command_would_write(tmp_path: Path) -> None:
    cluster = ClusterSecret(tmp_path, WEBHOOK_SECRET_ACME_EU="0ld", WEBHOOK_TOKEN_ACME_EU="t0ken")
    patched, new = cluster.type(RotationStep.BEGIN).split()
    begun = {"WEBHOOK_SECRET_ACME_EU": new, "PREVIOUS_WEBHOOK_SECRET_ACME_EU": "0ld", "WEBHOOK_TOKEN_ACME_EU": "t0ken"}
    assert (patched, len(new), cluster.values()) == ("patched", 44, begun)
    assert cluster.type(RotationStep.BEGIN).split() == []
    assert cluster.values() == begun
    assert cluster.type(RotationStep.FINISH).split() == ["patched"]
    ended = {"WEBHOOK_SECRET_ACME_EU": new, "RETIRED_WEBHOOK_SECRET_ACME_EU": "0ld", "WEBHOOK_TOKEN_ACME_EU": "t0ken"}
    assert cluster.values() == ended
    assert cluster.type(RotationStep.FINISH) == ""
    assert cluster.values() == ended
    _, token = cluster.type(RotationStep.TOKEN).split()
    assert cluster.values() == ended | {"WEBHOOK_TOKEN_ACME_EU": token}


@needs_openssl
@pytest.mark.parametrize("previous", [{}, {"PREVIOUS_WEBHOOK_SECRET_ACME_EU": "0lder"}])
def test_a_leaked_secret_leaves_one_that_counts(previous: dict[str, str], tmp_path: Path) -> None:
    cluster = ClusterSecret(tmp_path, WEBHOOK_SECRET_ACME_EU="leaked", **previous)
    _, new = cluster.type(RotationStep.LEAKED).split()
    assert cluster.values() == {"WEBHOOK_SECRET_ACME_EU": new, "RETIRED_WEBHOOK_SECRET_ACME_EU": "leaked"}


@pytest.mark.parametrize("step", [RotationStep.BEGIN, RotationStep.LEAKED, RotationStep.TOKEN])
def test_without_a_new_secret_nothing_is_changed(step: RotationStep, tmp_path: Path) -> None:
    """An empty secret would close the tenant at the next start."""
    cluster = ClusterSecret(tmp_path, WEBHOOK_SECRET_ACME_EU="0ld", WEBHOOK_TOKEN_ACME_EU="t0ken")
    cluster.lack("openssl")
    assert cluster.type(step) == ""
    assert cluster.values() == {"WEBHOOK_SECRET_ACME_EU": "0ld", "WEBHOOK_TOKEN_ACME_EU": "t0ken"}


@needs_openssl
def test_nothing_begins_while_nobody_knows_whether_a_rotation_is_open(tmp_path: Path) -> None:
    opened = {"WEBHOOK_SECRET_ACME_EU": "n3w", "PREVIOUS_WEBHOOK_SECRET_ACME_EU": "0ld"}
    cluster = ClusterSecret(tmp_path, **opened)
    cluster.lack("kubectl", when=".PREVIOUS")
    assert cluster.type(RotationStep.BEGIN) == ""
    assert cluster.values() == opened


@needs_openssl
def test_one_secret_in_both_places_is_no_open_rotation(tmp_path: Path) -> None:
    cluster = ClusterSecret(tmp_path, WEBHOOK_SECRET_ACME_EU="0ne", PREVIOUS_WEBHOOK_SECRET_ACME_EU="0ne")
    _, new = cluster.type(RotationStep.BEGIN).split()
    assert cluster.values() == {"WEBHOOK_SECRET_ACME_EU": new, "PREVIOUS_WEBHOOK_SECRET_ACME_EU": "0ne"}


@pytest.mark.parametrize("kept", [True, False])
def test_the_old_secret_is_put_back_from_where_it_is_kept(kept: bool, tmp_path: Path) -> None:
    """The runbook allows this days later, in another shell."""
    retired = {"RETIRED_WEBHOOK_SECRET_ACME_EU": "0ld"} if kept else {}
    cluster = ClusterSecret(tmp_path, WEBHOOK_SECRET_ACME_EU="n3w", **retired)
    (block,) = re.findall(r"```sh\n([^`]*\"RETIRED_WEBHOOK_SECRET_%s\":null[^`]*)```", RUNBOOK.read_text("utf-8"))
    assert cluster.typed(f"NAME=ACME_EU\n{block}").stdout == ("patched\n" if kept else "")
    put_back = {"PREVIOUS_WEBHOOK_SECRET_ACME_EU": "0ld"} if kept else {}
    assert cluster.values() == {"WEBHOOK_SECRET_ACME_EU": "n3w", **put_back}


@pytest.mark.parametrize("step", list(RotationStep))
def test_no_command_has_a_secret_or_a_place_to_fill(step: RotationStep) -> None:
    lines = "\n".join(commands(step, "acme-eu"))
    assert "ACME_EU" in lines
    assert "@" not in lines
