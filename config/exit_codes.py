"""Exit statuses of commands and server processes, with their meanings."""

NOT_DONE_EXIT = 1
NOT_UNDERSTOOD_EXIT = 2
UNFORESEEN_EXIT = 70
AWAY_EXIT = 75
CONFIGURATION_EXIT = 78
INTERRUPTED_EXIT = 130

OF_COMMANDS = {
    0: "done (also when no job matches)",
    NOT_DONE_EXIT: "there is no such job, document or audit record, a job can't be tried again, a file can't be read, "
    "a desk was not copied to its end, a model gave no usable answer, a secret was not rotated, or the question was "
    "not answered with y",
    NOT_UNDERSTOOD_EXIT: "the command was not understood, or several tenants have the ticket, or its tenant is unknown "
    "(diagnose, secrets)",
    UNFORESEEN_EXIT: "a mistake of ours: the log line has its place; or the output can't be written (a full disk)",
    AWAY_EXIT: "the database is away (diagnose has a verdict for that), or Redis (forget), or the model (replay; past "
    "a day's spending limit too): try again",
    CONFIGURATION_EXIT: "a setting or the database has to be mended",
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
    0: "it was told to stop, and did",
    1: "a fault of ours: its log has an exception",
    3: "the same, of `api` while it starts",
    AWAY_EXIT: "no job was taken though jobs waited, or it stood still, and it ended itself: the line says which",
    CONFIGURATION_EXIT: "a setting or the database has to be mended: the line says what",
    137: "killed: over its memory limit (`OOMKilled`), or its time to stop was over",
    143: "it was told to stop before it was ready",
}
