"""`redis-cli` inside a container: the host `redis` is the Redis of the system. The machine's own, where it has one."""

import os
import shutil
import sys
from urllib.parse import urlsplit


def main(words: list[str]) -> int:
    """Ask the Redis that is meant; the status of the machine's redis-cli, which takes this process's place."""
    url = urlsplit(os.environ["STANDIN_REDIS"])
    if words[:2] != ["-h", "redis"]:
        sys.stderr.write("Could not connect to Redis at 127.0.0.1:6379: Connection refused\n")
        return 1
    host = ["-h", url.hostname or "127.0.0.1", "-p", str(url.port or 6379)]
    password = {"REDISCLI_AUTH": url.password} if url.password else {}
    # The first folder has the script that called this.
    path = os.pathsep.join(os.environ["PATH"].split(os.pathsep)[1:])
    real = shutil.which("redis-cli", path=path)
    if real:
        sys.stdout.flush()
        os.execve(real, [real, *host, *words[2:]], {**os.environ, **password})  # noqa: S606 -- no shell is wanted
    return _ask(words[2:])


def _ask(words: list[str]) -> int:
    """The same without a redis-cli: answers as it prints them into a pipe."""
    import redis  # noqa: PLC0415 -- half a second that the machine's own does not need

    with redis.Redis.from_url(os.environ["STANDIN_REDIS"], decode_responses=True) as client:
        try:
            answer = client.execute_command(*words)
        except redis.ConnectionError:
            sys.stderr.write("Could not connect to Redis: Connection refused\n")
            return 1
    for line in answer if isinstance(answer, list) else [answer]:
        sys.stdout.write(f"{'' if line is None else line}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
