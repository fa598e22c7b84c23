"""`python -m dev.simulators.servicedesk --host HOST --port 0 --config FILE.json`."""

import argparse
from pathlib import Path

from pydantic import ValidationError

from dev.simulators.servicedesk.app import create_desk
from dev.simulators.servicedesk.settings import DeskConfig
from dev.simulators.serving import serve_until_signal


def main() -> None:
    """Serve a configuration file's desks; print only the base URL once ready."""
    parser = argparse.ArgumentParser(prog="dev.simulators.servicedesk", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0, help="0 takes a free one")
    parser.add_argument("--config", type=Path, required=True, help="JSON file with the desks")
    options = parser.parse_args()
    try:
        config = DeskConfig.model_validate_json(options.config.read_bytes())
    except (OSError, ValidationError) as error:
        raise SystemExit(f"{options.config}: {error}") from None
    serve_until_signal(create_desk(config), options.host, options.port)


if __name__ == "__main__":
    main()
