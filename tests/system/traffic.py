"""Webhooks that arrive while an operator works on the system."""

import threading

import httpx2

from tests.kit.world import World, wait_for

_PAUSE_SECONDS = 0.1


class Traffic:
    """Sends tickets with webhooks until closed.

    `taken` are the tickets whose webhook got its 202.
    """

    def __init__(self, world: World) -> None:
        self.taken: list[str] = []
        self._world = world
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run, name="traffic", daemon=True)
        self._thread.start()

    def await_more(self, count: int) -> None:
        before = len(self.taken)
        wait_for(lambda: len(self.taken) >= before + count)

    def close(self) -> None:
        self._end.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._end.wait(_PAUSE_SECONDS):
            ticket = self._world.create_ticket("Traffic", send_webhook=False)
            try:
                answer = self._world.post_webhook(ticket)
            except httpx2.TransportError:
                continue  # the only API process of this system is restarting: nothing was accepted
            if answer.status_code == httpx2.codes.ACCEPTED:
                self.taken.append(ticket)
