"""Reading of files in separate processes (`support.documents.extract`), in turn."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from support.documents.extract import MOST_SECONDS, READERS, Unreadable
from support.documents.sections import Part

_ROOT = Path(__file__).resolve().parents[2]
_LARGEST = 100 * 1024 * 1024


def files_at(path: Path) -> Iterator[Path | tuple[Path, str]]:
    """Yield the file, or the supported files below a folder, except hidden ones.

    An unreadable folder yields its path with the reason. Links to folders are not followed.
    """
    if not is_folder(path):
        yield path
        return
    refused: list[OSError] = []
    for folder, folders, names in os.walk(path, onerror=refused.append):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            found = Path(folder, name)
            if not name.startswith(".") and found.suffix.lower() in READERS:
                yield found
    yield from ((Path(failure.filename), f"it can't be opened ({failure.strerror})") for failure in refused)


def is_folder(path: Path) -> bool:
    """Return True for a folder; False if that can't be determined."""
    try:
        return path.is_dir()
    except OSError:
        return False


def read(path: Path) -> list[Part]:
    """Return the parts of a file, read in another process. Raises Unreadable."""
    try:
        if path.stat().st_size > _LARGEST:
            raise Unreadable(f"it is larger than {_LARGEST >> 20} MiB")
        done = subprocess.run(
            # Without modules of the current folder, and without our settings.
            [sys.executable, "-P", "-m", "support.documents.extract", str(path.absolute())],
            env={"PATH": os.defpath, "PYTHONPATH": str(_ROOT)},
            capture_output=True,
            timeout=2 * MOST_SECONDS,
            check=False,
            stdin=subprocess.DEVNULL,
        )
    except OSError as failure:
        raise Unreadable(f"it can't be opened ({failure.strerror})") from failure
    except subprocess.TimeoutExpired:
        raise Unreadable(f"it takes more than {2 * MOST_SECONDS} s") from None
    if done.returncode == 1 and done.stderr:
        raise Unreadable(done.stderr.decode(errors="replace").splitlines()[-1])
    if done.returncode != 0:
        # Killed by one of its limits or by the kernel.
        raise Unreadable("it takes too much time or memory")
    return [Part(**part) for part in json.loads(done.stdout)]
