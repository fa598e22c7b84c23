"""`redis-cli` inside a container: the host `redis` is the Redis of the system. The machine's own, where it has one.

The password is what the container has as REDISCLI_AUTH, as for the real one.
"""

import os
import shlex
import shutil
import socket
import sys
from io import BufferedRWPair

_REDIS_POD = "redis-0"


def main(words: list[str]) -> int:
    """Ask the Redis that is meant; the status of the machine's redis-cli, which takes this process's place."""
    if words[:2] == ["-h", "redis"]:
        words = words[2:]
    elif os.environ["STANDIN_POD"] != _REDIS_POD:
        sys.stderr.write("Could not connect to Redis at 127.0.0.1:6379: Connection refused\n")
        return 1
    host, _, port = os.environ["STANDIN_REDIS"].rpartition(":")
    # The first folder has the script that called this.
    path = os.pathsep.join(os.environ["PATH"].split(os.pathsep)[1:])
    real = shutil.which("redis-cli", path=path)
    if real:
        sys.stdout.flush()
        os.execv(real, [real, "-h", host, "-p", port, *words])  # noqa: S606 -- no shell is wanted
    return _ask(host, int(port), words)


def _ask(host: str, port: int, words: list[str]) -> int:
    """The same without a redis-cli: answers as it prints them into a pipe. The source of the format: Redis's RESP2."""
    password = os.environ.get("REDISCLI_AUTH")
    try:
        with socket.create_connection((host, port), timeout=10) as connection, connection.makefile("rwb") as wire:
            refused = "\n".join(_call(wire, ["AUTH", password])) if password else "OK"
            sys.stderr.write("" if refused == "OK" else f"AUTH failed: {refused}")
            # Without a question it takes them from standard input, a line each.
            for question in [words] if words else map(shlex.split, sys.stdin):
                sys.stdout.write("\n".join(_call(wire, question)) + "\n")
    except ConnectionError:
        sys.stderr.write(f"Could not connect to Redis at {host}:{port}: Connection refused\n")
        return 1
    return 0


def _call(wire: BufferedRWPair, words: list[str]) -> list[str]:
    encoded = [word.encode() for word in words]
    wire.write(b"*%d\r\n" % len(encoded) + b"".join(b"$%d\r\n%b\r\n" % (len(word), word) for word in encoded))
    wire.flush()
    return _answer(wire)


def _answer(wire: BufferedRWPair) -> list[str]:
    line = wire.readline()
    if not line:
        raise ConnectionResetError
    kind, rest = line[:1], line[1:-2].decode()
    if kind == b"*":
        return [text for _ in range(int(rest)) for text in _answer(wire)]
    if kind == b"$":
        return [wire.read(int(rest) + 2)[:-2].decode() if int(rest) >= 0 else ""]
    # After an error there is an empty line.
    return [f"{rest}\n" if kind == b"-" else rest]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
