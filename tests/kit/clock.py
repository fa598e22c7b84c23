"""A manual clock for code that takes one as an argument."""


class Clock:
    """Seconds that advance only by `sleep`."""

    def __init__(self, now: float = 1000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.now += seconds
