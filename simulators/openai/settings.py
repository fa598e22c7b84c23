"""What the simulated endpoint is told at its start."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from simulators.openai.api_error import Provider

# Of OpenAI's pages of models and deprecations; retired ones are a 404.
MODELS = frozenset(
    {
        "text-embedding-3-small",
        "text-embedding-3-large",
        "gpt-6-luna",
        "gpt-6.1-sol",
        "gpt-6.1-terra",
        "gpt-6-astra",
        "gpt-4o",
        "gpt-4o-mini",
        "gpt-4.1",
        "gpt-4.1-mini",
    }
)


class OpenAIConfig(BaseModel):
    """The endpoint's key, pace and models, and whose it is.

    A streamed answer begins after `first_token_seconds` and is complete after `seconds`, in `chunks`
    pieces; an answer in one piece comes after `seconds`. `models` are an Azure resource's deployments, or what a local
    server has pulled; `lacks` is what the model behind OpenRouter or a local server can't do.
    """

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    api_key: str = Field(min_length=1)
    first_token_seconds: float = Field(default=0.2, ge=0)
    seconds: float = Field(default=1.0, ge=0)
    chunks: int = Field(default=24, ge=1)
    provider: Provider = "openai"
    models: frozenset[str] = frozenset()
    lacks: frozenset[Literal["json_schema", "json_object", "reasoning", "max_tokens"]] = frozenset()

    def knows(self, model: str) -> bool:
        """Return True if a model is served; in the mode `openai` a router's prefix such as `openai/` is ignored."""
        if model in self.models:
            return True
        maker, _, name = model.rpartition("/")
        return name in MODELS and (self.provider == "openai" or (self.provider, maker) == ("openrouter", "openai"))
