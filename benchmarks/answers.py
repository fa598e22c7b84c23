"""`python -m benchmarks.answers`: the CPU of one streamed answer of GPT-4, read by us and by the openai package.

In turn and in one process, from a simulated GPT-4 in a process of its own, which sends a piece a token as OpenAI does;
the median of the batches, in milliseconds of this process's CPU.
"""

import argparse
import asyncio
import statistics
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from openai import AsyncOpenAI

from benchmarks.report import Benchmark, Report, no_arguments
from benchmarks.side import PIECES
from devstack.free_ports import free_port
from devstack.programs import Programs
from integrations.breaker import Breaker
from integrations.model.client import ModelClient
from integrations.model.wire import Wire
from integrations.values import Prompt
from workflow.enhancement import Enhancement

_BATCHES, _ANSWERS = 7, 30
_KEY = "sk-benchmark"
_MODEL = "gpt-6-luna"
_PROMPT = Prompt("You help technicians.", '<ticket id="1">\n{"subject": "VPN does not connect"}\n</ticket>')


def _ours(url: str) -> tuple[Callable[[], Awaitable[object]], Callable[[], Awaitable[None]]]:
    client = ModelClient(
        api_key=_KEY,
        base_url=url,
        model=_MODEL,
        idle_seconds=30,
        total_seconds=60,
        connections=4,
        breaker=Breaker("model", "model unavailable"),
    )
    return lambda: client.ask(_PROMPT, Enhancement), client.close


def _package(url: str) -> tuple[Callable[[], Awaitable[object]], Callable[[], Awaitable[None]]]:
    client = AsyncOpenAI(api_key=_KEY, base_url=url, max_retries=0)
    messages = [{"role": "system", "content": _PROMPT.system}, {"role": "user", "content": _PROMPT.user}]
    request: Any = Wire(url, _MODEL).request(messages, Enhancement)

    async def ask() -> object:
        stream = await client.chat.completions.create(**request)
        parts = [choice.delta.content or "" async for chunk in stream for choice in chunk.choices]
        return Enhancement.model_validate_json("".join(parts))

    return ask, client.close


async def _measure(url: str) -> dict[str, float]:
    ways = {"ours": _ours(url), "package": _package(url)}
    found: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(_BATCHES):
        for name, (ask, _close) in ways.items():
            began = time.process_time()
            for _ in range(_ANSWERS):
                await ask()
            found[name].append((time.process_time() - began) / _ANSWERS * 1000)
    for _ask, close in ways.values():
        await close()
    return {name: statistics.median(times[1:]) for name, times in found.items()}


def _report(folder: Path, _given: argparse.Namespace) -> Report:
    port = free_port()
    model = Programs(folder, {}).openai(port, _KEY, 0.0)
    model.command = [*model.command, "--chunks", str(PIECES)]
    model.start()
    try:
        model.wait_ready(30)
        found = asyncio.run(_measure(f"http://127.0.0.1:{port}/v1"))
    finally:
        model.stop(2)
    told = f"{found['ours']:.1f} ms by us, {found['package']:.1f} ms by the package"
    return Report([f"{told}: {found['ours'] / found['package']:.2f}"], found)


BENCHMARK = Benchmark("answers", no_arguments, _report)

if __name__ == "__main__":
    BENCHMARK.main()
