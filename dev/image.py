"""`make image`: the image of the last commit, without the changes that are not committed."""

import argparse
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Sequence
from pathlib import Path

from dev.stack.document_tables import ROOT


def build(checkout: Path, engine: str, name: str, source: str, options: Sequence[str]) -> str:
    """Build the image with its labels; return its name with the version as tag.

    Raises ValueError if the commit has another version's tag, CalledProcessError if git or the engine fails.
    """

    def git(*words: str) -> str:
        return subprocess.run(["git", *words], cwd=checkout, stdout=subprocess.PIPE, text=True, check=True).stdout

    version = tomllib.loads(git("show", "HEAD:pyproject.toml"))["project"]["version"]
    tags = git("tag", "--points-at", "HEAD", "--list", "v*").split()
    if tags and f"v{version}" not in tags:
        raise ValueError(f"The commit has the tag {tags[0]}, pyproject.toml the version {version}. Make them equal.")
    if git("status", "--porcelain"):
        sys.stderr.write("Changes that are not committed are not in the image.\n")
    revision, created = git("log", "-1", "--format=%H %cI").split()
    labels = {"VERSION": version, "REVISION": revision, "CREATED": created, "SOURCE": source}
    given = [part for label in labels.items() for part in ("--build-arg", "=".join(label))]
    image = f"{name}:{version}"
    with tempfile.TemporaryDirectory() as folder:
        git("archive", "--output", f"{folder}/commit.tar", "HEAD")
        context = Path(folder) / "commit"
        context.mkdir()
        subprocess.run(["tar", "-xf", "../commit.tar"], cwd=context, check=True)
        subprocess.run([engine, "build", *given, "--tag", image, *options, str(context)], check=True)
    return image


def main() -> int:
    """Build it; return 1 if that fails."""
    parser = argparse.ArgumentParser(prog="image", description=__doc__)
    parser.add_argument("--engine", default="docker", help="docker or podman")
    parser.add_argument("--name", default="ai-agents", help="the image's name, without a tag")
    parser.add_argument("--source", default="", help="the repository's address, for the label")
    chosen, options = parser.parse_known_args()
    try:
        image = build(ROOT, chosen.engine, chosen.name, chosen.source, options)
    except (ValueError, OSError, subprocess.CalledProcessError) as failure:
        sys.stderr.write(f"No image was built. {failure}\n")
        return 1
    print(f"{image}, and the list of its packages in dist/sbom.json")
    return 0


if __name__ == "__main__":
    sys.exit(main())
