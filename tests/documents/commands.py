"""Commands of documents, looked at without running them."""

import re
import shlex

from tests.documents import apart, cluster_words, programs
from tests.documents.documents import Block, Document, filled

# Where a sentence says no more than `ai-agents`.
_IN_THE_API = "kubectl exec deployment/ai-agents-api -n ai-agents-production -- "
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
    told = [problem for call in calls for problem in problems(call)]
    may_lack = () if " -n " in text else (cluster_words.NO_NAMESPACE,)
    wrong = [problem for problem in told if not problem.startswith(may_lack)]
    return bool(calls or text.startswith(("date", "grep"))) and not wrong


def to_type(document: Document) -> list[Block]:
    """Its blocks, and the whole commands in the middle of its sentences, as a reader comes to them."""
    told = [Block("sh", whole, mention.line, "") for mention in document.mentions() if (whole := _whole(mention.text))]
    return sorted([*document.blocks("sh"), *told], key=lambda block: block.line)


def _whole(text: str) -> str:
    """A command as it can be typed; empty if it only names one, or has a place to fill."""
    if "<" in text or text.endswith("..."):
        return ""
    if text.startswith("ai-agents ") and " -" in text:
        return _IN_THE_API + text
    if not text.startswith("kubectl ") or " -n " not in text:
        return ""
    # What follows a log ends when somebody ends it.
    return f"timeout 2 {text} || [ $? = 124 ]" if text.endswith(" -f") else text
