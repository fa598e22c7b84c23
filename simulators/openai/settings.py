"""What the simulated endpoint is told at its start."""

from pydantic import BaseModel, ConfigDict, Field

# Unix seconds at which OpenAI's page of deprecations ends a model, or None. Retired ones are a 404.
_SHUTDOWN_2027_01_14 = 1_799_884_800
MODELS: dict[str, int | None] = {
    "gpt-6-luna": None,
    "gpt-6.1-sol": None,
    "gpt-6.1-terra": None,
    "gpt-6-astra": None,
    "gpt-4o": _SHUTDOWN_2027_01_14,
    "gpt-4o-mini": _SHUTDOWN_2027_01_14,
    "gpt-4.1": _SHUTDOWN_2027_01_14,
    "gpt-4.1-mini": _SHUTDOWN_2027_01_14,
}


class OpenAIConfig(BaseModel):
    """The endpoint's key, pace and models.

    A streamed answer begins after `first_token_seconds` and is complete after `seconds`, in `chunks`
    pieces; an answer in one piece comes after `seconds`. `models` are ids with their end in Unix seconds.
    """

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    api_key: str = Field(min_length=1)
    first_token_seconds: float = Field(default=0.2, ge=0)
    seconds: float = Field(default=1.0, ge=0)
    chunks: int = Field(default=24, ge=1)
    models: dict[str, int | None] = MODELS

    def knows(self, model: str) -> bool:
        """Return whether a model is served; a router's prefix such as `openai/` is ignored."""
        return model.rpartition("/")[2] in self.models
