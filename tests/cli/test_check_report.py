"""`ai-agents check --report`: shapes of a desk's answers, and nothing of its content."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx2
import pytest

from cli.check.report import Redactor, report, shape
from cli.main import main
from config.tenant_directory import TenantDirectory
from tests.config.given import ENOUGH
from tests.kit.simulators import Simulator

TEXTS = {"content", "description", "display_value", "email_id", "keywords", "name", "subject", "title"}


def texts(value: Any, key: str = "") -> Iterator[str]:
    """Yield what people wrote, and their names and addresses."""
    match value:
        case dict():
            for name, item in value.items():
                yield from texts(item, name)
        case list():
            for item in value:
                yield from texts(item, key)
        case str() if key in TEXTS and value:
            yield value


def content_of(desks: Simulator) -> set[str]:
    with httpx2.Client(base_url=f"{desks.url}/acme/api/v3", headers={"authtoken": "acme-key"}, trust_env=False) as desk:
        listed = desk.get("/requests", params={"input_data": '{"list_info": {"row_count": 100}}'}).json()["requests"]
        tickets = [desk.get(f"/requests/{ticket['id']}").json() for ticket in listed]
        return {*texts(tickets), *texts(desk.get("/solutions").json())}


@pytest.mark.usefixtures("log")
def test_a_report_has_neither_content_nor_names_nor_addresses_nor_keys(
    desks: Simulator, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    host = urlsplit(desks.url).hostname
    settings = ENOUGH | {"SERVICEDESK_URL_ACME": f"{desks.url}/acme", "SERVICEDESK_API_KEY_ACME": "acme-key"}
    settings |= {
        "SERVICEDESK_EDITION_GLOBEX": "cloud",
        "SERVICEDESK_URL_GLOBEX": f"{desks.url}/globex/app/it",
        "SERVICEDESK_CLIENT_SECRET_GLOBEX": "secret",
        "SERVICEDESK_REFRESH_TOKEN_GLOBEX": "refresh",
        "TENANTS_FILE": str(tmp_path / "tenants.toml"),
    }
    desk = f'client_id = "id"\naccounts_url = "{desks.url}/globex"\n'
    toml = f'[globex]\nwebhook.mode = "poll"\n[globex.servicedesk]\n{desk}'
    (tmp_path / "tenants.toml").write_text(toml, encoding="utf-8")
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    assert main(["check", "--report", "--no-model"]) == 78  # the stores of these settings do not answer
    shown = capsys.readouterr().out
    for line in (
        "desk 1, edition: onpremises",
        "desk 2, edition: cloud",
        "desk credentials: ok: accepted",
        "POST token: 200; application/json",
        "  access_token: text",
        "GET requests/ID/notes: 200; application/json",
        "  requests[].id: digits",
        "  request.udf_fields: empty object",
        "  response_status[].status_code: 2000",
    ):
        assert f"\n{line}" in shown, line
    # Other tests write tickets with the subject "S" to this desk.
    content = {text for text in content_of(desks) if len(text) > 1}
    assert len(content) > 20
    hidden = content | {str(host), "acme", "ACME", "globex", "GLOBEX", "s3cret", "acme-key", "refresh\n", "/app/it"}
    assert [text for text in hidden if text in shown] == []


def test_only_names_of_the_api_and_its_codes_are_shown() -> None:
    body = {
        "request": {
            "udf_fields": {"udf_salary": "1"},
            "udf_char1": 1,
            "Jane Doe": {"id": 5},
            "tags": [],
            "group": None,
        },
        "requests": [{"id": "1"}, {"id": 2, "resources": {"room 5": {}}}],
        "response_status": [{"status_code": 4001, "messages": [{"status_code": 4001, "message": "Jane?"}]}],
        "pin": {"status_code": "4711", "a.status_code": 99999},
    }
    assert shape(body) == {
        "pin.OTHER": {"number"},
        "pin.status_code": {"digits"},
        "request.OTHER": {"number", "object"},
        "request.OTHER.id": {"number"},
        "request.group": {"null"},
        "request.tags": {"empty list"},
        "request.udf_fields": {"object"},
        "requests[].id": {"digits", "number"},
        "requests[].resources": {"object"},
        "response_status[].messages[].message": {"text"},
        "response_status[].messages[].status_code": {"4001"},
        "response_status[].status_code": {"4001"},
    }
    assert shape("Jane") == {"": {"text"}}


def test_headers_of_a_foreign_server_are_not_shown() -> None:
    headers = {
        "server": "desk01.contoso.example",
        "content-type": "text/x-contoso; charset=utf-8",
        "location": "https://c",
    }
    request = httpx2.Request("GET", "https://desk.contoso.example/app/hr/api/v3/requests/77/notes")
    answer = httpx2.Response(302, headers=headers, content=b"<html>Contoso", request=request)
    values = {"SERVICEDESK_URL_CONTOSO": "https://desk.contoso.example", "SERVICEDESK_API_KEY_CONTOSO": "k"}
    (tenant,) = TenantDirectory(lambda: values | {"WEBHOOK_SECRET_CONTOSO": "w"}).all()
    _, *lines = report([], [(tenant, [answer])], Redactor([tenant], values)).splitlines()
    assert lines == [
        "",
        "desk 1, edition: onpremises",
        "GET requests/ID/notes: 302; other; utf-8; server: other; headers: location",
        "  body not JSON",
    ]
    said = "set SERVICEDESK_API_KEY_CONTOSO of contoso, allow calls to desk.contoso.example or https://contoso/x"
    cleaned = Redactor([tenant], values).clean(said)
    assert cleaned == "set SERVICEDESK_API_KEY_TENANT of TENANT, allow calls to HOST or URL"


def test_a_report_is_no_json(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["check", "--report", "--json"])
    assert "without --json" in capsys.readouterr().err
