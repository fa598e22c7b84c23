"""The solutions of a desk: its knowledge base, copied as passages."""

import textwrap
from datetime import UTC, datetime
from typing import ClassVar

from config.ticket_rules import fold
from housekeeping.desk_copy import UNSEEN_HOURS, DeskCopy, TakenPage, digest
from integrations.errors import DeskRefused
from integrations.servicedesk.contents import ListedSolution, Solution
from storage import history, listings
from storage.listings import Collection, ListedItem

_PASSAGE_CHARACTERS = 1500
_MOST_PASSAGES = 20


class SolutionSource:
    """The approved solutions of one desk."""

    collection: ClassVar[Collection] = "p"

    def __init__(self, copy: DeskCopy) -> None:
        self._copy = copy

    async def take_page(self, start: int, pass_from: datetime) -> TakenPage:
        copy = self._copy
        await copy.turn()
        try:
            listed = await copy.desk.lists.solutions(start)
        except DeskRefused:
            # The technician of a key, or the scope of a token, may have access to tickets but not to solutions.
            copy.synced.with_solutions = False
            raise
        barred = [each.solution_id for each in listed.items if fold(each.topic) in copy.rules.never_topics]
        copy.synced.removed += await listings.remove(copy.database, copy.tenant_id, "p", barred)
        rows = [_row(each) for each in listed.items if each.solution_id not in barred]
        where = (copy.database, copy.tenant_id, self.collection)
        news = await listings.take_in(*where, rows, hours=UNSEEN_HOURS, pass_from=pass_from)
        ids = [each.solution_id for each in listed.items]
        return TakenPage(ids, [None] * len(ids), len(rows), news, listed.has_more)

    async def read(self, solution_id: str) -> None:
        copy = self._copy
        await copy.turn()
        solution = await copy.desk.read_solution(solution_id)
        if solution is None or fold(solution.topic) in copy.rules.never_topics or _is_expired(solution):
            copy.synced.removed += await history.remove_passages(copy.database, copy.tenant_id, solution_id)
        else:
            bodies = _passages_of(solution)
            about = (copy.tenant_id, solution_id, solution.title, bodies)
            topic, expires_at = fold(solution.topic), solution.expires_at
            await history.save_passages(
                copy.database, *about, topic=topic, expires_at=expires_at, languages=copy.languages
            )
            copy.synced.passages += len(bodies)
        await listings.was_read(copy.database, copy.tenant_id, "p", solution_id)


def _passages_of(solution: Solution) -> list[str]:
    text = " ".join(solution.text.split())
    parts = textwrap.wrap(text, _PASSAGE_CHARACTERS, break_long_words=False, break_on_hyphens=False)
    return parts[:_MOST_PASSAGES]


def _is_expired(solution: Solution) -> bool:
    return solution.expires_at is not None and solution.expires_at <= datetime.now(UTC)


def _row(each: ListedSolution) -> ListedItem:
    # If the list lacks both, the text may change while the title stays the same.
    tells_all = each.changed_at is not None or each.text is not None
    told = [each.title, each.topic, each.text, *([each.expires_at] if each.expires_at else [])]
    return ListedItem(each.solution_id, digest(*told), None, each.changed_at, tells_all)
