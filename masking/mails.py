"""Mail addresses."""

import re
from collections.abc import Iterator

from masking.found import Located

_LOCAL = re.compile(r"[\w.!#$%&*+/=?^{|}~-]{1,64}\Z")
_DOMAIN = re.compile(r"\s?((?:[^\W_](?:[\w-]{0,61}[^\W_])?\.){1,8}[^\W\d_]{2,24}|[^\W_][\w-]{0,61}\.local)(?![\w-])")
_LONGEST = 200


def mails(text: str) -> Iterator[Located]:
    """Find addresses of mail, from each @ to both sides."""
    at = text.find("@")
    while at >= 0:
        local = _LOCAL.search(text, max(0, at - 64), at)
        domain = _DOMAIN.match(text, at + 1)
        if (
            local
            and domain
            and not _is_in_address(text, at)
            and text[domain.end() : domain.end() + 2] != ":/"
            and (begun := local[0].lstrip("./!#$%&*=?^{|}~-"))
        ):
            begin = at - len(begun)
            yield Located(begin, domain.end(), "EMAIL")
        at = text.find("@", at + 1)


def _is_in_address(text: str, at: int) -> bool:
    """Return True for the @ behind the password in an address of another kind."""
    before = text[max(0, at - _LONGEST) : at]
    return "://" in before[max(before.rfind(" "), before.rfind("\n")) + 1 :]
