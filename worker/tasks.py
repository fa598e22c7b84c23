"""The bodies of the tasks: what Celery calls."""

from uuid import UUID

from celery.exceptions import Reject

from worker.app import app
from worker.pickup import JobHandedBack
from worker.queue import TASK
from worker.resources import resources


@app.task(name=TASK, acks_late=True, ignore_result=True)
def enhance(job_id: str) -> None:
    """Enhance the ticket of one job. Its message goes back into the list when the job could not be run here."""
    try:
        resources().run(UUID(job_id))
    except JobHandedBack:
        raise Reject("handed back", requeue=True) from None
