"""`ai-agents check --report`: findings and shapes of a desk's answers, without names, addresses, texts and keys."""

import json
import platform
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from importlib import metadata
from typing import Any
from urllib.parse import urlsplit

import httpx2

from cli.check.findings import Finding, State
from config.tenants import Tenant, secrets_in, setting_suffix

# Headers are chosen by a desk's proxies too, so only known values are printed.
_MEDIA = {"application/json", "application/xml", "text/html", "text/plain", "text/xml"}
_SERVERS = {"adventnet", "apache", "apache-coyote", "cloudflare", "microsoft-iis", "nginx", "zgs"}
_HEADERS = ("date", "location", "retry-after", "retry-after-ms", "x-rate-limit")
# Names of fields that a desk's admin creates, and keys that are no names of an API.
_OWN_FIELDS = {"udf_fields", "resources"}
_API_NAME = re.compile(r"udf_fields|(?!udf_)[a-z][a-z0-9_]{0,40}")
_ID = re.compile(r"\d+")
_MAX_DEPTH = 8


class Redactor:
    """Replaces tenants' names, hosts and secrets in a text."""

    def __init__(self, tenants: Iterable[Tenant], values: Mapping[str, str]) -> None:
        words: dict[str, str] = {}
        urls = [value for name, value in values.items() if "URL" in name or "PROXY" in name]
        for tenant in tenants:
            # `desk` is the name that `ai-agents init` proposes for an address without one.
            if tenant.id != "desk":
                words |= {tenant.id: "TENANT", setting_suffix(tenant.id): "TENANT"}
            if tenant.desk:
                urls += [tenant.desk.url, tenant.desk.accounts_url]
                words[tenant.desk.client_id] = "CLIENT"
        words |= {host: "HOST" for url in urls if (host := _host(url))}
        words |= dict.fromkeys(filter(None, secrets_in(values).values()), "SECRET")
        # The longest first: a host may contain a tenant's name.
        self._words = {word: words[word] for word in sorted(filter(None, words), key=len, reverse=True)}

    def clean(self, text: str) -> str:
        text = re.sub(r"https?://\S+", "URL", text)
        for word, replacement in self._words.items():
            text = re.sub(rf"(?<![a-zA-Z0-9]){re.escape(word)}(?![a-zA-Z0-9])", replacement, text)
        return text


def _host(url: str) -> str:
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""


def report(
    rows: Sequence[Finding], desks: Sequence[tuple[Tenant, Sequence[httpx2.Response]]], redactor: Redactor
) -> str:
    """Return the text for the issue form."""
    try:
        version = metadata.version("ai-agents-servicedesk")
    except metadata.PackageNotFoundError:
        version = "unknown"
    lines = [f"ai-agents {version}, Python {platform.python_version()}, {platform.system()} {platform.machine()}"]
    lines += [_row(row, redactor) for row in rows if not row.tenant_id]
    for number, (tenant, answers) in enumerate(desks, 1):
        lines += ["", f"desk {number}, edition: {tenant.desk.edition if tenant.desk else 'none'}"]
        lines += [_row(row, redactor) for row in rows if row.tenant_id == tenant.id]
        for answer in answers:
            lines += _described(answer)
    return "\n".join(lines)


def _row(row: Finding, redactor: Redactor) -> str:
    remedy = f": {row.remedy}" if row.state is State.FAILED and row.name.startswith("desk ") else ""
    return f"{row.name}: {row.state}: {redactor.clean(row.seen + remedy)}"


def _described(answer: httpx2.Response) -> Iterator[str]:
    """Yield status and known headers of an answer, then a line for each path in its body."""
    path = answer.request.url.path
    _, found, call = path.partition("/api/v3/")
    call = _ID.sub("ID", call) if found else "token" if path.endswith("/oauth/v2/token") else "other"
    media, _, more = answer.headers.get("content-type", "none").lower().partition(";")
    charset = "; utf-8" if "utf-8" in more else ""
    server = answer.headers.get("server", "none").lower().partition("/")[0]
    parts = [
        f"{media if media in _MEDIA | {'none'} else 'other'}{charset}",
        f"server: {server if server in _SERVERS | {'none'} else 'other'}",
        f"headers: {', '.join(name for name in _HEADERS if name in answer.headers) or 'none'}",
    ]
    yield f"{answer.request.method} {call}: {answer.status_code}; {'; '.join(parts)}"
    try:
        body = json.loads(answer.content)
    except httpx2.ResponseNotRead:
        yield "  body not read"
    except (ValueError, RecursionError):
        yield "  body not JSON" if answer.content else "  no body"
    else:
        for where, kinds in sorted(shape(body).items()):
            yield f"  {where or '(body)'}: {' | '.join(sorted(kinds))}"


def shape(value: Any) -> dict[str, set[str]]:
    """Return the kinds of values by path; items of a list share a path.

    Of values only `status_code` is shown, a number of the API.
    """
    found: dict[str, set[str]] = {}
    _collect(value, "", found, 0)
    # A path below shows that this is an object or a list.
    inner = {
        parent for path in found for parent in (path.rpartition(".")[0], path.removesuffix("[]")) if parent != path
    }
    return {path: kinds for path, kinds in found.items() if path not in inner or not kinds <= {"object", "list"}}


def _collect(value: Any, path: str, found: dict[str, set[str]], depth: int) -> None:
    found.setdefault(path, set()).add(_kind(value, path))
    if depth >= _MAX_DEPTH or path.rpartition(".")[2] in _OWN_FIELDS:
        return
    if isinstance(value, list):
        for item in value:
            _collect(item, f"{path}[]", found, depth + 1)
    elif isinstance(value, dict):
        for key, item in value.items():
            name = key if _API_NAME.fullmatch(key) else "OTHER"
            _collect(item, f"{path}.{name}" if path else name, found, depth + 1)


def _kind(value: Any, path: str) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return "bool"
        case int() if path.endswith("status_code") and 1000 <= value <= 9999:
            return str(value)
        case int() | float():
            return "number"
        case str() if not value:
            return "empty text"
        case str():
            return "digits" if value.isascii() and value.isdecimal() else "text"
        case list():
            return "list" if value else "empty list"
        case _:
            return "object" if value else "empty object"
