"""Calls of the database functions that change a claimed job."""

BOUND_TO_A_CLAIM = {
    "renew_lease": "interval '1 hour'",
    "see_open": "",
    "know_numbers": "'9', '1', interval '0', 'x'",
    "keep_answer": "1, '{}', 'm', '1s'",
    "begin_posting": "1, interval '1 hour'",
    "end_posting": "1, 'not posted', null",
    "tell_of_attempt": "1, 'x', 'y'",
    "complete_job": "1, '7'",
    "skip_job": "1, 'x'",
    "fail_job": "1, 'x'",
    "retry_job_later": "1, interval '0', 'x'",
    "look_once_more": "1, 8, interval '0', 'x', interval '0'",
    "hold_job_back": "1, interval '0', 'x', interval '0', interval '1 day'",
    "give_job_back": "1",
    "begin_failure_note": "1, '9', '1', 'x'",
    "end_failure_note": "1",
    "begin_refresh": "1, true, interval '1 hour', 'lately', 'x'",
}
"""With what follows tenant, job and token."""
