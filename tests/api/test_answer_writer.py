"""Answers in one write, and without waiting for input that never comes."""

import asyncio

from api.server import AnswerWriter

HEAD = b"HTTP/1.1 202 Accepted\r\ncontent-length: 2\r\n\r\n"
WAIT = b"HTTP/1.1 100 Continue\r\n\r\n"


class RecordingTransport(asyncio.Transport):
    def __init__(self) -> None:
        super().__init__()
        self.written: list[bytes] = []

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.written.append(bytes(data))

    def close(self) -> None:
        self.written.append(b"closed")


def test_a_head_goes_with_its_body_and_what_follows_by_itself() -> None:
    wire = RecordingTransport()
    writer = AnswerWriter(wire)
    for _ in range(2):
        for data in (WAIT, HEAD, b"{}", b"more"):
            writer.write(data)
        writer.end_answer()
    assert wire.written == [WAIT, HEAD + b"{}", b"more"] * 2


def test_a_head_without_a_body_goes_when_its_answer_ends_or_its_connection_closes() -> None:
    wire = RecordingTransport()
    writer = AnswerWriter(wire)
    writer.write(HEAD)
    assert wire.written == []
    writer.end_answer()
    assert wire.written == [HEAD]
    writer.write(HEAD)
    writer.close()
    assert wire.written == [HEAD, HEAD, b"closed"]


def test_an_empty_body_lets_its_head_go() -> None:
    wire = RecordingTransport()
    writer = AnswerWriter(wire)
    writer.write(HEAD)
    writer.write(b"")
    assert wire.written == [HEAD]
