"""`ai-agents init`: asks for a desk and a model, tests both, and writes the settings of a pilot."""

import argparse
import asyncio
import getpass
import io
import json
import os
import secrets
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit

import httpx2

from cli.check.desk import desk_rows
from cli.check.findings import Finding, State
from cli.check.model import ModelCheck
from cli.check.report import Redactor, report
from cli.config import toml_value
from cli.pilot.state_file import SECRETS_FILE, TENANTS_FILE, read_variables, write_private, write_variables
from config.exit_codes import CONFIGURATION_EXIT, INTERRUPTED_EXIT, NOT_DONE_EXIT
from config.settings import DeskClientSettings, LogSettings, SettingsError, WorkerSettings, load
from config.tenant_directory import TenantDirectory
from config.tenants import TENANTS_TOML, Tenant, id_problem, setting_suffix
from integrations.desks import kind_of
from integrations.errors import DeferredError, ExternalError
from integrations.http import EgressConfig, open_client
from observability.logging import start_logging

_MODEL, _MODEL_URL = "gpt-6-luna", "https://api.openai.com/v1"
# The way out of this machine, which the pilot's processes need too.
_NETWORK = ("SERVICEDESK_CA_BUNDLE", "OPENAI_CA_BUNDLE", "HTTPS_PROXY", "NO_PROXY")
# Settings of the checked processes; no check calls a store.
_NO_STORES = {"DATABASE_URL": "postgresql://pilot@127.0.0.1/pilot", "REDIS_URL": "redis://127.0.0.1/0"}
_SECRETS = (
    *("SERVICEDESK_API_KEY", "SERVICEDESK_CLIENT_SECRET", "SERVICEDESK_REFRESH_TOKEN", "SERVICEDESK_GRANT_CODE"),
    "OPENAI_API_KEY",
)
# https://manageengine.com/products/service-desk/sdpod-v3-api/getting-started/data-centers.html
_ACCOUNTS = {
    "sdpondemand.manageengine.com": "https://accounts.zoho.com",
    "sdpondemand.manageengine.eu": "https://accounts.zoho.eu",
    "sdpondemand.manageengine.in": "https://accounts.zoho.in",
    "servicedeskplus.cn": "https://accounts.zoho.com.cn",
    "servicedeskplus.net.au": "https://accounts.zoho.com.au",
    "servicedeskplus.jp": "https://accounts.zoho.jp",
    "servicedeskplus.ca": "https://accounts.zohocloud.ca",
    "servicedeskplus.uk": "https://accounts.zoho.uk",
    "servicedeskplus.sa": "https://accounts.zoho.sa",
}


class _MissingError(Exception):
    """An answer is missing, and there is no terminal; the text names its option or variable."""


class _RefusedError(Exception):
    """A check failed, and there is no terminal for another answer."""


@dataclass
class _Questions:
    """Answers by option or variable, else from the terminal.

    After a refusal all are asked for, with the earlier texts as defaults.
    """

    chosen: argparse.Namespace
    can_ask: bool
    given: dict[str, str] = field(default_factory=dict)
    earlier: dict[str, str] = field(default_factory=dict)

    def text(self, option: str, label: str, default: str = "") -> str:
        answer = self.given.pop(option, "") or ("" if self.can_ask else default)
        if not answer and not self.can_ask:
            raise _MissingError(f"--{option.replace('_', '-')}")
        default = self.earlier.get(option, default)
        while not answer:
            answer = input(f"{label}{f' [{default}]' if default else ''}: ").strip() or default
        self.earlier[option] = answer
        return answer

    def secret(self, variable: str, label: str, *, required: bool = True) -> str:
        """Ask without showing the answer. Not an option: other users could see it."""
        if answer := self.given.pop(variable, ""):
            return answer
        if not self.can_ask:
            if required:
                raise _MissingError(f"the variable {variable}")
            return ""
        while not (answer := getpass.getpass(f"{label} (not shown): ").strip()) and required:
            pass
        return answer

    def refuse(self, problems: list[str]) -> None:
        for problem in problems:
            print(f"  failed: {problem}")
        if not self.can_ask:
            raise _RefusedError
        print("Answer again, or stop with Ctrl-C.")
        self.given.clear()

    def accepts(self, rows: list[Finding]) -> bool:
        for row in rows:
            if row.state is not State.FAILED:
                print(f"  {row.state}: {row.name}: {row.seen}{f': {row.remedy}' if row.remedy else ''}")
        failed = [f"{row.name}: {row.seen}: {row.remedy}" for row in rows if row.state is State.FAILED]
        if failed:
            self.refuse(failed)
        return not failed


@dataclass
class _Pilot:
    """The settings of one desk: variables, and keys of its table in `tenants.toml`."""

    tenant_id: str
    variables: dict[str, str]
    keys: dict[str, str] = field(default_factory=dict)

    def set(self, setting: str, value: str) -> None:
        self.variables[f"{setting}_{setting_suffix(self.tenant_id)}"] = value

    def toml(self) -> str:
        # JSON strings are valid TOML.
        lines = [f"{name} = {json.dumps(value, ensure_ascii=False)}" for name, value in self.keys.items()]
        return "\n".join([f"[{self.tenant_id}]", *lines, ""])

    def directory(self) -> TenantDirectory:
        values = {**self.variables, TENANTS_TOML: self.toml()}
        return TenantDirectory(lambda: values, keys=["desk"])


