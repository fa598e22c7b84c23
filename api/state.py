"""What the API process holds while it runs."""

from dataclasses import dataclass

from api.acceptance import Acceptance
from api.rejections import RejectionRecorder
from config.tenants import TenantDirectory
from storage.session import Database
from worker.queue import JobQueue


@dataclass(frozen=True, slots=True)
class ApiState:
    """Made by `api.app`, found at `request.app.state.api`."""

    tenants: TenantDirectory
    database: Database
    queue: JobQueue
    acceptance: Acceptance
    rejections: RejectionRecorder
    sender_seconds: float
