"""What a grep may look for: texts of log lines, of our commands, and of kubectl and other programs."""

import re
from functools import cache

# Of what kubectl and a shell print, beside `vocabulary.OF_OTHERS`.
# Of what kubectl and a shell print, beside `vocabulary.OF_OTHERS`.
# Of what kubectl and a shell print, beside `vocabulary.OF_OTHERS`.
from tests.documents import log_lines, sources, texts, vocabulary

# Of what kubectl and a shell print, beside `vocabulary.OF_OTHERS`.
_OF_OTHERS = ("Name:", "State:", "Liveness:", "worker", "date", "Reason", "error")


@cache
def is_printed(piece: str, *, ignores_case: bool) -> bool:
    """Whether something that a program prints has it."""
    if found := re.match(r"(\w+): ", piece):
        return found[1] in sources.tags()
    if log_lines.is_phrase(piece):
        return True
    if "=" in piece:
        return log_lines.is_phrase_part(piece)
    told = "\n".join((*log_lines.templates(), *texts.words(), *vocabulary.OF_OTHERS, *_OF_OTHERS))
    return piece.lower() in told.lower() if ignores_case else piece in told
