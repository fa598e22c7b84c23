"""Senders refused for their timing, and requests with changed bytes."""

import random

from tests.system.senders import request

POST = b"POST /webhook HTTP/1.1\r\nHost: api\r\n"
IN_CHUNKS = POST + b"Transfer-Encoding: chunked\r\n\r\n"
NEVER_ENDING: dict[str, tuple[bytes, bytes, int, str]] = {
    "body": (request(length=10**12), b"x" * 65_536, 413, "body too large"),
    "chunks": (IN_CHUNKS, b"10000\r\n" + b"x" * 65_536 + b"\r\n", 413, "body too large"),
    "a chunk's size": (IN_CHUNKS + b"1;", b"x" * 65_536, 400, "body incomplete"),
    "trailers": (IN_CHUNKS + b"0\r\n", b"X-Odd: 1\r\n" * 6_000, 400, "body incomplete"),
    "headers": (POST, b"X-Odd: " + b"x" * 1_000 + b"\r\n", 431, "headers too large"),
    "a header": (POST + b"X-Odd: ", b"x" * 65_536, 431, "headers too large"),
    "address": (b"POST /webhook?", b"x" * 65_536, 431, "headers too large"),
    "empty lines": (b"", b"\r\n" * 6_000, 431, "headers too large"),
}
SLOW: dict[str, tuple[list[bytes], int, str]] = {
    "body": ([request(length=100), *[b"{"] * 99], 408, "body too slow"),
    "headers": ([POST, *[b"X-Odd: 1\r\n"] * 99], 408, "headers too slow"),
    "address": ([b"POST /", *[b"x"] * 99], 408, "headers too slow"),
    "silence in the headers": ([b"POST /webh", *[b""] * 99], 408, "headers too slow"),
    "silence in the body": ([request(length=100), *[b""] * 99], 408, "body too slow"),
    "empty lines": ([b"\r\n"] * 99, 0, ""),
}


def mutated(raw: bytes, chance: random.Random) -> bytes:
    """Return the bytes with up to three changes."""
    for _ in range(chance.randint(1, 3)):
        at = chance.randrange(len(raw))
        new = chance.choice([b"", bytes([chance.randrange(256)]), raw[at : at + 2] * 2, b"\r\n", b"\x00"])
        raw = raw[:at] + new + raw[at + 1 :]
    return raw
