"""`ai-agents documents`: add, list and remove files, keyed by the given path."""

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from cli.database import run_with_database
from cli.terminal import as_json, table, terminal_width
from config.exit_codes import NOT_DONE_EXIT
from config.settings import ByHandSettings
from config.tenant_directory import read_environment
from config.tenants import by_tenant
from db.session import DATABASE_FAILURES, Database, is_away, is_locked
from knowledge import repository
from knowledge.document_parser import MAX_SECONDS, READERS, Part, UnreadableError
from observability.formats import clean

_ROOT = Path(__file__).resolve().parents[1]
_LARGEST = 100 * 1024 * 1024
Done = dict[str, object]


def run(chosen: argparse.Namespace) -> int:
    command = {"add": _add, "list": _list, "remove": _remove}[chosen.what]

    async def work(database: Database, settings: ByHandSettings) -> int:
        tenants = by_tenant(read_environment(settings.secrets_dir)())
        if chosen.what == "add" and tenants and chosen.tenant not in tenants:
            print(f"Tenant {chosen.tenant} has no settings here.", file=sys.stderr)
        return await command(database, chosen)

    return run_with_database(work)


async def _add(database: Database, chosen: argparse.Namespace) -> int:
    done: list[Done] = []
    try:
        for path, reason in [file for each in chosen.paths for file in files_at(Path(each))]:
            added = _not_read(reason) if reason else await _added(database, chosen.tenant, path)
            done.append({"path": str(path), **added})
    finally:
        # Also after an interruption: earlier files are stored.
        if chosen.json:
            print(as_json(done))
        elif rows := [(str(each["what"]), str(each["parts"]), str(each["path"])) for each in done if "parts" in each]:
            print(table(("WHAT", "PARTS", "DOCUMENT"), rows, terminal_width()))
        for each in () if chosen.json else done:
            if "reason" in each:
                print(f"Not read: {clean(str(each['path']))}: {each['reason']}", file=sys.stderr)
    seen_paths = {each["path"] for each in done}
    folders = tuple(f"{Path(each)}{os.sep}" for each in chosen.paths if _is_folder(Path(each)))
    for document in await repository.added_documents(database, chosen.tenant) if folders else ():
        if document.path.startswith(folders) and document.path not in seen_paths:
            print(f"Removed from its folder but still searched: {clean(document.path)}", file=sys.stderr)
    if not done:
        print("No file of a supported type was found.", file=sys.stderr)
    return 0 if done and all("reason" not in each for each in done) else NOT_DONE_EXIT


async def _added(database: Database, tenant_id: str, path: Path) -> Done:
    try:
        str(path).encode()
        parts = read(path)
        before = await repository.save_document(database, tenant_id, str(path), parts)
    except UnicodeEncodeError:
        reason = "its name is not UTF-8"
    except UnreadableError as unreadable:
        reason = str(unreadable)
    except DATABASE_FAILURES as failure:
        if is_away(failure) and not is_locked(failure):
            raise
        cause = "copies of the tenant are being written, try again" if is_locked(failure) else "the database refuses it"
        reason = f"not stored: {cause}"
    else:
        return {"parts": len(parts), "what": "updated" if before else "added"}
    return _not_read(reason)


def _not_read(reason: str) -> Done:
    return {"what": "not read", "reason": reason}


async def _list(database: Database, chosen: argparse.Namespace) -> int:
    documents = await repository.added_documents(database, chosen.tenant)
    if chosen.json:
        print(as_json([document._asdict() for document in documents]))
    elif documents:
        rows = [(f"{document.added_at:%Y-%m-%d %H:%M}", str(document.parts), document.path) for document in documents]
        print(table(("ADDED", "PARTS", "DOCUMENT"), rows, terminal_width()))
    else:
        print("No document was added.", file=sys.stderr)
    return 0


async def _remove(database: Database, chosen: argparse.Namespace) -> int:
    stored_paths = [document.path for document in await repository.added_documents(database, chosen.tenant)]
    results: list[Done] = []
    for argument in chosen.paths:
        path = str(Path(argument))
        matches = [each for each in stored_paths if each == path or each.startswith(f"{path}{os.sep}")]
        for each in matches or [path]:
            parts = await repository.remove_document(database, chosen.tenant, each)
            results.append({"path": each, "parts": parts, "what": "removed" if parts else "not there"})
    if chosen.json:
        print(as_json(results))
    for result in () if chosen.json else results:
        line = f"{'Removed' if result['parts'] else 'Not there'}: {clean(str(result['path']))}"
        print(line, file=sys.stdout if result["parts"] else sys.stderr)
    return 0 if all(each["parts"] for each in results) else NOT_DONE_EXIT


def files_at(path: Path) -> Iterator[tuple[Path, str]]:
    """Yield the file, or the supported files below a folder, except hidden ones.

    An unreadable folder has a reason. Links to folders are not followed.
    """
    if not _is_folder(path):
        yield path, ""
        return
    refused: list[OSError] = []
    for folder, folders, names in os.walk(path, onerror=refused.append):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            file = Path(folder, name)
            if not name.startswith(".") and file.suffix.lower() in READERS:
                yield file, ""
    yield from ((Path(failure.filename), f"it can't be opened ({failure.strerror})") for failure in refused)


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except OSError:
        return False


def read(path: Path) -> list[Part]:
    try:
        if path.stat().st_size > _LARGEST:
            raise UnreadableError(f"it is larger than {_LARGEST >> 20} MiB")
        done = subprocess.run(
            # Without modules of the current folder, and without our settings.
            [sys.executable, "-P", "-m", "knowledge.document_parser", str(path.absolute())],
            env={"PATH": os.defpath, "PYTHONPATH": str(_ROOT)},
            capture_output=True,
            timeout=2 * MAX_SECONDS,
            check=False,
            stdin=subprocess.DEVNULL,
        )
    except OSError as failure:
        raise UnreadableError(f"it can't be opened ({failure.strerror})") from failure
    except subprocess.TimeoutExpired:
        raise UnreadableError(f"reading takes more than {2 * MAX_SECONDS} s") from None
    if done.returncode == 1 and done.stderr:
        raise UnreadableError(done.stderr.decode(errors="replace").splitlines()[-1])
    if done.returncode != 0:
        # Killed by one of its limits or by the kernel.
        raise UnreadableError("reading takes too much time or memory")
    return [Part(**part) for part in json.loads(done.stdout)]
