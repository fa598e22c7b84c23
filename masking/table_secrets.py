"""Passwords and PINs that only the head of their column tells to be some."""

import re
from collections.abc import Iterator

from masking.found import Located
from masking.reading import ReadText
from masking.secret_labels import is_code, is_password
from masking.secret_looks import is_plain

_PIN = re.compile(r"\d{3,10}[#*]?")


def secrets_of_tables(read: ReadText) -> Iterator[Located]:
    """Find the cells of a column of passwords or PINs."""
    for cell in read.cells:
        value = read.text[cell.begin : cell.end]
        is_one = is_code(cell.head) and _PIN.fullmatch(value)
        if is_one or (is_password(cell.head) and " " not in value and len(value) > 2 and not is_plain(value)):
            yield Located(cell.begin, cell.end, "SECRET")
