# Needs make and Python 3.11 or later, nothing else. `make` alone lists the targets.

.POSIX:
.DEFAULT_GOAL := help
.PHONY: help install demo up dev test test-slow chaos bench bench-full bench-retrieval eval tables docs pictures lint prose image containers-test compose-smoke sbom audit pins

# The Python that creates .venv; if it is too old, a newer one on PATH is used.
PYTHON ?= python3
# Some images set it; without compiled files each process compiles all modules again.
PYTHONDONTWRITEBYTECODE =
# Additional arguments for `make up`, `make dev` and the tests, e.g. ARGS="--workers 2" or ARGS="-k signature".
ARGS =

# Settings and data of `make up`.
FOLDER = pilot

VENV_PYTHON = .venv/bin/python

help: ## List the targets
	@awk 'BEGIN { FS = ":.*## " } /^[a-z-]+:.*## / { printf "  make %-15s %s\n", $$1, $$2 }' Makefile

install: ## Install the pinned packages into .venv, if the pins have changed
	@for python in "$(PYTHON)" python3.13 python3.12 python3.11 python3.14; do \
	  if "$$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then \
	    exec "$$python" -I dev/stack/install.py; \
	  fi; \
	done; \
	echo "'$(PYTHON)' is not Python 3.11 or later. Install one, or set its path:" >&2; \
	echo "  make PYTHON=/path/to/python3" >&2; \
	exit 1

demo: install ## Send a few tickets through the whole system and show their notes (15 seconds)
	@$(VENV_PYTHON) -m dev.stack demo

# Before anything is installed as root: Postgres, and so `ai-agents up`, refuses it.
up: ## Run a pilot with your own desk until Ctrl-C; the first time it asks for the desk
	@if [ "$$(id -u)" = 0 ]; then \
	  echo "make up does not run as root, because Postgres refuses it. Clone this repository as an ordinary user," >&2; \
	  echo "and run make up there. With Docker, root can use compose.pilot.yml (docs/containers.md)." >&2; \
	  exit 1; \
	fi
	@$(MAKE) --no-print-directory install
	@[ -e "$(FOLDER)/secrets.env" ] || $(VENV_PYTHON) -m cli.main init --folder "$(FOLDER)"
	@$(VENV_PYTHON) -m cli.main up --folder "$(FOLDER)" $(ARGS)

dev: install ## Run the whole system until Ctrl-C
	@$(VENV_PYTHON) -m dev.stack up $(ARGS)

# More processes than cores, since tests of whole systems wait most of their time.
test: install ## Run the tests, except the slow ones
	@$(VENV_PYTHON) -m pytest -n 6 --dist loadfile --no-loadscope-reorder -m "not slow and not containers" $(ARGS)

# Each file on a system of its own: six in a row on the one of `loadfile` would end last. Chaos alone, since it counts
# leases. Status 5: ARGS chose no test of that part.
test-slow: install ## Run the tests that take minutes
	@$(VENV_PYTHON) -m pytest -n 6 --dist loadscope --no-loadscope-reorder -m "slow and not containers" --ignore tests/system/chaos $(ARGS) || [ $$? = 5 ]
	@$(VENV_PYTHON) -m pytest -n 5 -rP -m "slow and not containers" tests/system/chaos $(ARGS) || [ $$? = 5 ]

chaos: install ## Break each part under load, and count lost and duplicate notes (6 minutes)
	@$(VENV_PYTHON) -m tests.system.chaos $(ARGS)

bench: install ## Measure webhooks and jobs against common alternatives, for docs/benchmarks.md (15 minutes)
	@$(VENV_PYTHON) -m dev.benchmarks $(ARGS)

bench-full: install ## Run bench with 10 million rows, a GPT-4 of 30 s and a million tickets (an hour)
	@$(VENV_PYTHON) -m dev.benchmarks --size full $(ARGS)

bench-retrieval: install ## Measure quality and speed of the ticket search against common alternatives (a minute)
	@$(VENV_PYTHON) -m dev.benchmarks retrieval $(ARGS)

eval: install ## Evaluate the notes of a real model (needs OPENAI_API_KEY, costs money)
	@$(VENV_PYTHON) -m dev.evaluation $(ARGS)

tables: install ## Generate the tables in the documents from the code
	@$(VENV_PYTHON) -m dev.stack.document_tables

