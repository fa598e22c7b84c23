"""Start-up settings of the simulated endpoint."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from simulators.openai.api_error import Provider

# From OpenAI's pages on models and deprecations; retired models are a 404.
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
    """The endpoint's provider, key, pace and models.

    A streamed answer starts after `first_token_seconds` and is complete after `seconds`, in `chunks` pieces; a
    non-streamed answer comes after `seconds`. `models` are an Azure resource's deployments or a local server's pulled
    models; `lacks` lists missing features of the model behind OpenRouter or a local server.
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
        """Return True if a model is served; mode `openai` ignores a prefix such as `openai/`."""
        if model in self.models:
            return True
        maker, _, name = model.rpartition("/")
        return name in MODELS and (self.provider == "openai" or (self.provider, maker) == ("openrouter", "openai"))
