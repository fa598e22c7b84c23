"""Flags and names of a command, as strictly as kubectl takes them."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

_SHORT = {"n": "namespace", "c": "container", "f": "follow", "p": "previous", "l": "selector", "o": "output"}
_SHORT_OF_EXEC = {"n": "namespace", "c": "container", "i": "stdin", "t": "tty"}
_SHORT_OF_PATCH = {"n": "namespace", "p": "patch"}
_DURATION = re.compile(r"(?:\d+(?:\.\d+)?(?:ms|s|m|h))+")
_UNIT_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
NAMESPACE = "ai-agents-production"


class NotDone(Exception):
    """What kubectl says when it does not do it; status 1."""


@dataclass
class Command:
    """A command line, taken apart: `names` are its plain words, `after` is what stands behind `--`."""

    names: list[str] = field(default_factory=list)
    flags: dict[str, str] = field(default_factory=dict)
    after: list[str] = field(default_factory=list)

    def on(self, name: str) -> bool:
        """Return True if a flag without a value is given."""
        return self.flags.get(name) == "true"

    def number(self, name: str, default: int) -> int:
        """A whole number. Raises NotDone."""
        value = self.flags.get(name, str(default))
        if not re.fullmatch(r"-?\d+", value):
            raise NotDone(
                f'error: invalid argument "{value}" for "--{name}" flag: strconv.ParseInt: parsing "{value}":'
                " invalid syntax"
            )
        return int(value)

    def seconds(self, name: str) -> float | None:
        """A duration such as `24h` or `1h30m`, in seconds; None without the flag. Raises NotDone."""
        value = self.flags.get(name)
        if value is None:
            return None
        if not _DURATION.fullmatch(value):
            raise NotDone(f'error: invalid argument "{value}" for "--{name}" flag: time: invalid duration "{value}"')
        parts = re.findall(r"(\d+(?:\.\d+)?)(ms|s|m|h)", value)
        return sum(float(number) * _UNIT_SECONDS[unit] for number, unit in parts)


def parse(verb: str, words: list[str], *, values: str = "", switches: str = "") -> Command:
    """Take the words behind the verb apart. `values` and `switches` name the flags that it has. Raises NotDone."""
    command = Command()
    kinds = dict.fromkeys(["namespace", *values.split()], True) | dict.fromkeys(switches.split(), False)
    short = {"exec": _SHORT_OF_EXEC, "patch": _SHORT_OF_PATCH}.get(verb, _SHORT)
    rest = list(words)
    while rest:
        word = rest.pop(0)
        if word == "--":
            command.after = rest
            break
        if word.startswith("--"):
            _long(verb, word, rest, kinds, command)
        elif word.startswith("-") and len(word) > 1:
            _shorts(verb, word, rest, kinds, short, command)
        else:
            command.names.append(word)
    if command.flags.get("namespace") != NAMESPACE:
        # The person's default namespace has none of these names in it.
        given = command.flags.get("namespace", "default")
        raise NotDone(f'Error from server (NotFound): namespaces "{given}" has no such object')
    return command


def _usage(verb: str, text: str) -> NotDone:
    return NotDone(f"error: {text}\nSee 'kubectl {verb} --help' for usage.")


def _long(verb: str, word: str, rest: list[str], kinds: Mapping[str, bool], command: Command) -> None:
    name, equals, value = word[2:].partition("=")
    if name not in kinds:
        raise _usage(verb, f"unknown flag: --{name}")
    if kinds[name]:
        if not equals and not rest:
            raise _usage(verb, f"flag needs an argument: --{name}")
        command.flags[name] = value if equals else rest.pop(0)
    elif equals and value not in {"true", "false"}:
        raise _usage(
            verb,
            f'invalid argument "{value}" for "--{name}" flag: strconv.ParseBool: parsing "{value}": invalid syntax',
        )
    else:
        command.flags[name] = value or "true"


def _shorts(
    verb: str, word: str, rest: list[str], kinds: Mapping[str, bool], short: Mapping[str, str], command: Command
) -> None:
    letters = word[1:]
    while letters:
        letter, letters = letters[0], letters[1:]
        name = short.get(letter, "")
        if name not in kinds:
            raise _usage(verb, f"unknown shorthand flag: '{letter}' in {word}")
        if not kinds[name]:
            command.flags[name] = "true"
            continue
        if not letters and not rest:
            raise _usage(verb, f"flag needs an argument: '{letter}' in {word}")
        command.flags[name] = letters.removeprefix("=") if letters else rest.pop(0)
        return
