"""`SECRETS_DIR` of a running system, and the ways to write its files."""

import itertools
from pathlib import Path


class Files:
    """`SECRETS_DIR` with plain files and with files behind `..data`, as in Kubernetes."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._versions = itertools.count(1)

    def write(self, name: str, text: str) -> None:
        """Write a file in place, which is empty for a moment."""
        (self.folder / name).write_text(text, encoding="utf-8")

    def replace(self, name: str, text: str) -> None:
        finished = self.folder / f".{name}"
        finished.write_text(text, encoding="utf-8")
        finished.replace(self.folder / name)

    def publish(self, **files: str) -> None:
        """Swap all files behind `..data` at once, as the kubelet does."""
        version = self.folder / f"..version_{next(self._versions)}"
        version.mkdir()
        for name, text in files.items():
            (version / name).write_text(text, encoding="utf-8")
        fresh = self.folder / "..data_tmp"
        fresh.symlink_to(version.name)
        fresh.replace(self.folder / "..data")
        for name in files:
            if not (self.folder / name).is_symlink():
                (self.folder / name).symlink_to(Path("..data") / name)
        for link in self.folder.iterdir():
            if link.is_symlink() and link.name not in {"..data", *files}:
                link.unlink()
