"""Write the dashboards' files anew, or into the folder that is given."""

import sys
from pathlib import Path

from observability.grafana.pages import FOLDER, files

folder = Path(sys.argv[1]) if sys.argv[1:] else FOLDER
for name, text in files().items():
    (folder / name).write_text(text, encoding="utf-8")
