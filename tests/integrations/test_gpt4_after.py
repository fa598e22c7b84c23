"""An endpoint's odd refusal, and the job after it."""

from typing import Any

import pytest

from integrations.errors import ModelRefused
from tests.kit.model import PROMPT, opened
from tests.kit.simulators import Simulator
from workflow.answer import Enhancement

NO_FORMAT = {"kind": "status", "code": 400, "param": "response_format"}


def formats(model: Simulator) -> list[Any]:
    asked = [request["payload"].get("response_format", {}) for request in model.requests(operation="chat")]
    return [form.get("type") for form in asked]


@pytest.mark.parametrize(
    ("faults", "first"),
    [
        ([{**NO_FORMAT, "times": 3}], ["json_schema", "json_object", None]),
        ([{**NO_FORMAT, "times": 1}, {**NO_FORMAT, "param": "model", "times": 1}], ["json_schema", "json_object"]),
    ],
    ids=["refused whatever is left out", "refused for something else in the end"],
)
async def test_a_job_that_fails_all_the_same_teaches_the_next_one_nothing(
    faults: list[dict[str, Any]], first: list[Any], model: Simulator
) -> None:
    for fault in faults:
        model.order(**fault)
    async with opened(model.url) as gpt4:
        with pytest.raises(ModelRefused):
            await gpt4.ask(PROMPT, Enhancement)
        assert (await gpt4.ask(PROMPT, Enhancement)).content.summary
    assert formats(model) == [*first, "json_schema"]
