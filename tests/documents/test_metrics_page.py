"""docs/metrics.md is the code's: each metric and each label, and no other."""

from prometheus_client.metrics import MetricWrapperBase

from observability import exposition, metrics
from tests.documents.readme import ROOT

PAGE = (ROOT / "docs" / "metrics.md").read_text(encoding="utf-8")


def defined() -> list[MetricWrapperBase]:
    """Every metric, in the order of its definition."""
    return [metric for metric in vars(metrics).values() if isinstance(metric, MetricWrapperBase)]


def expected_rows() -> list[str]:
    """One row a metric: its name as Prometheus has it, type, labels, who gives it, and its help text."""
    rows = []
    for metric in defined():
        (family,) = metric.describe()
        name = family.name + ("_total" if family.type == "counter" else "")
        labels = ", ".join(f"`{label}`" for label in metric._labelnames)
        givers = ", ".join(process for process, given in exposition.PROCESSES.items() if metric in given)
        rows.append(f"| `{name}` | {family.type} | {labels} | {givers} | {family.documentation} |")
    return rows


def test_each_metric_stands_there_with_its_labels_and_its_meaning() -> None:
    """And no other does."""
    assert [line for line in PAGE.splitlines() if line.startswith("| `ai_agents_")] == expected_rows()


def test_each_label_stands_there_with_its_values() -> None:
    """And no other does."""
    table = PAGE[PAGE.index("| label |") :].splitlines()[2:]
    assert table[: len(metrics.LABELS)] == [f"| `{label}` | {values} |" for label, values in metrics.LABELS.items()]
    assert table[len(metrics.LABELS)] == ""
