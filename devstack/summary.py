"""Summary printed by `python -m devstack up`."""

import shlex
import sys
from pathlib import Path

from devstack.state_file import SETTINGS_FILE, STATE_FILE
from devstack.system import System

_WIDTH = 14


def summarise(system: System, seconds: float) -> str:
    state = system.state
    tenant = system.tenants[0].id
    rows = {
        "API": f"{state['api_url']}  (its health, metrics and /docs: {state['api_probe_url']})",
        "Desk": f"{state['desk_url']}/  (write a ticket there, and see its note arrive)",
        "Feedback": f"{state['feedback_url']}  (the page behind a note's link)",
        "Console": _console(state.get("console_url")),
        "GPT-4": f"{state['openai_url']}  (simulated)",
        "Redis": state["redis_url"],
        "Postgres": f"{_without_password(state['database_url'])}  (passwords are in {STATE_FILE})",
        "Tenants": ", ".join(entry.id for entry in system.tenants),
        "Logs": f"{relative(system.logs)}/<process>.log: {', '.join(state['logs'])}",
        "Traces": _traces(state["traces"]),
        "Settings": _settings(system.folder / SETTINGS_FILE),
        "State, secrets": str(relative(system.folder / STATE_FILE)),
    }
    lines = [f"Everything is ready after {seconds:.1f} s.", ""]
    lines += [f"  {name:<{_WIDTH}}  {value}" for name, value in rows.items() if value]
    ticket = f'{{"tenant": "{tenant}", "subject": "VPN drops", "description": "Every few minutes."}}'
    lines += [
        "",
        "A ticket, whose signed webhook the desk sends by itself:",
        "",
        f"  curl -H 'Content-Type: application/json' -d '{ticket}' {state['desk_url']}/_sim/tickets",
        "",
        "Ctrl-C ends everything.",
    ]
    return "\n".join(lines)


def _console(url: str | None) -> str:
    return f"{url}  (log in with `console_token` of {STATE_FILE})" if url else ""


def _traces(folder: str | None) -> str:
    return f"{command()} trace --ticket <ID> --traces {relative(Path(folder))}" if folder else ""


def _settings(path: Path) -> str:
    return f"set -a; . {shlex.quote(str(relative(path)))}; set +a  (in another terminal, before `{command()} ...`)"


def _without_password(url: str) -> str:
    scheme, _, rest = url.partition("://")
    credentials, at, place = rest.rpartition("@")
    return f"{scheme}://{credentials.partition(':')[0]}{at}{place}"


def command() -> Path:
    """Return the path of `ai-agents` to type in this folder, since it is not on PATH."""
    return relative(Path(sys.executable).with_name("ai-agents"))


def relative(path: Path) -> Path:
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path
