"""The dashboards for Grafana, as code: `python -m observability.grafana` writes `dashboards/*.json`.

Not installed with the product: it needs Grafana's own builders (`grafana-foundation-sdk`), a development dependency.
"""
