"""Setting to change for a refused model request, by its code or parameter."""

import re

OF_ADDRESS = "set OPENAI_BASE_URL to what stands before /chat/completions"
OF_ANY = (
    "`ai-agents check --tenant {tenant}` asks a small question: if that is refused as well, change OPENAI_MODEL, "
    "OPENAI_BASE_URL or OPENAI_API_KEY; else it is this ticket's text"
)
_OTHER_CHAT = "set OPENAI_MODEL to a model that does chat completions at OPENAI_BASE_URL"
_LONGER = "set OPENAI_MODEL to a model that takes longer questions"
_OTHER_TEXT = "set OPENAI_MODEL to a model that takes such text; no other setting helps this ticket"
FILTERED = (
    "look at the content filter of the deployment, at the model's service, and at this ticket's text; a retry helps "
    "only once one of the two has changed"
)
_EFFORT = "set OPENAI_MODEL to a model that takes the effort `none`"
_PART = "set OPENAI_MODEL or OPENAI_BASE_URL to a model or a service that takes this part of the question"
# The first match counts.
_SETTINGS = {
    "param model": _OTHER_CHAT,
    "unsupported_model": _OTHER_CHAT,
    "OperationNotSupported": _OTHER_CHAT,
    "context_length_exceeded": _LONGER,
    "string_above_max_length": _LONGER,
    "invalid_prompt": _OTHER_TEXT,
    "content_policy_violation": _OTHER_TEXT,
    "param reasoning": _EFFORT,
    "param ": _PART,
}
_FILTERED = re.compile(r"OpenAI API: (\d+) .*\((code content_filter.*)\)")
_BAD_REQUEST = re.compile(r"OpenAI API: 400 Bad Request \((.+)\)")


def named_refusal(reason: str) -> tuple[str, str] | None:
    """Return a refusal's code and parameter and the setting to change, or None."""
    found = _BAD_REQUEST.fullmatch(reason)
    if found is None:
        return None
    return found[1], next((setting for named, setting in _SETTINGS.items() if named in found[1]), OF_ANY)


def filtered_question(reason: str) -> str | None:
    """Return the status and code of a content-filtered question, or None."""
    found = _FILTERED.fullmatch(reason)
    return found and f"{found[1]} ({found[2]})"
