"""The checksum of payment cards, and those of python-stdnum for numbers of states."""

from collections.abc import Callable
from functools import cache
from importlib import import_module


def is_luhn(digits: str) -> bool:
    """Return True where the last digit is the checksum of the others, by ISO/IEC 7812-1."""
    total = sum(sum(divmod(int(each) * (1 + place % 2), 10)) for place, each in enumerate(reversed(digits)))
    return total % 10 == 0


@cache
def check(rule: str) -> Callable[[str], bool]:
    """Return what tells whether a number is valid: ours, or of the module of python-stdnum with that name.

    A module is loaded when the first number asks for it: they load more than most texts need.
    """
    if rule == "kvnr":
        return _is_of_insurance
    checked: Callable[[str], bool] = import_module(f"stdnum.{rule}").is_valid
    return checked


def _is_of_insurance(number: str) -> bool:
    """Return True for a number of German health insurance (section 290 SGB V): a letter, and digits."""
    digits = f"{ord(number[0]) - 64:02}" + "".join(each for each in number if each.isdigit())[:8]
    total = sum(sum(divmod(int(each) * (1 + place % 2), 10)) for place, each in enumerate(digits))
    return total % 10 == int(number[-1])
