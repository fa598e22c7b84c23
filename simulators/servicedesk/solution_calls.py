"""The API's operations on the knowledge base, called solutions in the API.

Source of the filters' names: https://help.servicedeskplus.com/v3-solutions-api-changes
"""

from simulators.exchange import Answer
from simulators.servicedesk.call import DeskCall
from simulators.servicedesk.desk import SimulatedDesk
from simulators.servicedesk.envelope import (
    BAD_REFERENCE,
    INVALID_INPUT,
    INVALID_URL,
    NOT_FOUND,
    RefusedError,
    success,
    success_list,
)
from simulators.servicedesk.listing import select
from simulators.servicedesk.shapes import solution_in_full, solution_in_list

_FILTERS = {"ApprovedSolutions": (True,), "UnApprovedSolutions": (False,), "AllSolutions": (True, False)}


def list_solutions(desk: SimulatedDesk, call: DeskCall) -> Answer:
    """Handle `GET /solutions`: `filter_by {"name": "ApprovedSolutions"}` omits drafts."""
    info = call.list_info()
    chosen = info.get("filter_by", {"name": "AllSolutions"})
    name = chosen.get("name") if isinstance(chosen, dict) and chosen.keys() == {"name"} else None
    if name not in _FILTERS:
        raise RefusedError(BAD_REFERENCE, INVALID_INPUT, "filter_by")
    found = [solution for solution in desk.solutions.values() if solution.approved in _FILTERS[name]]
    page, reply = select(found, info, {}, frozenset({"filter_by"}))
    shown = [solution_in_list(solution, texts=desk.settings.list_texts) for solution in page]
    return success_list({"list_info": reply, "solutions": shown})


def read_solution(desk: SimulatedDesk, call: DeskCall) -> Answer:
    solution = desk.solutions.get(call.item_id or "")
    if solution is None:
        raise RefusedError(NOT_FOUND, INVALID_URL)
    return success({"solution": solution_in_full(solution)})
