"""The fixed words of a note, by language (ISO 639-1); `{}` is a placeholder."""

import json
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace

_TEXTS = json.loads(Path(__file__).with_suffix(".json").read_text(encoding="utf-8"))
WORDS: Mapping[str, SimpleNamespace] = {language: SimpleNamespace(**words) for language, words in _TEXTS.items()}
