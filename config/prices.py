"""Prices of models, to compute the cost of calls whose endpoint does not report it."""

import re
from collections.abc import Mapping
from typing import NamedTuple

_ENTRY = re.compile(r"\s*([^\s=,]{1,200})\s*=\s*(\d{1,6}(?:\.\d{1,6})?)\s*/\s*(\d{1,6}(?:\.\d{1,6})?)\s*")
# Endpoints answer with the snapshot's name: `gpt-4.1-2025-04-14`, `claude-sonnet-4@20250514`.
_SNAPSHOT = re.compile(r"[-@](?:\d{4}-\d{2}-\d{2}|\d{8}|\d{4})")
_PER_TOKENS = 1_000_000


class ModelPrice(NamedTuple):
    """Dollars per million tokens."""

    input: float
    output: float


ModelPrices = Mapping[str, ModelPrice]
"""Model -> price."""


def parse_prices(text: str) -> ModelPrices:
    """Parse `gpt-4.1=2/8, gpt-4o-mini=0.15/0.60`. Raises ValueError."""
    prices: dict[str, ModelPrice] = {}
    for entry in filter(str.strip, text.split(",")):
        parts = _ENTRY.fullmatch(entry)
        if parts is None:
            raise ValueError("must be MODEL=INPUT/OUTPUT entries separated by commas, in dollars per million tokens")
        if parts[1] in prices:
            raise ValueError("must name each model once")
        prices[parts[1]] = ModelPrice(float(parts[2]), float(parts[3]))
    return prices


def cost(
    prices: ModelPrices, model: str | None, input_tokens: int, output_tokens: int, reported: float | None
) -> float | None:
    """Return dollars: the `reported` ones, else by the model's price; None if unknown."""
    if reported is not None:
        return reported
    if not input_tokens and not output_tokens:
        return 0.0
    price = price_of(prices, model or "")
    return None if price is None else (input_tokens * price.input + output_tokens * price.output) / _PER_TOKENS


def price_of(prices: ModelPrices, model: str) -> ModelPrice | None:
    """Return the price of a model, or of the model that this is a dated snapshot of."""
    if found := prices.get(model):
        return found
    matches = [name for name in prices if model.startswith(name) and _SNAPSHOT.fullmatch(model[len(name) :])]
    return prices[max(matches, key=len)] if matches else None
