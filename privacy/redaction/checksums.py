"""Rules for the form of a value: check digits by python-stdnum, and addresses."""

from importlib import import_module


def is_valid(rule: str, number: str) -> bool:
    """Return True if a number passes a rule: one of this module, or a module of python-stdnum, loaded at first use."""
    own = {"kvnr": _is_kvnr, "is_v4": _is_v4, "is_v6": _is_v6}.get(rule)
    return own(number) if own else bool(import_module(f"stdnum.{rule}").is_valid(number))


def _is_kvnr(number: str) -> bool:
    """Return True for a number of German health insurance (section 290 SGB V): a letter, and digits."""
    digits = f"{ord(number[0]) - 64:02}" + "".join(filter(str.isdigit, number))[:8]
    total = sum(sum(divmod(int(each) * (1 + place % 2), 10)) for place, each in enumerate(digits))
    return total % 10 == int(number[-1])


def _is_v4(written: str) -> bool:
    """Return True for an IPv4 address that is hardly a version of four small numbers."""
    groups = [int(each) for each in written.partition("/")[0].split(".")]
    return max(groups) < 256 and (groups[0] > 9 or max(groups) > 99)


def _is_v6(written: str) -> bool:
    groups = written.partition("/")[0].partition("%")[0]
    count = groups.count(":")
    return (count == 7 or ("::" in groups and 2 <= count < 8)) and ":::" not in groups and any(map(str.isalnum, groups))
