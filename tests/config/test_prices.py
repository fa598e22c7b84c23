"""Prices of models: their setting, and costs with and without a reported one."""

import pytest

from config.prices import ModelPrice, cost, parse_prices, price_of
from config.settings import ByHandSettings, SettingsError, load

PRICES = parse_prices("gpt-4o=2.5/10, gpt-4o-mini=0.15/0.60,")


def test_prices_are_dollars_per_million_tokens_of_input_and_output() -> None:
    assert {"gpt-4o": ModelPrice(2.5, 10), "gpt-4o-mini": ModelPrice(0.15, 0.6)} == PRICES
    assert cost(PRICES, "gpt-4o", 100_000, 20_000, None) == pytest.approx(0.45)


@pytest.mark.parametrize(
    ("model", "price"),
    [
        ("gpt-4o-mini", 0.15),
        ("gpt-4o-mini-2024-07-18", 0.15),
        ("gpt-4o-2024-08-06", 2.5),
        ("gpt-4o@20240806", 2.5),
        ("gpt-4o-0613", 2.5),
        ("gpt-4o-audio-preview", None),
        ("gpt-4", None),
        ("", None),
    ],
)
def test_a_price_covers_dated_snapshots_and_no_other_model(model: str, price: float | None) -> None:
    found = price_of(PRICES, model)
    assert (found and found.input) == price


def test_a_reported_cost_comes_first_and_an_unknown_price_is_no_zero() -> None:
    assert cost(PRICES, "gpt-4o", 1000, 1000, 0.5) == 0.5
    assert cost(PRICES, "other", 1000, 1000, None) is None
    assert cost(PRICES, None, 0, 0, None) == 0


@pytest.mark.parametrize("text", ["gpt-4o", "gpt-4o=2.5", "=1/2", "a=1/2 b=1/2", "a=-1/2", "a=1/nan", "a=1/2, a=1/2"])
def test_wrong_prices_refuse_the_start_with_the_form(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://a:b@127.0.0.1/c")
    monkeypatch.setenv("MODEL_PRICES", text)
    with pytest.raises(SettingsError) as refused:
        load(ByHandSettings)
    (problem,) = refused.value.problems
    assert problem.startswith("MODEL_PRICES is wrong: must")


def test_prices_are_read_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://a:b@127.0.0.1/c")
    assert load(ByHandSettings).model_prices == {}
    monkeypatch.setenv("MODEL_PRICES", "m=1/2")
    assert load(ByHandSettings).model_prices == {"m": ModelPrice(1, 2)}
