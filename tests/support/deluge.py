"""A small Deluge: what `support/kit/ai_agents_webhook.dg` uses, and nothing else; whatever else comes is refused.

After the vendor's pages: https://www.zoho.com/deluge/help/encryption/hmac-sha256.html (all TEXT, key first),
https://www.zoho.com/deluge/help/webhook/invokeurl-api-task.html (TEXT in `parameters` goes raw, `headers` is KEY-VALUE,
`detailed`; no answer is a runtime failure), https://www.zoho.com/deluge/help/functions/string/substring.html (indices
within the text), https://zoho.com/deluge/help/misc-statements/try-catch.html. `zoho.currenttime.toLong()` is the Unix
time in milliseconds (seen in public functions). As a command it is what a cloud desk runs: FUNCTION.dg TICKET.json.
"""

import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import httpx

from tests.support.deluge_expressions import Expressions, Token, constant, tokens
from tests.support.deluge_values import DelugeFailed, Expression, Names, invoke_url, of

Step = Callable[[Names], object]


def run(source: str, arguments: Names, send: Callable[..., httpx.Response] = httpx.request) -> list[str]:
    """Run a function's body; what it wrote with `info`.

    Raises DelugeRefused for what is not known here, DelugeFailed if nothing catches it.
    """
    said: list[str] = []
    steps = _Statements(tokens(source), said, send).block(until="")
    _run(steps, dict(arguments))
    return said


class _Statements(Expressions):
    def __init__(self, pieces: list[Token], said: list[str], send: Callable[..., httpx.Response]) -> None:
        super().__init__(pieces)
        self._said, self._send = said, send

    def block(self, until: str) -> list[Step]:
        steps = []
        while self.next.text != until:
            steps.append(self._statement())
        self.take(until)
        return steps

    def _braces(self) -> list[Step]:
        self.take("{")
        return self.block(until="}")

    def _statement(self) -> Step:
        compound = {"if": self._if, "for": self._for_each, "try": self._try}.get(self.next.text)
        if compound:
            return compound()
        if self.after.text == "=":
            step = self._assignment()
        elif self.next.text == "info":
            step = self._info()
        else:
            step = self.expression()
        self.take(";")
        return step

    def _info(self) -> Step:
        self.take("info")
        told = self.expression()
        return lambda names: self._said.append(of(str, told(names)))

    def _assignment(self) -> Step:
        name = self.name()
        self.take("=")
        value = self._invoke_url() if self.next.text == "invokeurl" else self.expression()
        return lambda names: names.update({name: value(names)})

    def _if(self) -> Step:
        self.take("if")
        self.take("(")
        condition = self.expression()
        self.take(")")
        then, otherwise = self._braces(), []
        if self.next.text == "else":
            self.take()
            otherwise = [self._if()] if self.next.text == "if" else self._braces()
        return lambda names: _run(then if of(bool, condition(names)) else otherwise, names)

    def _for_each(self) -> Step:
        self.take("for")
        self.take("each")
        name = self.name()
        self.take("in")
        elements, steps = self.expression(), self._braces()

        def loop(names: Names) -> None:
            for element in of(list, elements(names)):
                names[name] = element
                _run(steps, names)

        return loop

    def _try(self) -> Step:
        self.take("try")
        steps = self._braces()
        self.take("catch")
        self.take("(")
        name = self.name()
        self.take(")")
        caught = self._braces()

        def attempt(names: Names) -> None:
            try:
                _run(steps, names)
            except DelugeFailed as failure:
                names[name] = str(failure)
                _run(caught, names)

        return attempt

    def _invoke_url(self) -> Expression:
        self.take("invokeurl")
        self.take("[")
        given: dict[str, Expression] = {}
        while self.next.text != "]":
            key = self.take("url", "type", "parameters", "headers", "detailed")
            self.take(":")
            given[key] = constant(self.take("POST")) if key == "type" else self.expression()
        self.take("]")
        return lambda names: invoke_url(self._send, {key: value(names) for key, value in given.items()})


def _run(steps: Sequence[Step], names: Names) -> None:
    for step in steps:
        step(names)


if __name__ == "__main__":
    function, ticket = (Path(name).read_text(encoding="utf-8") for name in sys.argv[1:3])
    sys.stdout.write("\n".join(run(function, {"requestObj": json.loads(ticket)["request"]})) + "\n")
