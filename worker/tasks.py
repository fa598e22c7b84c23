"""The task that Celery calls."""

import time
from uuid import UUID

from celery.exceptions import Reject

from dispatch.queue import TASK
from observability import phrases
from observability.logging import say
from worker.app import app
from worker.pickup import JobGivenBack

_PAUSE_SECONDS = 5.0


@app.task(name=TASK, acks_late=True, ignore_result=True)
def enhance(job_id: str) -> None:
    """Enhance the next ticket; if none can run here, the message returns to the list."""
    try:
        app.resources.run(UUID(job_id))
    except JobGivenBack:
        raise Reject("given back", requeue=True) from None
    except Exception as failure:  # noqa: BLE001 -- Celery would acknowledge the message, and the job be lost without a line
        say(phrases.MESSAGE_FAILED, job_id=job_id, reason="unexpected failure", failure=failure)
        # Delayed, so that a message that always fails does not spin.
        time.sleep(_PAUSE_SECONDS)
        raise Reject("unexpected failure", requeue=True) from None
