"""Many who ask a silent API at once, as each check of the way does: those behind them are answered all the same."""

import asyncio
import ssl
from collections.abc import Callable

import pytest
import uvloop

from signer.forwarding import open_client

LOOPS = pytest.mark.parametrize("new_loop", [asyncio.new_event_loop, uvloop.new_event_loop])


@LOOPS
def test_the_connections_of_those_who_waited_in_vain_are_free_again(
    new_loop: Callable[[], asyncio.AbstractEventLoop],
) -> None:
    """There are two: if both were lost no webhook would be forwarded until a restart."""
    answers = asyncio.Event()

    async def api(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        if answers.is_set():
            writer.write(b"HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n")
            await writer.drain()
        else:
            await reader.read()  # until who asks has gone
        writer.close()

    async def scenario() -> None:
        listener = await asyncio.start_server(api, "127.0.0.1", 0)
        url = f"http://127.0.0.1:{listener.sockets[0].getsockname()[1]}/webhook"
        async with listener, open_client(ssl.create_default_context()) as client:

            async def ask(seconds: float) -> int:
                async with asyncio.timeout(seconds), client.stream("POST", url) as response:
                    return response.status_code

            waited = await asyncio.gather(*(ask(0.3) for _ in range(8)), return_exceptions=True)
            assert {type(each) for each in waited} == {TimeoutError}
            answers.set()
            assert await ask(5) == 202

    with asyncio.Runner(loop_factory=new_loop) as runner:
        runner.run(scenario())
