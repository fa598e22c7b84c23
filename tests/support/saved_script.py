"""The kit's script as a desk's admin saves it."""

import os
import subprocess
import sys
from pathlib import Path

from tests.kit.receiver import SECRET
from tests.support.troubled_door import printed

NAME = "ai_agents_webhook.py"
TICKET = '{"request": {"id": "77", "subject": "A \\"quote\\", and Grüße"}}'


class Script:
    """The saved script, with pauses short enough for a test."""

    def __init__(self, folder: Path, url: str, secret: str = SECRET, pauses: str = "(0.1, 0.2)") -> None:
        self.python = sys.executable
        text = printed("script", NAME, url, secret or None)
        self.path = folder / NAME
        self.path.write_text(text.replace("PAUSES = (1, 2, 4, 8, 16)", f"PAUSES = {pauses}"), encoding="utf-8")
        self._ticket = folder / "77_1.json"
        self._ticket.write_text(TICKET, encoding="utf-8")

    def start(self, *arguments: str, **environment: str) -> "subprocess.Popen[str]":
        # -S: a desk does not have this interpreter's packages.
        command = [self.python, "-S", str(self.path), *(arguments or [str(self._ticket)])]
        kept = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
        return subprocess.Popen(command, env=kept | environment, stdout=subprocess.PIPE, text=True)

    def run(self, *arguments: str, **environment: str) -> tuple[int, str]:
        """Return its exit status and its output."""
        process = self.start(*arguments, **environment)
        told, _ = process.communicate(timeout=30)
        assert SECRET not in told
        return process.returncode, told
