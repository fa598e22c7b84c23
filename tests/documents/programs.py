"""What is wrong with one call of a program that is not kubectl: its verbs, flags and arguments."""

import argparse
import contextlib
import io
import re
from functools import cache

from support.arguments import add_verbs
from support.cli import main
from tests.documents import printed, sources

_FLAGS = {
    "curl": "-sS -s -i -o -w -H -d -m -D --http2",
    "openssl": "-sha256 -hmac -base64 -hex",
    "redis-cli": "-h",
    "psql": "-c -f",
}


def problems(words: list[str]) -> list[str]:
    """What is wrong with one call; empty when nothing is."""
    program, *rest = words
    check = _CHECKS.get(program)
    return _flags(program, rest) + (check(rest) if check else [])


def _flags(program: str, words: list[str]) -> list[str]:
    known = _FLAGS.get(program)
    return [] if known is None else [f"no flag {flag} of {program}" for flag in unknown_flags(words, known.split())]


def unknown_flags(words: list[str], known: list[str]) -> list[str]:
    """The words that are flags, and not among those."""
    return [
        word
        for before, word in zip(["", *words], words, strict=False)
        if re.match(r"--?[a-zA-Z]", word)
        and word.split("=")[0] not in known
        and not re.match(r"-[cdHpu]$|-hmac$", before)
    ]


def _make(words: list[str]) -> list[str]:
    return [f"make has no {word}" for word in words if "=" not in word and word not in sources.make_verbs()]


def _grep(words: list[str]) -> list[str]:
    """What is looked for must be something that is printed: else the answer is `nothing`, whatever happened."""
    pattern = next((word for word in words if not word.startswith("-")), "")
    ignores_case = any(re.match(r"-[a-z]*i", word) for word in words)
    pieces = [piece.strip("^") for piece in pattern.split(r"\|")]
    return [f"nothing prints {piece}" for piece in pieces if not printed.is_printed(piece, ignores_case=ignores_case)]


def _docker(words: list[str]) -> list[str]:
    # The rest is for developers, whose containers have tests of their own.
    return problems(words[3:]) if words[:2] == ["compose", "exec"] else []


def _unknown(words: list[str]) -> list[str]:
    return [f"{' '.join(words)}: no such program"]


def _redis(words: list[str]) -> list[str]:
    asked = [word for word in words if not word.startswith("-")]
    host = ["redis"] if "-h" in words else asked[:1]
    rest = asked[len(host) :]
    # Without words it is told through a pipe: a password.
    if rest in ([], ["LLEN", "celery"], ["PING"], ["INFO", "memory"], ["INFO", "persistence"]):
        return [] if words[:2] == ["-h", "redis"] else ["the host is missing: -h redis"]
    return [f"{' '.join(rest)} is no question that support asks"]


@cache
def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="ai-agents")
    add_verbs(parser.add_subparsers(dest="verb", required=True))
    return parser


def our_verbs() -> set[str]:
    """The verbs of `ai-agents`."""
    return set(re.findall(r"^    ([a-z]+) ", _cli_help(), re.MULTILINE))


@cache
def _cli_help() -> str:
    told = io.StringIO()
    with contextlib.redirect_stdout(told), contextlib.suppress(SystemExit):
        main(["--help"])
    return told.getvalue()


def _ours(words: list[str]) -> list[str]:
    if words and words[0] not in ("jobs", "show", "retry"):
        return [] if words[0] in our_verbs() else [f"ai-agents has no {words[0]}"]
    told = io.StringIO()
    try:
        with contextlib.redirect_stderr(told), contextlib.redirect_stdout(told):
            _parser().parse_args(words)
    except SystemExit as ended:
        return [told.getvalue().strip().splitlines()[-1]] if ended.code else []
    return []


_CHECKS = {
    "ai-agents": _ours,
    "make": _make,
    "redis-cli": _redis,
    "docker": _docker,
    "grep": _grep,
    "unknown": _unknown,
}
