"""`kubectl logs`."""

import re
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime

from tests.kit.kubectl.arguments import Command, NotDone, parse
from tests.kit.kubectl.state import Cluster, Pod, read_cluster

_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?Z")
_EXPECTED = "expected 'logs [-f] [-p] (POD | TYPE/NAME) [-c CONTAINER]'.\nPOD or TYPE/NAME is a required argument"
_VALUES = "since tail selector max-log-requests"
_SWITCHES = "follow previous prefix all-pods ignore-errors"
_LINES_BY_SELECTOR = 10
_POLL_SECONDS = 0.1
_MOST_FOLLOWED = 5


def run(words: list[str]) -> int:
    """Print a container's lines, or those of several pods."""
    command = parse("logs", words, values=_VALUES, switches=_SWITCHES)
    # kubectl takes several in no order; here those without a log come first, which is the worst for the others.
    pods = sorted(_pods(read_cluster(), command), key=lambda pod: not pod.waits)
    if command.on("follow"):
        _refuse_too_many(len(pods), command.number("max-log-requests", _MOST_FOLLOWED))
    tail = command.number("tail", _LINES_BY_SELECTOR if "selector" in command.flags else -1)
    since = command.seconds("since")
    prefixed = command.on("prefix") or command.on("all-pods")
    for pod in pods:
        lines = _since(_text(pod, command).splitlines(), since)
        for line in lines if tail < 0 else lines[len(lines) - tail if tail < len(lines) else 0 :]:
            _print(pod, line, prefixed=prefixed)
    if command.on("follow"):
        _follow(pods, prefixed=prefixed)
    return 0


def _text(pod: Pod, command: Command) -> str:
    """What the pod printed. Raises NotDone for one that has no log, as kubectl ends there unless it is told not to."""
    try:
        return pod.text(previous=command.on("previous"))
    except NotDone as refused:
        if not command.on("ignore-errors"):
            raise
        sys.stdout.write(f"error: {str(refused).partition('): ')[2]}\n")
        return ""


def _refuse_too_many(pods: int, most: int) -> None:
    if pods > max(most, 1):
        raise NotDone(
            f"error: you are attempting to follow {pods} log streams, but maximum allowed concurrency is {most},"
            " use --max-log-requests to increase the limit"
        )


def _pods(cluster: Cluster, command: Command) -> list[Pod]:
    selector = command.flags.get("selector")
    if selector is not None:
        if command.names:
            raise NotDone(
                "error: only a selector (-l) or a POD name is allowed\nSee 'kubectl logs -h' for help and examples"
            )
        found = cluster.selected(selector)
        if not found:
            sys.stderr.write("No resources found in ai-agents-production namespace.\n")
        return found
    if len(command.names) != 1:
        raise NotDone(f"error: {_EXPECTED} for the logs command\nSee 'kubectl logs -h' for help and examples")
    found = cluster.target(command.names[0])
    if command.on("all-pods") or len(found) == 1:
        return found
    sys.stderr.write(f"Found {len(found)} pods, using pod/{found[0].name}\n")
    return found[:1]


def _since(lines: list[str], seconds: float | None) -> list[str]:
    """The lines that are not older; one without a time of its own has that of the line before it."""
    if seconds is None:
        return lines
    kept, oldest, recent = [], time.time() - seconds, True
    for line in lines:
        found = _TIME.search(line[:80])
        if found:
            moment = datetime.fromisoformat(found[0].removesuffix("Z")).replace(tzinfo=UTC)
            recent = moment.timestamp() >= oldest
        if recent:
            kept.append(line)
    return kept


def _print(pod: Pod, line: str, *, prefixed: bool) -> None:
    sys.stdout.write(f"[pod/{pod.name}/{pod.container}] {line}\n" if prefixed else f"{line}\n")


def _follow(pods: list[Pod], *, prefixed: bool) -> None:
    """Print what comes, until somebody ends it."""
    tails = [_new_lines(pod) for pod in pods]
    while True:
        sys.stdout.flush()
        for pod, tail in zip(pods, tails, strict=True):
            for line in next(tail):
                _print(pod, line, prefixed=prefixed)
        time.sleep(_POLL_SECONDS)


def _new_lines(pod: Pod) -> Iterator[list[str]]:
    with pod.log.open("rb") as file:
        file.seek(0, 2)
        rest = b""
        while True:
            *lines, rest = (rest + file.read()).split(b"\n")
            yield [line.decode(errors="replace") for line in lines]
