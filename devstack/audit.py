"""`make audit`: what is in the image, as a bill of materials, and which of it has a known weakness.

The bill (CycloneDX, `dist/sbom.json`) is made of the image's pins and needs no network but the package index. The
advisories are those of the Python Packaging Advisory Database. Where it can't be had that is said and is no failure: an
audit that could not be made must not stop a machine without a way out.
"""

import json
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

PROJECT = Path(__file__).resolve().parent.parent
_TOOLS = PROJECT / "requirements" / "audit.txt"
_PINS = PROJECT / "requirements" / "image.txt"
_OUT = PROJECT / "dist"
_LONGEST_SECONDS = 300
_UNREACHABLE = re.compile(r"connect|timed? ?out|resol(?:ve|ution)|unreachable|proxy", re.IGNORECASE)


def main() -> int:
    """Write the bill and print the findings; the exit status: 0, or 1 for a known weakness or an audit that broke."""
    _OUT.mkdir(exist_ok=True)
    pins = _OUT / "image-pins.txt"
    # Only what is installed on the image's platform, each with its hashes.
    platform = ["--python-platform", "x86_64-manylinux_2_28", "--python-version", "3.13"]
    how = ["--no-deps", "--generate-hashes", "--no-emit-index-url", "--no-annotate", "--no-header", "--quiet"]
    _uv("pip", "compile", str(_PINS), *platform, *how, "-o", str(pins))
    bill = _OUT / "sbom.json"
    _tool("cyclonedx-py", "requirements", str(pins), "--output-reproducible", "-o", str(bill)).check_returncode()
    print(f"{len(json.loads(bill.read_text())['components'])} packages in {bill.relative_to(PROJECT)}")
    found = _tool("pip-audit", "--disable-pip", "--require-hashes", "-r", str(pins), "--format", "json")
    sentence, status = verdict(found.stdout, found.stderr)
    print(sentence)
    return status


def verdict(report: str, complaints: str = "") -> tuple[str, int]:
    """Return what to tell of pip-audit's report (JSON, or nothing if it could not be made), and the exit status."""
    try:
        packages = json.loads(report)["dependencies"]
    except (ValueError, KeyError, TypeError):
        if not _UNREACHABLE.search(complaints):
            return f"The audit could not be made:\n{complaints or report}", 1
        packages = []
    looked_up = [package for package in packages if "skip_reason" not in package]
    if not looked_up:
        return "SKIPPED: the advisory database can't be reached from here, so no package was looked up.", 0
    lines = [
        f"{package['name']} {package['version']}: {weakness['id']}, fixed in: {', '.join(weakness['fix_versions'])}"
        for package in looked_up
        for weakness in package["vulns"]
    ]
    missed = len(packages) - len(looked_up)
    lines.append(f"{len(lines)} known weaknesses in {len(looked_up)} packages; {missed} could not be looked up.")
    return "\n".join(lines), 1 if len(lines) > 1 else 0


def _uv(*arguments: str) -> None:
    subprocess.run([sys.executable, "-m", "uv", *arguments], cwd=PROJECT, check=True)


def _tool(name: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a tool in an environment of its own, of pinned packages."""
    command: Sequence[str] = ["-m", "uv", "run", "--quiet", "--no-project", "--with-requirements", str(_TOOLS), "--"]
    return subprocess.run(
        [sys.executable, *command, name, *arguments],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        check=False,
        timeout=_LONGEST_SECONDS,
    )


if __name__ == "__main__":
    sys.exit(main())
