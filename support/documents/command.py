"""`ai-agents documents`: add files, list what was added, and remove it; each is known by the path it was added with."""

import argparse
import sys
from pathlib import Path

from config.exits import NOT_DONE_EXIT
from config.settings import ByHandSettings
from storage import documents
from storage.session import Database
from support.arguments import check_documents
from support.asking import ask
from support.documents.extract import Unreadable
from support.documents.reading import files_at, read
from support.tables import as_json, table, terminal_width


def run(chosen: argparse.Namespace) -> int:
    """Do what was asked for; the exit status, 1 if a file can't be read or a document is not there."""
    check_documents(chosen)
    does = {"add": _add, "list": _list, "remove": _remove}[chosen.what]

    async def work(database: Database, _settings: ByHandSettings) -> int:
        return await does(database, chosen)

    return ask(work)


async def _add(database: Database, chosen: argparse.Namespace) -> int:
    done, wrong = [], []
    for path in (file for each in chosen.paths for file in files_at(Path(each))):
        try:
            parts = read(path)
        except Unreadable as unreadable:
            wrong.append((str(path), str(unreadable)))
            continue
        before = await documents.save(database, chosen.tenant, str(path), parts)
        done.append((str(path), len(parts), "updated" if before else "added"))
    if chosen.json:
        told = [{"path": path, "parts": parts, "what": what} for path, parts, what in done]
        print(as_json([*told, *({"path": path, "what": "not read", "reason": reason} for path, reason in wrong)]))
    elif done:
        rows = [(what, str(parts), path) for path, parts, what in done]
        print(table(("WHAT", "PARTS", "DOCUMENT"), rows, terminal_width()))
    for name, reason in () if chosen.json else wrong:
        print(f"Not read: {name}: {reason}", file=sys.stderr)
    if not done and not wrong:
        print("No file there is of a kind that can be read.", file=sys.stderr)
    return 0 if done and not wrong else NOT_DONE_EXIT


async def _list(database: Database, chosen: argparse.Namespace) -> int:
    found = await documents.added(database, chosen.tenant)
    if chosen.json:
        print(as_json([document._asdict() for document in found]))
    elif found:
        rows = [(f"{one.added_at:%Y-%m-%d %H:%M}", str(one.parts), one.path) for one in found]
        print(table(("ADDED", "PARTS", "DOCUMENT"), rows, terminal_width()))
    else:
        print("No document was added.", file=sys.stderr)
    return 0


async def _remove(database: Database, chosen: argparse.Namespace) -> int:
    status = 0
    for path in chosen.paths:
        parts = await documents.remove(database, chosen.tenant, path)
        if not parts:
            status = NOT_DONE_EXIT
        print(f"{'Removed' if parts else 'Not there'}: {path}", file=sys.stdout if parts else sys.stderr)
    return status
