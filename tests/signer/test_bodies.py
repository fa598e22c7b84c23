"""What a desk's own webhook may look like, and what is said of one that can't be read."""

from urllib.parse import urlencode

import pytest

from signer.bodies import BodyNotUnderstood, DeskWebhook, read

JSON = "application/json"
FORM = "application/x-www-form-urlencoded"
# Forms of which the source is `facts/reality.md`, "Its webhooks": seen in the wild at third parties.
READ: list[tuple[str, str, DeskWebhook]] = [
    ('{"ticket_id": 12345}', JSON, DeskWebhook("12345")),
    ('{"ticket_id": "12345", "tenant_id": "acme"}', JSON, DeskWebhook("12345")),
    ('{"requestId": "12345"}', "", DeskWebhook("12345")),
    (
        '{"id": 123640000000240013, "event": "ticket.created"}',
        JSON,
        DeskWebhook("123640000000240013", "ticket.created"),
    ),
    ('{"requestId": ["12345"], "event": ["created"], "tenant_id": ["acme"]}', JSON, DeskWebhook("12345", "created")),
    ('[{"ticket_id": 12345}]', JSON, DeskWebhook("12345")),
    ('{"ticket_id": "12345", "subject": "first\nsecond\tthird\r\n"}', JSON, DeskWebhook("12345")),
    ('{"ticket_id": " 12345\\n", "event": "", "tenant_id": null}', JSON, DeskWebhook("12345")),
    ("\ufeff" + '{"ticket_id": 1}', JSON, DeskWebhook("1")),
    (urlencode({"input_data": '{"requestId": "12345"}'}), FORM, DeskWebhook("12345")),
    (urlencode({"payload": '{"id": 12345}', "x": "y"}), f"{FORM}; charset=utf-8", DeskWebhook("12345")),
    ('input_data={"ticket_id": "12345"}', "text/plain", DeskWebhook("12345")),
    ('{"ticket_id": 12345}', FORM, DeskWebhook("12345")),
    ('{"event": "webhook.check", "tenant_id": "acme"}', JSON, DeskWebhook("", "webhook.check")),
    ('{"event": "webhook.check", "ticket_id": 1}', JSON, DeskWebhook("1", "webhook.check")),
    ('{"ticket_id": 12345, "requestId": 6, "id": 7}', JSON, DeskWebhook("12345")),
]
REFUSED: list[tuple[str | bytes, str, str]] = [
    ("", JSON, "it is empty"),
    (b'{"ticket_id": "\xfc"}', JSON, "it is not UTF-8"),
    ("ticket_id=12345", FORM, "it is neither JSON nor a form with JSON in input_data or payload"),
    ("ticket 12345", "text/plain", "it is neither JSON nor a form with JSON in input_data or payload"),
    ("&".join("a=b" for _ in range(60)), FORM, "it is neither JSON nor a form"),
    ("--x\r\nContent-Disposition: form-data", "multipart/form-data; boundary=x", "it is a multipart form"),
    (
        '{"ticket_id": 1, "subject": "a "quoted" word"}',
        JSON,
        "it is not JSON from line 1, column 33 on: mostly a quote",
    ),
    ('{"ticket_id": $RequestId}', JSON, "it is not JSON from line 1, column 15 on"),
    ('{"ticket_id": 1', JSON, "it is not JSON from line 1, column 16 on"),
    (urlencode({"payload": "Hunter2"}), FORM, "it is not JSON from line 1, column 1 on"),
    ("[" * 50_000, JSON, "it is no plain JSON object"),
    ('{"ticket_id": ' + "1" * 5000 + "}", JSON, "it is no plain JSON object"),
    ('[{"ticket_id": 1}, {"ticket_id": 2}]', JSON, "it is no JSON object"),
    ("12345", JSON, "it is no JSON object"),
    ('{"subject": "Hunter2"}', JSON, "there is no ticket_id in it (nor requestId nor id)"),
    ('{"ticket_id": "$RequestId"}', JSON, "ticket_id is not a number of 1 to 20 digits"),
    ('{"requestId": ""}', JSON, "requestId is not a number of 1 to 20 digits"),
    ('{"id": true}', JSON, "id is not a number of 1 to 20 digits"),
    ('{"id": 1.5}', JSON, "id is not a number of 1 to 20 digits"),
    ('{"id": [1, 2]}', JSON, "id is not a number of 1 to 20 digits"),
    ('{"id": "\u0661"}', JSON, "id is not a number of 1 to 20 digits"),
    ('{"ticket_id": 1, "ticket_id": 2}', JSON, "it names the same thing twice"),
    ('{"ticket_id": 1, "tenant_id": "globex"}', JSON, "tenant_id is another one than this signer signs for"),
    ('{"ticket_id": 1, "event": "Hunter2\\nHunter2"}', JSON, "event has other characters"),
    ('{"ticket_id": 1, "event": {}}', JSON, "event has other characters"),
]


@pytest.mark.parametrize(("body", "content_type", "meant"), READ)
def test_each_form_that_desks_send_is_read(body: str, content_type: str, meant: DeskWebhook) -> None:
    assert read(body.encode(), content_type, "acme") == meant


@pytest.mark.parametrize(("body", "content_type", "said"), REFUSED)
def test_what_can_not_be_read_is_told_without_quoting_it(body: str | bytes, content_type: str, said: str) -> None:
    """Nor with the word that support greps for."""
    with pytest.raises(BodyNotUnderstood) as refused:
        read(body.encode() if isinstance(body, str) else body, content_type, "acme")
    words = str(refused.value)
    assert words.startswith(said)
    assert "Hunter2" not in words
    assert "error" not in words.lower()
