"""What is answered with a page that says why there is no other."""

from collections.abc import Mapping
from types import MappingProxyType


class TurnedAway(Exception):
    """A request that is answered with a status, a heading and a sentence."""

    def __init__(
        self,
        status: int,
        heading: str,
        sentence: str,
        *,
        headers: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        super().__init__(heading)
        self.status = status
        self.heading = heading
        self.sentence = sentence
        self.headers = headers