def run(chosen: argparse.Namespace) -> int:
    """Write the settings; return 1 if something is missing or exists, 78 for a failed check."""
    files = [file for name in (SECRETS_FILE, TENANTS_FILE) if (file := chosen.folder / name).exists()]
    if files and not chosen.overwrite:
        print(f"{files[0]} exists: give --overwrite, or another --folder.", file=sys.stderr)
        return NOT_DONE_EXIT
    given = {name: value for name, value in vars(chosen).items() if isinstance(value, str)}
    given |= {name: value for name in _SECRETS if (value := os.environ.get(name, "").strip())}
    questions = _Questions(chosen, sys.stdin.isatty(), given)
    os.environ.update(_NO_STORES)
    # The rows say the same as the log lines of a check.
    start_logging(LogSettings.model_construct(), io.StringIO())
    try:
        chosen.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        kept = _Kept.read(chosen.folder)
        pilot = _ask_desk(questions)
        _ask_model(questions, pilot)
    except _MissingError as missing:
        print(f"Not given: {missing}. See `ai-agents init --help`.", file=sys.stderr)
        return NOT_DONE_EXIT
    except _RefusedError:
        return CONFIGURATION_EXIT
    except SettingsError as failure:
        print(*failure.problems, sep="\n", file=sys.stderr)
        return CONFIGURATION_EXIT
    except OSError as failure:
        print(failure, file=sys.stderr)
        return NOT_DONE_EXIT
    except (KeyboardInterrupt, EOFError):
        print("\nNothing was written.", file=sys.stderr)
        return INTERRUPTED_EXIT
    _write(chosen, pilot, kept)
    return 0


def _ask_desk(questions: _Questions) -> _Pilot:
    while True:
        url = questions.text("url", "Address of the desk, in the cloud with /app/<portal>").rstrip("/")
        host = _host(url)
        edition = "cloud" if host in _ACCOUNTS else "onpremises"
        edition = questions.text("edition", "Edition: onpremises or cloud", edition)
        pilot = _Pilot(questions.text("tenant", "A short name for it", _name_of(host)), {})
        pilot.variables |= {name: value for name in _NETWORK if (value := os.environ.get(name))}
        pilot.set("SERVICEDESK_URL", url)
        pilot.set("SERVICEDESK_EDITION", edition)
        if edition == "cloud":
            if problem := _ask_oauth(questions, pilot, host):
                if questions.chosen.report:
                    print(_report_of(pilot, [Finding("desk credentials", State.FAILED, problem)], []))
                questions.refuse([problem])
                continue
        else:
            pilot.set("SERVICEDESK_API_KEY", questions.secret("SERVICEDESK_API_KEY", "The technician's API key"))
        print("Checking the desk ...", flush=True)
        directory = pilot.directory()
        tenant = directory.get(pilot.tenant_id)
        if tenant is None or not tenant.usable:
            questions.refuse([problem.sentence for problem in directory.problems] or [str(id_problem(pilot.tenant_id))])
        elif questions.accepts(_check_desk(pilot, tenant, with_report=questions.chosen.report)):
            return pilot


def _check_desk(pilot: _Pilot, tenant: Tenant, *, with_report: bool) -> list[Finding]:
    answers: list[httpx2.Response] = []
    rows = asyncio.run(desk_rows(tenant, load(DeskClientSettings), None, answers))
    if with_report:
        print(_report_of(pilot, rows, answers))
    return rows


def _report_of(pilot: _Pilot, rows: list[Finding], answers: list[httpx2.Response]) -> str:
    tenants = list(pilot.directory().all())
    return f"\n{report(rows, [(tenant, answers) for tenant in tenants], Redactor(tenants, pilot.variables))}\n"


def _host(url: str) -> str:
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""  # the check says it


def _name_of(host: str) -> str:
    """Return `contoso` for servicedesk.contoso.com."""
    labels = host.split(".")
    name = labels[-2] if len(labels) > 1 and not labels[-1].isdigit() else ""
    return "desk" if name in ("", "manageengine") or host in _ACCOUNTS or id_problem(name) else name


def _ask_oauth(questions: _Questions, pilot: _Pilot, host: str) -> str:
    """Ask for the OAuth client and its refresh token; return a problem of the grant code."""
    accounts = questions.text("accounts_url", "Accounts host of its data centre", _ACCOUNTS.get(host, ""))
    pilot.keys["servicedesk.accounts_url"] = accounts
    pilot.keys["servicedesk.client_id"] = questions.text("client_id", "Client ID of the self client")
    pilot.set("SERVICEDESK_CLIENT_SECRET", questions.secret("SERVICEDESK_CLIENT_SECRET", "Client secret"))
    label = "Refresh token; press Enter to give a grant code"
    received = questions.earlier.get("refresh_token", "")
    if received:
        label += ", or - to keep the token that was received"
    refresh = questions.secret("SERVICEDESK_REFRESH_TOKEN", label, required=False)
    if refresh:
        pilot.set("SERVICEDESK_REFRESH_TOKEN", received if received and refresh == "-" else refresh)
        return ""
    token, problem = asyncio.run(_exchange(pilot, questions.secret("SERVICEDESK_GRANT_CODE", "Grant code")))
    questions.earlier["refresh_token"] = token
    return problem


