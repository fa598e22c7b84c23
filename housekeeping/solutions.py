"""The solutions of a desk: its knowledge base, copied as passages."""

from datetime import UTC, datetime
from typing import ClassVar

from config.ticket_rules import fold
from housekeeping.desk_copy import UNSEEN_HOURS, DeskCopy, TakenPage, digest
from housekeeping.passages import passages_of
from integrations.errors import DeskRefused
from integrations.servicedesk.parsing import ListedSolution, Solution
from storage import history, listings
from storage.listings import Collection, ListedItem


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
            copy.gives_solutions = False
            raise
        barred = [each.solution_id for each in listed.items if copy.forbidden.bars_topic(each.topic)]
        copy.removed += await listings.remove(copy.database, copy.tenant_id, "p", barred)
        rows = [_row(each) for each in listed.items if each.solution_id not in barred]
        where = (copy.database, copy.tenant_id, self.collection)
        news = await listings.take_in(*where, rows, hours=UNSEEN_HOURS, pass_from=pass_from)
        ids = [each.solution_id for each in listed.items]
        return TakenPage(ids, [None] * len(ids), len(rows), news, listed.has_more)

    async def read(self, solution_id: str) -> None:
        copy = self._copy
        await copy.turn()
        solution = await copy.desk.read_solution(solution_id)
        if solution is None or copy.forbidden.bars_topic(solution.topic) or _is_expired(solution):
            copy.removed += await history.remove_passages(copy.database, copy.tenant_id, solution_id)
        else:
            bodies = passages_of(solution)
            about = (copy.tenant_id, solution_id, solution.title, bodies)
            topic, expires_at = fold(solution.topic), solution.expires_at
            await history.save_passages(
                copy.database, *about, topic=topic, expires_at=expires_at, languages=copy.languages
            )
            copy.passages += len(bodies)
        await listings.was_read(copy.database, copy.tenant_id, "p", solution_id)

    async def hide(self, solution_id: str) -> None:
        """Keep the copy of an item that the desk refused to return."""


def _is_expired(solution: Solution) -> bool:
    return solution.expires_at is not None and solution.expires_at <= datetime.now(UTC)


def _row(each: ListedSolution) -> ListedItem:
    # If the list lacks both, the text may change while the title stays the same.
    tells_all = each.changed_at is not None or each.text is not None
    told = [each.title, each.topic, each.text, *([each.expires_at] if each.expires_at else [])]
    return ListedItem(each.solution_id, digest(*told), None, each.changed_at, tells_all)
