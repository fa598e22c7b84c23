"""The commands of a document as a reader comes to them: its blocks, and whole ones in the middle of its sentences."""

from tests.documents.documents import Block, MarkdownFile

# Where a sentence says no more than `ai-agents`.
_IN_THE_API = "kubectl exec deployment/ai-agents-api -n ai-agents-production -- "


def to_type(document: MarkdownFile) -> list[Block]:
    """All of them, in their order."""
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
