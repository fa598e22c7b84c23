"""Resource limits as docs/benchmarks.md concludes from its measurements."""

import re
from pathlib import Path

import pytest
import yaml

_ROOT = Path(__file__).resolve().parents[2]
_ROW = re.compile(r"^\| (\S+?)(?:, .*)? \| (\d+Mi) \| (\d+Mi) \| (\d+m) \|$", re.MULTILINE)


@pytest.mark.parametrize("process", ["worker", "API", "housekeeping"])
def test_the_manifests_give_what_the_benchmarks_page_concludes(process: str) -> None:
    page = (_ROOT / "docs" / "benchmarks.md").read_text("utf-8")
    concluded = {name: figures for name, *figures in _ROW.findall(page)}
    manifest = (_ROOT / "k8s" / "base" / f"{process.lower()}.yaml").read_text("utf-8")
    deployment = next(found for found in yaml.safe_load_all(manifest) if found["kind"] == "Deployment")
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    given, most = container["resources"]["requests"], container["resources"]["limits"]
    assert [given["memory"], most["memory"], given["cpu"]] == concluded[process]
    assert "cpu" not in most
