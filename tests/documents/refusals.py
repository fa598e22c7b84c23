"""Which status and reason a webhook can be refused with, read from the API's code."""

import ast

from tests.documents.documents import ROOT

_RAISED = {"Rejection", "_Refused", "_refuse"}


def of_the_api() -> set[tuple[int, str]]:
    """Each status with each of its reasons, in the words of the log."""
    found: set[tuple[int, str]] = set()
    for path in (ROOT / "api").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call):
                found |= _of_call(node)
    return found


def _of_call(call: ast.Call) -> set[tuple[int, str]]:
    name = getattr(call.func, "id", "") or getattr(call.func, "attr", "")
    values = [argument.value for argument in call.args if isinstance(argument, ast.Constant)]
    named = {keyword.arg: keyword.value.value for keyword in call.keywords if isinstance(keyword.value, ast.Constant)}
    if name == "SignatureRefused" and values:
        return {(403, str(values[0]))}
    if name in _RAISED and len(values) >= 2:
        return {(int(str(values[0])), str(values[1]))}
    if name == "say" and "status" in named:
        return {(int(str(named["status"])), str(named["reason"]))}
    return set()
