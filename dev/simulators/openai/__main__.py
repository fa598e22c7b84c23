"""`python -m dev.simulators.openai --host 127.0.0.1 --port 0 --api-key KEY`."""

import argparse

from dev.simulators.openai.app import create_openai
from dev.simulators.openai.providers import OpenAIConfig
from dev.simulators.serving import serve_until_signal


def main() -> None:
    """Serve the endpoint; print only the base URL (without `/v1`) once ready."""
    parser = argparse.ArgumentParser(prog="dev.simulators.openai", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0, help="0 takes a free one")
    parser.add_argument("--api-key", required=True)
    parser.add_argument("--first-token-seconds", type=float, default=0.2)
    parser.add_argument("--seconds", type=float, default=1.0, help="seconds until the complete answer (default: 1)")
    parser.add_argument("--chunks", type=int, default=24, help="chunks of a streamed answer (default: 24)")
    options = parser.parse_args()
    config = OpenAIConfig(
        api_key=options.api_key,
        first_token_seconds=options.first_token_seconds,
        seconds=options.seconds,
        chunks=options.chunks,
    )
    serve_until_signal(create_openai(config), options.host, options.port)


if __name__ == "__main__":
    main()
