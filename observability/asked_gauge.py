"""A gauge whose series are computed at each scrape."""

from collections.abc import Callable, Iterable, Mapping

from prometheus_client import Gauge, Metric


class AskedGauge(Gauge):
    """Computes its series at each scrape, so that unset ones are exported too."""

    ask: Callable[[], Mapping[str, float]] | None = None
    """What answers: value by value of the one label."""

    def collect(self) -> Iterable[Metric]:
        (family,) = self.describe()
        (label,) = self._labelnames
        for name, value in (self.ask() if self.ask is not None else {}).items():
            family.add_sample(family.name, {label: name}, float(value))
        return [family]
