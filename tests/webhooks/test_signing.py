"""How `ai-agents check` signs, held to a signature made by hand."""

import pytest

from tests.kit.signing import timed
from webhooks.signing import signed_headers


@pytest.mark.parametrize("secret", ["s3cret", "schlüssel", "whsec_c2VjcmV0"])
@pytest.mark.parametrize("body", [b"", b'{"ticket_id": 1}', b"\xff\n"])
def test_the_timestamp_in_whole_seconds_and_the_body_are_signed(secret: str, body: bytes) -> None:
    headers = {name.lower(): value for name, value in signed_headers(secret, body, 1_800_000_000.9).items()}
    assert headers == {"content-type": "application/json"} | timed(secret, body, 1_800_000_000)
