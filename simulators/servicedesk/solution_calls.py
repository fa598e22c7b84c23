"""The API's operations on the knowledge base, which the API calls solutions."""

from simulators.exchange import Answer
from simulators.servicedesk.call import DeskCall
from simulators.servicedesk.desk import SimulatedDesk
from simulators.servicedesk.envelope import NOT_FOUND, WRONG_VALUE, RefusedError, success, success_list
from simulators.servicedesk.listing import select
from simulators.servicedesk.shapes import solution_in_full

_FILTERS = {"ApprovedSolutions": (True,), "UnApprovedSolutions": (False,), "AllSolutions": (True, False)}


def list_solutions(desk: SimulatedDesk, call: DeskCall) -> Answer:
    """`GET /solutions`: `filter_by {"name": "ApprovedSolutions"}` leaves drafts out."""
    info = call.list_info()
    chosen = info.get("filter_by") or {"name": "AllSolutions"}
    name = chosen.get("name") if isinstance(chosen, dict) else None
    if name not in _FILTERS:
        raise RefusedError(WRONG_VALUE, "unknown filter", "filter_by")
    found = [solution for solution in desk.solutions.values() if solution.approved in _FILTERS[name]]
    page, reply = select([solution_in_full(solution) for solution in found], info)
    return success_list({"list_info": reply, "solutions": page})


def read_solution(desk: SimulatedDesk, call: DeskCall) -> Answer:
    """`GET /solutions/{id}`."""
    solution = desk.solutions.get(call.item_id or "")
    if solution is None:
        raise RefusedError(NOT_FOUND, "Invalid URL or the requested resource does not exist", "id")
    return success({"solution": solution_in_full(solution)})
