# Needs make and Python 3.11 or later, nothing else. `make` alone lists the verbs.

.POSIX:
.DEFAULT_GOAL := help
.PHONY: help install demo dev test test-slow chaos bench bench-full bench-retrieval eval tables lint containers-test compose-smoke audit pins

# The Python that makes .venv; where it is too old, a newer one on PATH is taken.
PYTHON ?= python3
# Some images set it; without the compiled files each process would compile all again.
PYTHONDONTWRITEBYTECODE =
# More arguments for `make dev` and the tests, e.g. ARGS="--workers 2" or ARGS="-k signature".
ARGS =

VENV_PYTHON = .venv/bin/python

help: ## List the verbs
	@awk 'BEGIN { FS = ":.*## " } /^[a-z-]+:.*## / { printf "  make %-15s %s\n", $$1, $$2 }' Makefile

install: ## Make the environment in .venv (again only when the pins have changed)
	@for python in "$(PYTHON)" python3.13 python3.12 python3.11 python3.14; do \
	  if "$$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then \
	    exec "$$python" -I dev/stack/install.py; \
	  fi; \
	done; \
	echo "Python 3.11 or later is needed, and '$(PYTHON)' is not that. Install one, or name it:" >&2; \
	echo "  make PYTHON=/path/to/python3" >&2; \
	exit 1

demo: install ## Show a few tickets on their way through the whole system (15 seconds)
	@$(VENV_PYTHON) -m dev.stack demo

dev: install ## Start the whole system and leave it running until Ctrl-C
	@$(VENV_PYTHON) -m dev.stack up $(ARGS)

# More processes than cores, since tests of whole systems wait most of their time.
test: install ## Run the tests, except the slow ones
	@$(VENV_PYTHON) -m pytest -n 6 --dist loadfile --no-loadscope-reorder -m "not slow and not containers" $(ARGS)

# Each file on a system of its own: six in a row on the one of `loadfile` would end last. Chaos alone, since it counts
# leases. Status 5: ARGS chose no test of that part.
test-slow: install ## Run the tests that take minutes
	@$(VENV_PYTHON) -m pytest -n 6 --dist loadscope --no-loadscope-reorder -m "slow and not containers" --ignore tests/system/chaos $(ARGS) || [ $$? = 5 ]
	@$(VENV_PYTHON) -m pytest -n 5 -rP -m "slow and not containers" tests/system/chaos $(ARGS) || [ $$? = 5 ]

chaos: install ## Break everything in turn under load, and count what was lost or doubled (6 minutes)
	@$(VENV_PYTHON) -m tests.system.chaos $(ARGS)

bench: install ## Measure webhooks and jobs beside what people would use instead, into docs/benchmarks.md (15 minutes)
	@$(VENV_PYTHON) -m dev.benchmarks $(ARGS)

bench-full: install ## The same with 10 million rows, a GPT-4 that takes 30 s, and a search in a million tickets (an hour)
	@$(VENV_PYTHON) -m dev.benchmarks --size full $(ARGS)

bench-retrieval: install ## Measure how well and how fast earlier tickets are found, beside what people would use (a minute)
	@$(VENV_PYTHON) -m dev.benchmarks retrieval $(ARGS)

eval: install ## Judge the notes that a model's answers become (OPENAI_API_KEY, paid for)
	@$(VENV_PYTHON) -m dev.evaluation $(ARGS)

tables: install ## Write the tables in the documents anew, from the code
	@$(VENV_PYTHON) -m dev.stack.document_tables

lint: install ## Check style, types and the direction of imports
	@$(VENV_PYTHON) -m ruff check .
	@$(VENV_PYTHON) -m ruff format --check .
	@$(VENV_PYTHON) -m mypy --num-workers auto
	@$(VENV_PYTHON) -c 'from importlinter.cli import lint_imports_command; lint_imports_command()'

containers-test: install ## Build the image, bring docker-compose.yml up with it, and see that it holds (3 minutes)
	@$(VENV_PYTHON) -m pytest -m containers tests/containers $(ARGS)

compose-smoke: install ## Send a ticket through a running `docker compose up`, and see its note arrive
	@$(VENV_PYTHON) -m tests.containers.smoke $(ARGS)

AUDIT = $(VENV_PYTHON) -m uv run --quiet --no-project --with-requirements requirements/audit.txt --
# The advisories are part of PyPI's JSON API, which mirrors often lack.
ADVISORIES = https://pypi.org/pypi/pip/25.0/json

audit: install ## List what is in the image (dist/sbom.json), and look it up in the advisory database
	@mkdir -p dist
	@$(VENV_PYTHON) -m uv pip compile requirements/image.txt --no-deps --generate-hashes --no-emit-index-url \
	  --python-platform x86_64-manylinux_2_28 --python-version 3.13 --no-annotate --no-header --quiet -o dist/image-pins.txt
	@$(AUDIT) cyclonedx-py requirements dist/image-pins.txt --output-reproducible -o dist/sbom.json
	@if $(VENV_PYTHON) -c 'import sys, urllib.request; urllib.request.urlopen(sys.argv[1], timeout=10)' $(ADVISORIES) 2>/dev/null; \
	  then $(AUDIT) pip-audit --disable-pip --require-hashes -r dist/image-pins.txt; \
	  else echo "SKIPPED: the advisory database does not answer from here, so no package was looked up."; fi

COMPILE = $(VENV_PYTHON) -m uv pip compile --universal --python-version 3.11 \
  --generate-hashes --no-emit-index-url --no-annotate --no-header --quiet

pins: install ## Compile requirements/*.txt anew: for development, the image (the same versions), the audit, the peers
	@$(COMPILE) pyproject.toml --extra dev -o requirements/dev.txt
	@$(COMPILE) pyproject.toml --constraint requirements/dev.txt -o requirements/image.txt
	@$(COMPILE) pyproject.toml --extra embeddings --constraint requirements/dev.txt -o requirements/image-embeddings.txt
	@$(COMPILE) requirements/audit.in -o requirements/audit.txt
	@$(COMPILE) requirements/bench.in --constraint requirements/dev.txt -o requirements/bench.txt
