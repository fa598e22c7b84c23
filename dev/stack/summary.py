"""Summary printed by `python -m dev.stack up`."""

import re
import shlex
import sys
from pathlib import Path

from cli.pilot.state_file import SETTINGS_FILE, STATE_FILE
from dev.stack.system import System


def summarise(system: System, seconds: float) -> str:
    state, folder = system.state, relative(system.folder)
    database = re.sub(r":[^:@/]+@", "@", state["database_url"])
    settings = shlex.quote(str(folder / SETTINGS_FILE))
    rows = {
        "Desk": f"{state['desk_url']}/  (create a ticket and see its note)",
        "Console": f"{system.login_link()}\n{'':<18}(for one login within five minutes; Enter prints another link)",
        "Feedback": f"{state['feedback_url']}  (page that notes link to)",
        "API": f"{state['api_url']}  (health, metrics and /docs: {state['api_probe_url']})",
        "GPT-4": f"{state['openai_url']}  (simulated)",
        "Redis": state["redis_url"],
        "Postgres": f"{database}  (passwords: {STATE_FILE})",
        "Tenants": ", ".join(entry.id for entry in system.tenants),
        "Logs": f"{relative(system.logs)}/<process>.log: {', '.join(state['logs'])}",
        "Settings": f"set -a; . {settings}; set +a  (in another terminal, before `{command()} ...`)",
        "State, secrets": str(folder / STATE_FILE),
    }
    if worker := state["pids"].get("worker"):
        rows["Kill a worker"] = f"kill -9 {worker}  (during a job: the note still comes, once, after a minute)"
    if traces := state["traces"]:
        rows["Traces"] = f"{command()} trace --ticket <ID> --traces {relative(Path(traces))}"
    ticket = f'{{"tenant": "{system.tenants[0].id}", "subject": "VPN drops", "description": "Every few minutes."}}'
    return "\n".join(
        [
            f"Ready after {seconds:.1f} s.",
            "",
            *(f"  {name:<14}  {value}" for name, value in rows.items()),
            "",
            "Create a ticket; the desk sends its signed webhook:",
            "",
            f"  curl -H 'Content-Type: application/json' -d '{ticket}' {state['desk_url']}/_sim/tickets",
            "",
            "Press Ctrl-C to stop.",
        ]
    )


def command() -> Path:
    """Return the path of `ai-agents` to type in this folder, since it is not on PATH."""
    return relative(Path(sys.executable).with_name("ai-agents"))


def relative(path: Path) -> Path:
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path
