"""GPT-4 rows of the fault table."""

import re
from dataclasses import replace

from tests.system.fault_table import IDLE, PLANTED, TOTAL, FaultRow, failed, openai, repaired, retried


def rows() -> list[FaultRow]:
    """Return every GPT-4 fault that holds no other jobs."""
    error = "OpenAI API error: "
    silent = rf"GPT-4 API call failed: timeout after {IDLE}s"
    invalid = error + "invalid answer"
    # Faults that hold the jobs of all rows: `tests/workflow/test_held.py`.
    statuses = {400: "Bad Request", 403: "Forbidden"}
    later = {408: "Request Timeout", 500: "Internal Server Error", 503: "Service Unavailable", 529: "Overloaded"}
    rate = "429 Rate Limit"
    return [
        *(
            failed(f"GPT-4 {code}", f"{error}{code} {words}", openai("status", code=code, message=PLANTED))
            for code, words in statuses.items()
        ),
        *(
            retried(f"GPT-4 {code}", f"{error}{code} {words}", openai("status", code=code, message=PLANTED))
            for code, words in later.items()
        ),
        *(
            replace(
                failed(
                    f"GPT-4 400{told or ', unknown names'}",
                    f"{error}400 Bad Request{re.escape(told)}",
                    openai("status", code=400, message=PLANTED, word=word, param=param),
                ),
                reason=f"OpenAI API: 400 Bad Request{told}",
            )
            for told, word, param in (
                (" (code unsupported_value, param temperature)", "unsupported_value", "temperature"),
                (" (code context_length_exceeded, param messages)", "context_length_exceeded", "messages[1].content"),
                (" (param model)", PLANTED, "model"),
                ("", PLANTED, PLANTED),
            )
        ),
        retried("GPT-4 429", error + rate, openai("status", code=429, message=PLANTED)),
        retried("GPT-4 429 with Retry-After", error + rate, openai("status", code=429, retry_after=6), wait="6"),
        retried("GPT-4 HTML", invalid, openai("html", message=PLANTED)),
        retried("GPT-4 without end", invalid, openai("huge", megabytes=6)),
        retried("GPT-4 HTML 502", error + "502 Bad Gateway", openai("html", code=502, message=PLANTED)),
        retried("error in a 200", error + "502 Bad Gateway", openai("error_in_200", message=PLANTED)),
        retried("429 in a 200", error + "429 Rate Limit", openai("error_in_200", code=429, message=PLANTED)),
        failed("403 in a 200", error + "403 Forbidden", openai("error_in_200", code=403, message=PLANTED)),
        retried("error event", error + "502 Bad Gateway", openai("error_event", message=PLANTED)),
        retried("error event 429", error + "429 Rate Limit", openai("error_event", code=429, message=PLANTED)),
        retried("error event of no status", error + "500 Internal Server Error", openai("error_event", code=302)),
        retried("GPT-4 silence", silent, openai("silence")),
        retried("stream stalls", silent, openai("stall")),
        retried("comments for ever", silent, openai("keep_alive", seconds=0.3)),
        retried("comments for ever after content", silent, openai("keep_alive", seconds=0.3, chunks=3)),
        retried("empty pieces for ever", silent, openai("empty_deltas", seconds=0.3)),
        retried(
            "answer without end", rf"GPT-4 API call failed: timeout after {TOTAL}s", openai("slow_stream", seconds=0.6)
        ),
        retried("stream cut", error + "connection", openai("cut")),
        retried("stream cut before content", error + "connection", openai("cut", chunks=0)),
        failed("refusal", invalid, openai("refusal")),
        failed("content filter", error + "content filter", openai("content_filter")),
        *(repaired(f"{kind} once", openai(kind)) for kind in ("cut_off", "malformed", "wrong_schema", "empty_choices")),
        *(
            failed(f"{kind} twice", invalid, openai(kind, times=2), calls=2)
            for kind in ("cut_off", "malformed", "wrong_schema", "empty_choices")
        ),
        repaired("no json_schema", openai("no_json_schema")),
        repaired("unsupported parameter", openai("refuse_parameter", param="stream_options")),
        repaired("fenced JSON", openai("fenced"), calls=1),
        repaired("not streamed", openai("not_streamed"), calls=1),
        repaired("hostile content", openai("hostile"), calls=1),
        repaired("comments, then the answer", openai("keep_alive", seconds=0.2, comments=4), calls=1),
    ]
