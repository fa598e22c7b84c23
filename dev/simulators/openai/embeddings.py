"""Embeddings in OpenAI's format: texts that share words are near.

Source of format, limits and errors: https://developers.openai.com/api/reference/resources/embeddings/methods/create.
"""

import base64
import math
import re
import struct
import zlib
from collections import Counter
from typing import Any

from dev.simulators.openai.providers import ApiError, OpenAIConfig, check_body

Document = dict[str, Any]
_DIMENSIONS = 256
_MAX_TEXTS = 2048
_KNOWN = frozenset({"input", "model", "encoding_format", "dimensions", "user"})


def answer_embeddings(body: Document | None, config: OpenAIConfig) -> Document:
    """Return the response body. Raises ApiError."""
    body, model = check_body(config, body)
    value = body.get("input")
    for name in body.keys() - _KNOWN:
        raise ApiError(400, f"Unrecognized request argument supplied: {name}")
    texts = [value] if isinstance(value, str) else value
    if not isinstance(texts, list) or not 0 < len(texts) <= _MAX_TEXTS or not all(map(_is_text, texts)):
        raise ApiError(400, "'$.input' is invalid. Please check the API reference.", param="input")
    as_bytes = body.get("encoding_format") == "base64"
    data = [
        {"object": "embedding", "index": number, "embedding": _as_base64(vector) if as_bytes else vector}
        for number, vector in enumerate(map(_embedded, texts))
    ]
    tokens = sum(len(text) // 4 + 1 for text in texts)
    return {
        "object": "list",
        "data": data,
        "model": model,
        "usage": {"prompt_tokens": tokens, "total_tokens": tokens},
    }


def _is_text(value: object) -> bool:
    return isinstance(value, str) and bool(value)


def _embedded(text: str) -> list[float]:
    vector = [0.0] * _DIMENSIONS
    for word, count in Counter(re.findall(r"\w+", text.lower())).items():
        number = zlib.crc32(word.encode(errors="replace"))
        vector[number % _DIMENSIONS] += (1 if number & 0x10000 else -1) * count
    length = math.sqrt(sum(each * each for each in vector)) or 1.0
    return [each / length for each in vector]


def _as_base64(vector: list[float]) -> str:
    return base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode()
