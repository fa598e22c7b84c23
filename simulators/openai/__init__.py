"""A simulated OpenAI endpoint: chat completions and models."""

from simulators.openai.app import create_openai
from simulators.openai.providers import OpenAIConfig

__all__ = ["OpenAIConfig", "create_openai"]
