"""Reading files in processes of their own (`support.documents.extract`), one after the other."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from support.documents.extract import MOST_SECONDS, READERS, Unreadable
from support.documents.sections import Part

_LARGEST = 100 * 1024 * 1024


def files_at(path: Path) -> Iterator[Path]:
    """The file, or those in a folder and below it that are of a kind that can be read; hidden ones are left out."""
    if not path.is_dir():
        yield path
        return
    for found in sorted(path.rglob("*")):
        hidden = any(part.startswith(".") for part in found.relative_to(path).parts)
        if found.is_file() and not hidden and found.suffix.lower() in READERS:
            yield found


def read(path: Path) -> list[Part]:
    """Return the parts of a file. Raises Unreadable; whatever the file is, this process is as it was."""
    try:
        if path.stat().st_size > _LARGEST:
            raise Unreadable(f"it is larger than {_LARGEST >> 20} MiB")
        done = subprocess.run(
            [sys.executable, "-m", "support.documents.extract", str(path.absolute())],
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
        # Killed by one of its limits, or by the kernel.
        raise Unreadable("it takes too much time or memory")
    return [Part(**part) for part in json.loads(done.stdout)]
