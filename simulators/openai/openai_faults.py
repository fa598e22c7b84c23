"""The endpoint's faults."""

from typing import Annotated, Any, ClassVar

from pydantic import AfterValidator, Field

from simulators.exchange import PORTAL, Answer, maintenance_page
from simulators.faults import Fault, with_a_body
from simulators.openai.api_error import ApiError, Provider

Json = dict[str, Any]

CONTENT_KINDS = frozenset(
    {
        "empty_choices",
        "refusal",
        "content_filter",
        "cut_off",
        "malformed",
        "fenced",
        "wrong_schema",
        "columns",
        "hostile",
        "obedient",
    }
)


class OpenAIFault(Fault):
    """A fault for chat requests whose body contains `match` (null: any).

    `chunks` is the number of content pieces before the fault: by default none for `keep_alive` and `empty_deltas`,
    three for the others. `seconds` is the interval between pieces. `comments` ends a `keep_alive` after that many,
    and the answer follows; without it the comments never end. A `slow_stream` has `pieces` (default: as in other
    answers) and is slow until the fault is cleared. `html` has HTTP 200 unless a `code` is given. `word` is the code
    in an error's body, such as `insufficient_quota`. `not_streamed` answers a streaming request in one piece. `huge`
    sends a first piece of `megabytes`.
    """

    options: ClassVar = {
        "status": frozenset({"code", "word", "retry_after", "retry_after_ms", "message", "param"}),
        "refuse_parameter": frozenset({"param"}),
        "error_in_200": frozenset({"code", "word", "message"}),
        "error_event": frozenset({"code", "word", "message", "chunks"}),
        "stall": frozenset({"chunks"}),
        "cut": frozenset({"chunks"}),
        "keep_alive": frozenset({"seconds", "chunks", "comments"}),
        "empty_deltas": frozenset({"seconds", "chunks"}),
        "slow_stream": frozenset({"seconds", "pieces"}),
        "html": frozenset({"code", "message"}),
        "huge": frozenset({"megabytes"}),
        **dict.fromkeys(("silence", "no_json_schema", "not_streamed", *sorted(CONTENT_KINDS)), frozenset()),
    }
    selectors: ClassVar = frozenset({"match"})

    match: str | None = None
    code: Annotated[int, AfterValidator(with_a_body)] = Field(default=502, ge=300, le=599)
    word: str | None = None
    retry_after: str | None = None
    retry_after_ms: str | None = None
    message: str = "The server had an error while processing your request. Sorry about that!"
    param: str = ""
    chunks: int | None = Field(default=None, ge=0)
    seconds: float = Field(default=1.0, ge=0)
    comments: int | None = Field(default=None, ge=1)
    pieces: int | None = Field(default=None, ge=1)
    megabytes: int = Field(default=50, ge=1, le=50)

    @property
    def after(self) -> int:
        if self.chunks is not None:
            return self.chunks
        return 0 if self.kind in {"keep_alive", "empty_deltas"} else 3


def error_of(fault: OpenAIFault, provider: Provider) -> ApiError:
    codes = {401: "invalid_api_key", 404: "model_not_found", 429: "rate_limit_exceeded"}
    code = fault.word or (codes.get(fault.code) if provider == "openai" else None)
    return ApiError(fault.code, fault.message, param=fault.param or None, code=code)


def error_document(fault: OpenAIFault) -> Json:
    """Return an error for HTTP 200: OpenAI's with a `word`, else a router's.

    A router's error has the upstream's status as its code.
    """
    if fault.word is not None:
        return {"error": error_of(fault, "openai").document("openai")}
    metadata = {"provider_name": "simulated"}
    return {"error": {"code": fault.code, "message": fault.message, "metadata": metadata}}


def applies(fault: OpenAIFault, body: Json) -> bool:
    if fault.kind == "refuse_parameter":
        return fault.param in body
    if fault.kind == "no_json_schema":
        wanted = body.get("response_format")
        return isinstance(wanted, dict) and wanted.get("type") == "json_schema"
    return True


def in_place_of_an_answer(fault: OpenAIFault, provider: Provider, headers: dict[str, str]) -> Answer | None:
    """Return the response that replaces the completion, or None for faults of the completion."""
    match fault.kind:
        case "status":
            asked = {"retry-after": fault.retry_after, "retry-after-ms": fault.retry_after_ms}
            extra = {name: value for name, value in asked.items() if value is not None}
            return error_of(fault, provider).answer(provider, {**headers, **extra})
        case "html":
            given = fault.model_fields_set
            page = maintenance_page(fault.message if "message" in given else PORTAL)
            return Answer.of_html(fault.code if "code" in given else 200, page)
        case "error_in_200":
            return Answer.of_json(200, error_document(fault), headers)
        case "refuse_parameter":
            message = f"Unsupported parameter: '{fault.param}' is not supported with this model."
            return ApiError(400, message, param=fault.param, code="unsupported_parameter").answer(provider, headers)
        case "no_json_schema":
            message = "Invalid parameter: 'response_format' of type 'json_schema' is not supported with this model."
            return ApiError(400, message, param="response_format").answer(provider, headers)
        case _:
            return None
