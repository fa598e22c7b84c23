"""The expressions of the small Deluge (`tests.support.deluge`)."""

import hmac
import re
from typing import Any, NamedTuple

from tests.support.deluge_values import DelugeRefused, Expression, Names, Now, method, of, operation

_TOKEN = re.compile(
    r"\s+|//[^\n]*|(?P<text>\"(?:[^\"\\\n]|\\[\"\\])*\")|(?P<number>\d+)|(?P<name>[A-Za-z_]\w*)"
    r"|(?P<sign>&&|\|\||==|!=|>=|<=|[-+<>=(){}\[\],;:.])"
)
# How tightly the operators bind.
_BINDING = {"||": 1, "&&": 2, "==": 3, "!=": 3, "<": 4, ">": 4, "<=": 4, ">=": 4, "+": 5, "-": 5}
# Some of https://www.zoho.com/deluge/help/keywords.html.
_RESERVED = {
    "bool",
    "collection",
    "date",
    "float",
    "from",
    "in",
    "int",
    "is",
    "list",
    "map",
    "null",
    "portal",
    "string",
}


class Token(NamedTuple):
    """A piece of source text."""

    kind: str
    text: str


def tokens(source: str) -> list[Token]:
    """Return the pieces of a source text. Raises DelugeRefused."""
    found, place = [], 0
    while place < len(source):
        token = _TOKEN.match(source, place)
        if token is None:
            raise DelugeRefused(f"not known: {source[place : place + 20]!r}")
        if token.lastgroup:
            found.append(Token(token.lastgroup, token[0]))
        place = token.end()
    return [*found, Token("end", "")]


class Expressions:
    """Reads expressions from pieces of text; each becomes a function of the names that are set."""

    def __init__(self, pieces: list[Token]) -> None:
        self._tokens = pieces
        self._place = 0

    @property
    def next(self) -> Token:
        """The piece that comes."""
        return self._tokens[self._place]

    @property
    def after(self) -> Token:
        """The one behind it."""
        return self._tokens[self._place + 1]

    def take(self, *wanted: str) -> str:
        """Go past a piece, which must be one of these. Raises DelugeRefused."""
        word = self.next.text
        if wanted and word not in wanted:
            raise DelugeRefused(f"{word!r} where {' or '.join(wanted)!r} must stand")
        self._place += 1
        return word

    def name(self) -> str:
        """Go past a name that is free. Raises DelugeRefused."""
        if self.next.kind != "name" or self.next.text in _RESERVED:
            raise DelugeRefused(f"{self.next.text!r} is no name")
        return self.take()

    def expression(self, least: int = 1) -> Expression:
        """Read one, with operators that bind as tightly as `least`."""
        left = self._operand()
        while (binding := _BINDING.get(self.next.text, 0)) >= least:
            left = operation(self.take(), left, self.expression(binding + 1))
        return left

    def _operand(self) -> Expression:
        value = self._primary()
        while self.next.text == ".":
            self.take()
            value = _call(self.take(), value, self._listed("(", ")"))
        return value

    def _listed(self, begin: str, end: str) -> list[Expression]:
        self.take(begin)
        found: list[Expression] = []
        while self.next.text != end:
            if found:
                self.take(",")
            found.append(self.expression())
        self.take(end)
        return found

    def _primary(self) -> Expression:
        kind, word = self.next
        if kind == "text":
            return constant(re.sub(r"\\(.)", r"\1", self.take()[1:-1]))
        if kind == "number":
            return constant(int(self.take()))
        if word in ("true", "false"):
            return constant(self.take() == "true")
        if word == "{":
            elements = self._listed("{", "}")
            return lambda names: [element(names) for element in elements]
        return self._named(word)

    def _named(self, word: str) -> Expression:
        if word == "zoho":
            return self._zoho()
        if word == "Map":
            self.take()
            if self._listed("(", ")"):
                raise DelugeRefused("Map() takes nothing here")
            return lambda _: {}
        return _lookup(self.name())

    def _zoho(self) -> Expression:
        self.take("zoho")
        self.take(".")
        if self.take("currenttime", "encryption") == "currenttime":
            return constant(Now())
        self.take(".")
        self.take("hmacsha256")
        key, data, output = self._listed("(", ")")

        def digest(names: Names) -> str:
            if output(names) != "hex":
                raise DelugeRefused("only hex is known here")
            signed: str = of(str, data(names))
            return hmac.digest(of(str, key(names)).encode(), signed.encode(), "sha256").hex()

        return digest


def constant(value: object) -> Expression:
    """Return an expression that is always this value."""
    return lambda _: value


def _lookup(name: str) -> Expression:
    def known(names: Names) -> Any:
        if name not in names:
            raise DelugeRefused(f"{name} is not set")
        return names[name]

    return known


def _call(name: str, value: Expression, given: list[Expression]) -> Expression:
    return lambda names: method(name, value(names), [one(names) for one in given])
