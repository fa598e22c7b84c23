"""A custom trigger's action: a command on the desk's machine, with the ticket in a file.

After https://help.servicedeskplus.com/executing_script_in_business_rule: `$COMPLETE_V3_JSON_FILE` is the path of a
temporary file `<requestid_timestamp>.json` that is deleted after the run, and holds `{"request": {...}}`.
"""

import asyncio
import json
import tempfile
import time
from pathlib import Path
from typing import Any

_FILE = "$COMPLETE_V3_JSON_FILE"
# How long a real desk lets a script run is not known; this only keeps a test from waiting for ever.
_MOST_SECONDS = 120.0


async def run_command(command: list[str], ticket: dict[str, Any]) -> tuple[int, str]:
    """Run a command to its end; its exit status and what it printed. Raises OSError if it can't be started.

    `ticket` is as the API gives it.
    """
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / f"{ticket['id']}_{time.time_ns() // 1_000_000}.json"
        file.write_text(json.dumps({"request": ticket}), encoding="utf-8")
        process = await asyncio.create_subprocess_exec(
            *(str(file) if part == _FILE else part for part in command),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        try:
            async with asyncio.timeout(_MOST_SECONDS):
                printed, _ = await process.communicate()
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
    return process.returncode or 0, printed.decode(errors="replace")[:4000]
