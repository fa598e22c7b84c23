"""`redis-cli` inside a container: the host `redis` is the Redis of the system. The machine's own, where it has one.

The password is what the container has as REDISCLI_AUTH, as for the real one.
"""

import os
import shutil
import sys

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
    """The same without a redis-cli: answers as it prints them into a pipe."""
    import redis  # noqa: PLC0415 -- half a second that the machine's own does not need

    password = os.environ.get("REDISCLI_AUTH")
    with redis.Redis(host, port, password=password, decode_responses=True) as client:
        try:
            answer = client.execute_command(*words)
        except redis.AuthenticationError as refused:
            sys.stderr.write(f"AUTH failed: WRONGPASS {refused}\n" if password else "")
            answer = "NOAUTH Authentication required."
        except redis.ConnectionError:
            sys.stderr.write("Could not connect to Redis: Connection refused\n")
            return 1
    for line in answer if isinstance(answer, list) else [answer]:
        sys.stdout.write(f"{'' if line is None else line}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
