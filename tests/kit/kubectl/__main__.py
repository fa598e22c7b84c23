"""A stand-in for kubectl: what it says of the cluster is what the real processes of a development system say.

`KUBECTL_STATE` is the path of a `state.json` (see `state`). `KUBECTL_ORDERS` is the
path of a file that gets a line (JSON) for each command that changes something; who runs the processes carries it out
(`shell.Shell` does). It knows the commands and flags that support's documents use, and refuses all others with the
words and the status of kubectl 1.32, so that a document with a mistake in it fails.
"""

import os
import signal
import sys
from collections.abc import Callable
from importlib import import_module

from tests.kit.kubectl.arguments import NotDone

_VERBS = {
    "logs": "logs:run",
    "exec": "execution:run",
    "get": "get:get",
    "describe": "get:describe",
    "top": "get:top",
    "scale": "changes:scale",
    "annotate": "changes:annotate",
    "rollout": "changes:rollout",
    "delete": "changes:delete",
    "set": "changes:set_resources",
    "patch": "changes:patch",
}


def main(words: list[str]) -> int:
    """Run one command; its exit status."""
    if not words or words[0] not in _VERBS:
        sys.stderr.write(f'error: unknown command "{" ".join(words[:1])}" for "kubectl"\n')
        return 1
    try:
        # Only what the verb takes: tests type hundreds of commands, each a process of its own.
        module, _, function = _VERBS[words[0]].partition(":")
        run: Callable[[list[str]], int] = getattr(import_module(f"tests.kit.kubectl.{module}"), function)
        return run(words[1:])
    except NotDone as refusal:
        sys.stderr.write(f"{refusal}\n")
        return 1


if __name__ == "__main__":
    # `| head` ends the reader early, which is no mistake of ours.
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    signal.signal(signal.SIGINT, lambda *_: os._exit(130))
    sys.exit(main(sys.argv[1:]))
