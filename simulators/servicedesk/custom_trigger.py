"""A custom trigger's action: a command on the desk's machine, with the ticket in a file.

After https://help.servicedeskplus.com/executing_script_in_business_rule: `$COMPLETE_V3_JSON_FILE` is the path of a
temporary file `<requestid_timestamp>.json`, which holds `{"request": {...}}` and is deleted after the run.
"""

import asyncio
import json
import tempfile
import time
from pathlib import Path
from typing import Any

_FILE = "$COMPLETE_V3_JSON_FILE"
# A real desk's time limit is not known; this one keeps a test from hanging.
_MOST_SECONDS = 120.0


async def run_command(command: list[str], ticket: dict[str, Any]) -> tuple[int, str]:
    """Run a command; return its exit status and output. Raises OSError if it cannot start.

    `ticket` has the shape of the API.
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
