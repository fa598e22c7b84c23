"""Commands of documents, looked at without running them."""

import re
import shlex

from tests.support_documents import apart, cluster_words, programs
from tests.support_documents.documents import Document, filled

# As a sentence speaks of them.
_SHORT = ("describe pod", "get pods", "rollout status", "scale", "logs deployment/NAME", "exec")


def problems(call: list[str]) -> list[str]:
    """What is wrong with one call; empty when nothing is."""
    return cluster_words.problems(call[1:]) if call[0] == "kubectl" else programs.problems(call)


def document_problems(document: Document) -> list[str]:
    """What is wrong with the commands of its blocks. Raises AssertionError for bad syntax."""
    return [f"{shlex.join(call)}: {problem}" for call in apart.calls(document.script) for problem in problems(call)]


def is_known(text: str) -> bool:
    """Whether a command in the middle of a sentence is one that could be typed; it may leave out the namespace."""
    text = filled(text).removesuffix(" ...")
    if text.removeprefix("kubectl ") in {*cluster_words.KUBECTL_FLAGS, *_SHORT}:
        return True
    if found := re.fullmatch(r"ai-agents ([a-z]+)(?: JOB)?", text):
        return found[1] in programs.our_verbs()
    try:
        calls = apart.calls(text.replace("JOB", apart.EXAMPLE_JOB))
    except AssertionError:
        return False
    left_out = (cluster_words.NO_NAMESPACE, cluster_words.NOT_ALL_PODS)
    wrong = [problem for call in calls for problem in problems(call) if not problem.startswith(left_out)]
    return bool(calls or text.startswith(("date", "grep"))) and not wrong
