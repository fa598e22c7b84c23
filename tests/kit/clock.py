"""Time for what takes its clock as an argument."""


class Clock:
    """Seconds that stand until they are moved: a clock to ask, and a sleep that lets them pass."""

    def __init__(self, now: float = 1000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        """Let time pass."""
        self.now += seconds
