"""A gauge without values of its own."""

from collections.abc import Callable, Iterable, Mapping

from prometheus_client import Gauge, Metric


class AskedGauge(Gauge):
    """Asks for its series whenever somebody looks, so that one which nobody sets is seen as well."""

    ask: Callable[[], Mapping[str, float]] | None = None
    """What answers: value by value of the one label."""

    def collect(self) -> Iterable[Metric]:
        """Return the series as they are now; none while there is nobody to ask."""
        (family,) = self.describe()
        (label,) = self._labelnames
        for name, value in (self.ask() if self.ask is not None else {}).items():
            family.add_sample(family.name, {label: name}, float(value))
        return [family]
