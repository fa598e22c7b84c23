"""Exit statuses of commands and server processes, with their meanings."""

NOT_DONE_EXIT = 1
NOT_UNDERSTOOD_EXIT = 2
UNFORESEEN_EXIT = 70
AWAY_EXIT = 75
CONFIGURATION_EXIT = 78
INTERRUPTED_EXIT = 130

OF_COMMANDS = {
    0: "success (also if no job matches)",
    NOT_DONE_EXIT: "not done: no such job, document or audit record; job not retryable; file unreadable; desk not "
    "fully copied; no usable model answer; secret not rotated; confirmation declined",
    NOT_UNDERSTOOD_EXIT: "wrong arguments; or the tenant is ambiguous or unknown (diagnose, trace, secrets)",
    UNFORESEEN_EXIT: "internal error, see the log line; or the output can't be written (full disk)",
    AWAY_EXIT: "a server is unavailable, try again later: the database (diagnose has a verdict instead), Redis "
    "(forget), or the model (replay, also at the spending limit)",
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
            *("not_queued", "deadline_passed", "worker_lost", "database_failing", "failed", "held_out"),
        ),
        start=3,
    )
} | {"delivered": 0}
"""Exit status of `diagnose` by verdict. Scripts depend on the numbers; a new verdict takes the next one."""
OF_PROCESSES = {
    0: "stopped on request",
    1: "internal error: the log has an exception",
    3: "internal error while `api` starts",
    AWAY_EXIT: "the process ended itself, because it claimed no job although jobs waited, or because it hung: see the "
    "log line",
    CONFIGURATION_EXIT: "a setting or the database must be fixed: see the log line",
    137: "killed: memory limit exceeded (`OOMKilled`), or not stopped in time",
    143: "stopped on request before it was ready",
}
