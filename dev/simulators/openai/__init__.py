"""A simulated OpenAI endpoint: chat completions and models."""

from dev.simulators.openai.app import create_openai
from dev.simulators.openai.providers import OpenAIConfig

__all__ = ["OpenAIConfig", "create_openai"]
