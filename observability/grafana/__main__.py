"""Write the dashboards' files anew."""

from observability.grafana.pages import FOLDER, files

for name, text in files().items():
    (FOLDER / name).write_text(text, encoding="utf-8")
