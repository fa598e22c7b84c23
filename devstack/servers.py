"""Base classes of the embedded servers."""

from abc import ABC, abstractmethod
from typing import Self

from devstack.processes import Process


class Startable(ABC):
    """A resource that runs for the duration of a `with` block."""

    @abstractmethod
    def start(self) -> None:
        """Start and wait until ready. Raises ProcessFailed with its last lines."""

    @abstractmethod
    def stop(self) -> None:
        """Stop gracefully; harmless if it does not run."""

    def discard(self) -> None:
        """Stop it and remove its temporary data."""
        self.stop()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.discard()


class Server(Startable):
    """A server process on 127.0.0.1; paused, it accepts connections without answering."""

    process: Process

    def kill(self) -> None:
        self.process.kill()

    def restart(self) -> None:
        """Stop it (if it runs) and start it on the same port with its remaining data."""
        self.stop()
        self.start()

    def pause(self) -> None:
        self.process.pause()

    def resume(self) -> None:
        self.process.resume()
