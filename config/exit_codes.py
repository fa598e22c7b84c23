"""Exit statuses of commands and server processes, with their meanings."""

NOT_DONE_EXIT = 1
NOT_UNDERSTOOD_EXIT = 2
UNFORESEEN_EXIT = 70
AWAY_EXIT = 75
CONFIGURATION_EXIT = 78
INTERRUPTED_EXIT = 130

OF_COMMANDS = {
    0: "done (also when no job matches)",
    NOT_DONE_EXIT: "not done: no such job, document or audit record, a job that can't be retried, an unreadable file, "
    "an incomplete copy of a desk, no usable answer of a model, a secret that was not rotated, or no y as the answer",
    NOT_UNDERSTOOD_EXIT: "invalid command, or several tenants have the ticket, or its tenant is unknown (diagnose, "
    "secrets)",
    UNFORESEEN_EXIT: "internal error, whose place is in the log line; or the output can't be written (a full disk)",
    AWAY_EXIT: "the database (diagnose has a verdict for that), Redis (forget) or the model (replay, also beyond the "
    "day's spending limit) is unavailable: try again",
    CONFIGURATION_EXIT: "a setting or the database must be fixed",
    INTERRUPTED_EXIT: "Ctrl-C",
}
OF_VERDICTS = {
    code: status
    for status, code in enumerate(
        (
            *("in_progress", "waiting_backlog", "no_worker", "webhook_missing", "webhook_rejected", "ticket_gone"),
            *("model_failing", "desk_failing", "context_failing", "tenant_closed", "model_held", "rate_held"),
            *("already_enhanced", "another_job", "left_out", "nothing_found", "dry_run", "forgotten", "note_removed"),
            *("not_queued", "deadline_passed", "worker_lost", "database_failing", "failed"),
        ),
        start=3,
    )
} | {"delivered": 0}
"""Exit status of `diagnose` by verdict. Scripts depend on the numbers; a new verdict takes the next one."""
OF_PROCESSES = {
    0: "stopped by a signal",
    1: "internal error: its log has an exception",
    3: "the same, of `api` while it starts",
    AWAY_EXIT: "the process was stuck, or took no job although jobs waited, and ended itself: the log line says which",
    CONFIGURATION_EXIT: "a setting or the database must be fixed: the log line has the problem",
    137: "killed: beyond its memory limit (`OOMKilled`), or its time to stop was over",
    143: "stopped by a signal before it was ready",
}
