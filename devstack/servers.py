"""What the embedded servers have in common."""

from abc import ABC, abstractmethod
from types import TracebackType
from typing import Self

from devstack.processes import Process


class Startable(ABC):
    """What runs from the beginning of a `with` block to its end."""

    @abstractmethod
    def start(self) -> None:
        """Start it and wait until it is ready. Raises ProcessFailed with its last lines."""

    @abstractmethod
    def stop(self) -> None:
        """End it in good order; harmless if it does not run."""

    def discard(self) -> None:
        """Stop it, and remove what must not outlive it."""
        self.stop()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.discard()


class Server(Startable):
    """A server on 127.0.0.1 in a process of its own."""

    process: Process

    def kill(self) -> None:
        """SIGKILL to it and its children, as a lost machine or an out-of-memory killer would."""
        self.process.kill()

    def restart(self) -> None:
        """Stop it (unless it is down) and start it on the same port, with what data it keeps."""
        self.stop()
        self.start()

    def pause(self) -> None:
        """Let it accept connections and answer nothing, until `resume`."""
        self.process.pause()

    def resume(self) -> None:
        """Undo `pause`."""
        self.process.resume()
