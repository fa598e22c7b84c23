"""The alerts in the Prometheus Operator's form.

`python -m tests.kubernetes.alert_rules` writes the file. Kustomize cannot embed one YAML file in another, and promtool
rejects the operator's head, so there are two files.
"""

from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SOURCE = ROOT / "observability" / "prometheus" / "alerts.yaml"
COPY = ROOT / "k8s" / "components" / "monitoring" / "alerts.yaml"
_HEAD = """\
# Made from observability/prometheus/alerts.yaml: change that one, then run `python -m tests.kubernetes.alert_rules`.
apiVersion: monitoring.coreos.com/v1
kind: PrometheusRule
metadata:
  name: ai-agents
spec:
"""


def expected() -> str:
    source = SOURCE.read_text(encoding="utf-8")
    groups = source[source.index("groups:") :]
    return _HEAD + "".join(f"  {line}" if line.strip() else line for line in groups.splitlines(keepends=True))


if __name__ == "__main__":
    COPY.write_text(expected(), encoding="utf-8")
