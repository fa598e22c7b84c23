"""Commands of the simulators, beside those of the product."""

from dataclasses import dataclass
from pathlib import Path

from cli.pilot.processes import Process
from cli.pilot.programs import ProductPrograms, answers, machine_environment
from dev.stack.environment import console_environment

# Share of GPT-4's latency before its first token.
_FIRST_TOKEN_SHARE = 0.3


@dataclass(frozen=True)
class Programs(ProductPrograms):
    """Processes of the product and simulators."""

    def console(self, port: int, metrics_port: int) -> Process:
        process = super().console(port, metrics_port)
        process.environment.update(console_environment(port))
        return process

    def desk(self, port: int, config: Path) -> Process:
        return self._simulator("desk", "servicedesk", port, "--config", str(config))

    def openai(self, port: int, api_key: str, seconds: float) -> Process:
        first = f"{seconds * _FIRST_TOKEN_SHARE:.3f}"
        timing = ["--first-token-seconds", first, "--seconds", f"{seconds:.3f}"]
        return self._simulator("openai", "openai", port, "--api-key", api_key, *timing)

    def _simulator(self, name: str, module: str, port: int, *options: str) -> Process:
        address = ["--host", "127.0.0.1", "--port", str(port)]
        ready = answers(port, "/_sim/health")
        return self.python(name, ready, machine_environment(), f"dev.simulators.{module}", *address, *options)
