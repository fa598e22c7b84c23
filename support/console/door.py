"""What stands before the console, with its own name for what uvicorn says."""

import logging
from typing import Any

from serving.bounded import BoundedProtocol

_LOG = logging.getLogger("uvicorn.error.console")


class ConsoleProtocol(BoundedProtocol):
    """A connection of a browser."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.logger = _LOG
