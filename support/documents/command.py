"""`ai-agents documents`: add, list and remove files, keyed by the given path."""

import argparse
import os
import sys
from collections.abc import Iterator
from pathlib import Path

from config.exits import NOT_DONE_EXIT
from config.settings import ByHandSettings
from config.tenant_names import by_tenant
from config.tenant_reading import read_environment
from storage import history
from storage.session import DATABASE_FAILURES, Database, is_away, is_locked
from support.asking import ask
from support.documents.extract import Unreadable
from support.documents.reading import files_at, is_folder, read
from support.tables import as_json, clean, table, terminal_width

Done = dict[str, object]


def run(chosen: argparse.Namespace) -> int:
    """Run the subcommand; return 1 if a file is unreadable or a document missing."""
    does = {"add": _add, "list": _list, "remove": _remove}[chosen.what]

    async def work(database: Database, settings: ByHandSettings) -> int:
        known = by_tenant(read_environment(settings.secrets_dir)())
        if chosen.what == "add" and known and chosen.tenant not in known:
            print(f"There are no settings here of a tenant {chosen.tenant}.", file=sys.stderr)
        return await does(database, chosen)

    return ask(work)


async def _add(database: Database, chosen: argparse.Namespace) -> int:
    done: list[Done] = []
    try:
        for found in _met(chosen.paths):
            path, reason = found if isinstance(found, tuple) else (found, "")
            done.append({"path": str(path)} | (_not_read(reason) if reason else await _added(database, chosen, path)))
    finally:
        # Also after an interruption: earlier files are stored.
        _print(done, machine=chosen.json)
    await _tell_left(database, chosen, done)
    if not done:
        print("No file there is of a kind that can be read.", file=sys.stderr)
    return 0 if done and all("reason" not in each for each in done) else NOT_DONE_EXIT


def _met(paths: list[str]) -> Iterator[Path | tuple[Path, str]]:
    for each in paths:
        yield from files_at(Path(each))


async def _added(database: Database, chosen: argparse.Namespace, path: Path) -> Done:
    try:
        str(path).encode()
        parts = read(path)
        before = await history.save_document(database, chosen.tenant, str(path), parts)
    except UnicodeEncodeError:
        return _not_read("its name is not UTF-8")
    except Unreadable as unreadable:
        return _not_read(str(unreadable))
    except DATABASE_FAILURES as failure:
        if is_away(failure) and not is_locked(failure):
            raise
        reason = "somebody else writes into the tenant's copies" if is_locked(failure) else "the database refuses it"
        return _not_read(f"not stored: {reason}")
    return {"parts": len(parts), "what": "updated" if before else "added"}


def _not_read(reason: str) -> Done:
    return {"what": "not read", "reason": reason}


def _print(done: list[Done], *, machine: bool) -> None:
    if machine:
        print(as_json(done))
        return
    if rows := [(str(each["what"]), str(each["parts"]), str(each["path"])) for each in done if "parts" in each]:
        print(table(("WHAT", "PARTS", "DOCUMENT"), rows, terminal_width()))
    for each in done:
        if "reason" in each:
            print(f"Not read: {clean(str(each['path']))}: {each['reason']}", file=sys.stderr)


async def _tell_left(database: Database, chosen: argparse.Namespace, done: list[Done]) -> None:
    met = {each["path"] for each in done}
    folders = tuple(f"{Path(each)}{os.sep}" for each in chosen.paths if is_folder(Path(each)))
    for document in await history.added_documents(database, chosen.tenant) if folders else ():
        if document.path.startswith(folders) and document.path not in met:
            print(f"Not in its folder any more, and still used: {clean(document.path)}", file=sys.stderr)


async def _list(database: Database, chosen: argparse.Namespace) -> int:
    found = await history.added_documents(database, chosen.tenant)
    if chosen.json:
        print(as_json([document._asdict() for document in found]))
    elif found:
        rows = [(f"{one.added_at:%Y-%m-%d %H:%M}", str(one.parts), one.path) for one in found]
        print(table(("ADDED", "PARTS", "DOCUMENT"), rows, terminal_width()))
    else:
        print("No document was added.", file=sys.stderr)
    return 0


async def _remove(database: Database, chosen: argparse.Namespace) -> int:
    """Remove documents by path; for a folder everything below it."""
    there = [document.path for document in await history.added_documents(database, chosen.tenant)]
    told: list[Done] = []
    for given in chosen.paths:
        path = str(Path(given))
        meant = [each for each in there if each == path or each.startswith(f"{path}{os.sep}")]
        for each in meant or [path]:
            parts = await history.remove_document(database, chosen.tenant, each)
            told.append({"path": each, "parts": parts, "what": "removed" if parts else "not there"})
    for one in () if chosen.json else told:
        line = f"{'Removed' if one['parts'] else 'Not there'}: {clean(str(one['path']))}"
        print(line, file=sys.stdout if one["parts"] else sys.stderr)
    if chosen.json:
        print(as_json(told))
    return 0 if all(each["parts"] for each in told) else NOT_DONE_EXIT
