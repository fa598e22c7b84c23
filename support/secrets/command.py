"""`ai-agents secrets`: `status` and `rotate`."""

import argparse

from support.secrets import rotate, status


def run(chosen: argparse.Namespace) -> int:
    if chosen.what == "status":
        return status.run(chosen)
    check_rotate(chosen)
    return rotate.run(chosen)


def check_rotate(chosen: argparse.Namespace) -> None:
    """Exit with status 2 if the arguments conflict or `--json` has no `--yes`."""
    if chosen.kind == "token" and (chosen.finish or chosen.leaked):
        chosen.refuse("a token has one place: the one before ends at once, without --finish or --leaked")
    if chosen.force and not chosen.finish:
        chosen.refuse("--force goes with --finish")
    if chosen.out and chosen.finish:
        chosen.refuse("--finish makes no new secret: --out goes without it")
    if chosen.json and not (chosen.yes or chosen.dry_run):
        chosen.refuse("--json needs --yes: a machine is not asked")