async def _exchange(pilot: _Pilot, code: str) -> tuple[str, str]:
    """Set the refresh token for a grant code; return it, or a problem."""
    # A cloud desk without a refresh token is unusable, so the code is its value during the exchange.
    pilot.set("SERVICEDESK_REFRESH_TOKEN", code)
    tenant = pilot.directory().get(pilot.tenant_id)
    if tenant is None or tenant.desk is None:
        return "", ""  # other answers are refused first
    settings = load(DeskClientSettings)
    async with open_client(connections=1, egress=EgressConfig.of(settings, settings.servicedesk_ca_bundle)) as http:
        try:
            token = await kind_of(tenant.desk).refresh_token_of(
                tenant.desk, code, http, settings.servicedesk_timeout_seconds
            )
        except (ExternalError, DeferredError) as failure:
            remedy = "check client ID, secret and accounts host; a code is valid once, for minutes: create another one"
            if any(word in failure.reason for word in ("connection", "certificate", "proxy")):
                remedy = "check the accounts host, and the way there (docs/connect/network.md)"
            return "", f"grant code: {failure.reason}: {remedy}"
    pilot.set("SERVICEDESK_REFRESH_TOKEN", token)
    return token, ""


def _ask_model(questions: _Questions, pilot: _Pilot) -> None:
    while True:
        pilot.variables |= {
            "OPENAI_BASE_URL": questions.text("model_url", "Address of the model's API", _MODEL_URL),
            "OPENAI_MODEL": questions.text("model", "Name of the model", _MODEL),
            "OPENAI_API_KEY": questions.secret("OPENAI_API_KEY", "Its API key"),
        }
        print("Checking the model, with one small request ...", flush=True)
        os.environ.update({name: value for name, value in pilot.variables.items() if name.startswith("OPENAI_")})
        try:
            settings = load(WorkerSettings)
        except SettingsError as failure:
            questions.refuse(failure.problems)
        else:
            if questions.accepts(asyncio.run(_check_model(pilot, settings))):
                return


async def _check_model(pilot: _Pilot, settings: WorkerSettings) -> list[Finding]:
    check = ModelCheck(pilot.directory(), settings)
    try:
        return await check.rows(pilot.tenant_id)
    finally:
        await check.close()


@dataclass(frozen=True)
class _Kept:
    """Existing settings of the folder. `--overwrite` replaces only those that `init` asks for."""

    tables: dict[str, Any]
    variables: dict[str, str]

    @classmethod
    def read(cls, folder: Path) -> Self:
        """Read the files of `folder`. Raises OSError, or SettingsError for an unusable one."""
        tenants, variables = folder / TENANTS_FILE, folder / SECRETS_FILE
        try:
            return cls(
                tomllib.loads(tenants.read_text("utf-8")) if tenants.exists() else {},
                read_variables(variables) if variables.exists() else {},
            )
        except ValueError as failure:
            raise SettingsError([f"{folder}: {failure}"]) from failure


def _lines(tenant_id: str, table: dict[str, Any]) -> Iterator[str]:
    """Yield a table without inner ones, so that a line at the end of the file belongs to it."""
    yield f"[{tenant_id}]"
    for name, value in table.items():
        if isinstance(value, dict):
            yield from (f"{name}.{key} = {toml_value(inner)}" for key, inner in value.items())
        else:
            yield f"{name} = {toml_value(value)}"
    yield ""


def _write(chosen: argparse.Namespace, pilot: _Pilot, kept: _Kept) -> None:
    table = kept.tables.setdefault(pilot.tenant_id, {})
    pilot.keys["webhook.mode"] = "push" if chosen.webhooks else "poll"
    for path, value in pilot.keys.items():
        section, _, key = path.partition(".")
        table.setdefault(section, {})[key] = value
    if chosen.webhooks:
        pilot.set("WEBHOOK_SECRET", secrets.token_urlsafe(32))
    lines = [line for tenant_id, each in kept.tables.items() for line in _lines(tenant_id, each)]
    write_private(chosen.folder / TENANTS_FILE, "\n".join(["# All keys: docs/settings.md", *lines]))
    write_variables(chosen.folder / SECRETS_FILE, kept.variables | pilot.variables)
    print(f"\nWritten: {chosen.folder / TENANTS_FILE} and {chosen.folder / SECRETS_FILE}")
    if chosen.webhooks:
        print(f"The desk's script, with its secret: see docs/connect/README.md for --tenant {pilot.tenant_id}")
    option = "" if str(chosen.folder) == "pilot" else f" --folder {chosen.folder}"
    print(f"Next: ai-agents up{option}")