lint: install ## Check style, types and import rules
	@$(VENV_PYTHON) -m ruff check .
	@$(VENV_PYTHON) -m ruff format --check .
	@$(VENV_PYTHON) -m mypy --num-workers auto
	@$(VENV_PYTHON) -c 'from importlinter.cli import lint_imports_command; lint_imports_command()'

# Tools in environments of their own. `uv run --with-requirements` would not check the hashes.
.venv/tools/%/.installed: requirements/%.txt | install
	@$(VENV_PYTHON) -m uv venv --quiet --clear --python $(VENV_PYTHON) .venv/tools/$*
	@$(VENV_PYTHON) -m uv pip sync --quiet --python .venv/tools/$*/bin/python --require-hashes requirements/$*.txt
	@touch $@

docs: .venv/tools/docs/.installed ## Build the documents as a site into site/, and check its links
	@.venv/tools/docs/bin/zensical build --clean --strict

pictures: install ## Take the pictures of the documents: demo, note, console, dashboards (needs Chromium; 15 minutes)
	@$(VENV_PYTHON) docs/pictures/recording.py
	@$(VENV_PYTHON) docs/pictures/shots.py
	@$(VENV_PYTHON) -m tests.observability.dashboards

prose: .venv/tools/docs/.installed ## Print unusual words and long sentences in documents and docstrings (information only)
	@mkdir -p dist
	@$(VENV_PYTHON) -m dev.prose --docstrings dist/docstrings.md
	@.venv/tools/docs/bin/proselint check docs README.md CONTRIBUTING.md dist/docstrings.md || true

# `make image ENGINE=podman IMAGE=registry.example.com/ai-agents`; ARGS goes to `docker build`.
ENGINE = docker
IMAGE = ai-agents
SOURCE =

image: sbom ## Build the image of the last commit, tagged with the version, and dist/sbom.json
	@$(VENV_PYTHON) -m dev.image --engine "$(ENGINE)" --name "$(IMAGE)" --source "$(SOURCE)" $(ARGS)

containers-test: install ## Build the image and test both compose files with it (4 minutes)
	@$(VENV_PYTHON) -m pytest -m containers tests/containers $(ARGS)

compose-smoke: install ## Send a ticket through a running `docker compose up` and wait for its note
	@$(VENV_PYTHON) -m tests.containers.smoke $(ARGS)

# The advisories are in PyPI's JSON API, which many mirrors lack.
ADVISORIES = https://pypi.org/pypi/pip/25.0/json

sbom: .venv/tools/audit/.installed ## List the image's Python packages in dist/sbom.json (CycloneDX)
	@mkdir -p dist
	@$(VENV_PYTHON) -m uv pip compile requirements/image.txt --no-deps --generate-hashes --no-emit-index-url \
	  --python-platform x86_64-manylinux_2_28 --python-version 3.13 --no-annotate --no-header --quiet -o dist/image-pins.txt
	@.venv/tools/audit/bin/cyclonedx-py requirements dist/image-pins.txt --output-reproducible -o dist/sbom.json

audit: sbom ## Check the image's Python packages for known vulnerabilities
	@if $(VENV_PYTHON) -c 'import sys, urllib.request; urllib.request.urlopen(sys.argv[1], timeout=10)' $(ADVISORIES) 2>/dev/null; \
	  then .venv/tools/audit/bin/pip-audit --disable-pip --require-hashes -r dist/image-pins.txt; \
	  else echo "SKIPPED: the advisory database is not reachable; no package was checked."; [ -z "$$GITHUB_ACTIONS" ]; fi

COMPILE = $(VENV_PYTHON) -m uv pip compile --universal --python-version 3.11 \
  --generate-hashes --no-emit-index-url --no-annotate --no-header --quiet

pins: install ## Compile requirements/*.txt: development, image (same versions), audit, benchmarks, site
	@$(COMPILE) pyproject.toml --extra dev -o requirements/dev.txt
	@$(COMPILE) pyproject.toml --constraint requirements/dev.txt -o requirements/image.txt
	@$(COMPILE) pyproject.toml --extra embeddings --constraint requirements/dev.txt -o requirements/image-embeddings.txt
	@$(COMPILE) requirements/audit.in -o requirements/audit.txt
	@$(COMPILE) requirements/bench.in --constraint requirements/dev.txt -o requirements/bench.txt
	@$(COMPILE) requirements/docs.in --constraint requirements/dev.txt -o requirements/docs.txt
