"""The signing expressions of PowerShell texts, evaluated on their syntax tree.

PowerShell itself is not needed. Known are only the .NET calls that the kit uses; any other fails a test.
"""

import hmac
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import tree_sitter
import tree_sitter_powershell

_PARSER = tree_sitter.Parser(tree_sitter.Language(tree_sitter_powershell.language()))
# https://learn.microsoft.com/dotnet/api/system.bitconverter.tostring: upper case, with dashes.
_STATIC: dict[str, Callable[..., Any]] = {"[bitconverter]::tostring": lambda raw: raw.hex("-").upper()}
_NEW: dict[str, Callable[..., Any]] = {
    "text.utf8encoding": lambda *_: {"getbytes": str.encode},
    "security.cryptography.hmacsha256": lambda key: {"computehash": lambda raw: hmac.digest(key, raw, "sha256")},
}
_TEXT: dict[str, Callable[..., Any]] = {"replace": str.replace, "tolower": str.lower}


def errors(text: str) -> list[str]:
    """Return the places that the grammar does not accept."""
    return [
        f"line {node.start_point.row + 1}: {node.text!r}"
        for node in _below(_PARSER.parse(text.encode()).root_node)
        if node.is_error or node.is_missing
    ]


def evaluate(text: str, wanted: str, given: Mapping[str, str]) -> Any:
    """Return the value of a variable: from `given`, or by its last assignment in the text."""
    return _Session(text, given).variable(f"${wanted}")


class _Session:
    """Variables of a text; names are not case-sensitive."""

    def __init__(self, text: str, given: Mapping[str, str]) -> None:
        self._assigned = {
            _source(node.named_children[0]).lower(): node.named_children[-1]
            for node in _below(_PARSER.parse(text.encode()).root_node)
            if node.type == "assignment_expression"
        }
        self._values: dict[str, Any] = {f"${name.lower()}": value for name, value in given.items()}

    def variable(self, name: str) -> Any:
        name = name.lower()
        if name not in self._values:
            self._values[name] = self.value(self._assigned[name])
        return self._values[name]

    def value(self, node: tree_sitter.Node) -> Any:
        source, parts = _source(node), node.named_children
        if node.type == "variable":
            return self.variable(source)
        if node.type == "verbatim_string_characters":
            return source[1:-1].replace("''", "'")
        if node.type == "expandable_string_literal":
            return re.sub(r"\$\w+", lambda found: str(self.variable(found[0])), source[1:-1])
        if node.type == "invokation_expression" and len(parts) == 3:
            return self._called(*parts)
        if node.type == "command":
            return self._created(node)
        if node.type == "additive_expression" and len(parts) == 2:
            return self.value(parts[0]) + self.value(parts[1])
        assert len(parts) == 1, f"{node.type}: {source}"
        return self.value(parts[0])

    def _called(self, target: tree_sitter.Node, name: tree_sitter.Node, arguments: tree_sitter.Node) -> Any:
        method = _source(name).lower()
        values = [self.value(each) for each in _arguments(arguments)]
        if target.type == "type_literal":
            return _STATIC[f"{_source(target).lower()}::{method}"](*values)
        owner = self.value(target)
        if isinstance(owner, str):
            return _TEXT[method](owner, *values)
        return owner[method](*values)

    def _created(self, node: tree_sitter.Node) -> Any:
        found = re.fullmatch(r"New-Object ([\w.]+) .*", _source(node), re.DOTALL)
        assert found is not None, _source(node)
        brackets = [part for part in _below(node) if part.type == "parenthesized_expression"]
        return _NEW[found[1].lower()](*(self.value(part) for part in brackets[:1]))


def _below(node: tree_sitter.Node) -> Iterator[tree_sitter.Node]:
    yield node
    for child in node.children:
        yield from _below(child)


def _source(node: tree_sitter.Node) -> str:
    assert node.text is not None
    return node.text.decode()


def _arguments(node: tree_sitter.Node) -> list[tree_sitter.Node]:
    """Return the single arguments, below the nodes that only group them."""
    while len(node.named_children) == 1 and node.type in ("argument_list", "argument_expression_list"):
        node = node.named_children[0]
    return list(node.named_children) if node.type.startswith("argument") and "list" in node.type else [node]
