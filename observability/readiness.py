"""Readiness of a process over HTTP, for rollouts and operators.

It never causes a restart. The stores are checked in the event loop that uses them, so a blocked loop is not ready
either.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import CancelledError

from observability import tracing

_CHECK_SECONDS = 1.5
LOOP_SECONDS = 2.5
"""Longest time until a probe is answered: the stores are asked at once, the rest is for a busy loop."""
_GIVE_UP_SECONDS = 10.0

Question = Callable[[], Awaitable[object]]


class Readiness:
    """Readiness state of a process. Call it in any thread except the event loop's."""

    def __init__(self) -> None:
        self._stores: dict[str, _Store] = {}
        self._loop: asyncio.AbstractEventLoop | None = None
        self._works: Callable[[], bool] | None = None
        self._stopping = False

    def ask(self, loop: asyncio.AbstractEventLoop, stores: Mapping[str, Question]) -> None:
        """Check these stores in this loop: name -> a check that raises if unavailable."""
        self._stores = {name: _Store(question) for name, question in stores.items()}
        self._loop = loop

    def start(self, works: Callable[[], bool] = lambda: True) -> None:
        """Become ready. `works` returns False while the process can't reach its work."""
        self._works = works

    def stop(self) -> None:
        self._stopping = True

    def __call__(self) -> tuple[bool, dict[str, str]]:
        """Return readiness and the answer: `status`, `process` and each store by name.

        It returns within 2.5 s in all cases.
        """
        if self._stopping or self._loop is None:
            return _answer(self._phase(), {})
        try:
            stores = self._ask_stores(self._loop)
        except CancelledError:
            # The loop ended and cancelled the check.
            return _answer("stopping", {})
        return _answer("standing still", {}) if stores is None else _answer(self._phase(), stores)

    def _phase(self) -> str:
        if self._stopping:
            return "stopping"
        if self._works is None:
            return "starting"
        return "working" if self._works() else "reconnecting"

    def _ask_stores(self, loop: asyncio.AbstractEventLoop) -> dict[str, bool] | None:
        """Return each store's state; None if the loop is blocked.

        Raises CancelledError if the loop ends meanwhile.
        """
        asking = self._all()
        try:
            return asyncio.run_coroutine_threadsafe(asking, loop).result(LOOP_SECONDS)
        except TimeoutError:
            return None
        except RuntimeError:
            asking.close()  # the loop was closed meanwhile
            return None

    async def _all(self) -> dict[str, bool]:
        with tracing.untraced():
            answers = await asyncio.gather(*(store.answers() for store in self._stores.values()))
        return dict(zip(self._stores, answers, strict=True))


def _answer(process: str, stores: Mapping[str, bool]) -> tuple[bool, dict[str, str]]:
    is_ready = process == "working" and all(stores.values())
    told = {name: "ok" if answers else "unreachable" for name, answers in stores.items()}
    return is_ready, {"status": "ready" if is_ready else "not ready", "process": process, **told}


class _Store:
    """A store with one check at a time, shared by concurrent probes.

    Checks therefore hold one connection at most.
    """

    def __init__(self, question: Question) -> None:
        self._question = question
        self._asking: asyncio.Task[bool] | None = None

    async def answers(self) -> bool:
        """Return True if the store answers within 1.5 s."""
        if self._asking is None or self._asking.done():
            self._asking = asyncio.create_task(self._ask())
        done, _ = await asyncio.wait({self._asking}, timeout=_CHECK_SECONDS)
        return bool(done) and not self._asking.cancelled() and self._asking.result()

    async def _ask(self) -> bool:
        try:
            async with asyncio.timeout(_GIVE_UP_SECONDS):
                await self._question()
        except Exception:  # noqa: BLE001 -- whatever it is, who works with the store tells of it
            return False
        return True
