# One image for api, worker, housekeeping, console and migrate: the last stage. `--target simulators` builds the desk
# and model simulators for development.

# The digest is of the tag's index of all platforms. Renovate keeps both; by hand:
# docker buildx imagetools inspect docker.io/library/python:3.13-slim --format "{{.Manifest.Digest}}"
ARG BASE=docker.io/library/python:3.13-slim@sha256:7c61056e61ac89e852de05f3dc6fa51a6dd2181797bceed46aa725dd7cb2cd3b

FROM $BASE AS base

# The pinned packages come before the code, so this layer is rebuilt only when the pins change. Only wheels, so that no
# stage needs a compiler. Without pip, which a running container does not need.
FROM base AS packages
ARG PINS=image
COPY requirements/$PINS.txt /pins.txt
RUN --mount=type=cache,target=/root/.cache/pip \
    python -m venv --without-pip /opt/venv \
    && python -m pip --python /opt/venv/bin/python install --require-hashes --only-binary :all: --requirement /pins.txt

# Debian's psql without its wrapper scripts, which need all of Perl. Debian's packages are not pinned, so each build
# gets the security updates.
FROM base AS psql
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends postgresql-client \
    && cp /usr/lib/postgresql/*/bin/psql /psql

FROM base AS source
WORKDIR /source
# The files that .dockerignore admits: the packages of the product and the simulators.
COPY . .
# A checkout may be readable only by its owner (umask 077), and the image has another user.
RUN chmod -R u=rwX,go=rX . \
    && rm -r requirements \
    && python -m compileall -q --invalidation-mode unchecked-hash . \
    && mv dev /dev-only \
    && printf '#!/bin/sh\nexec python -m cli.main "$@"\n' >/ai-agents \
    && chmod 755 /ai-agents

FROM base AS runtime
COPY --from=psql /psql /usr/local/bin/psql
# tini is process 1. The kernel drops signals to a process 1 without a handler, so a SIGTERM during the start would be
# lost. redis-cli and psql are for support.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends libpq5 libreadline8t64 redis-tools tini \
    && rm -rf /var/lib/apt/lists/* /var/cache/apt \
    && useradd --uid 10001 --user-group --no-create-home --home-dir /tmp --shell /usr/sbin/nologin ai-agents \
    && psql --version && redis-cli --version
COPY --from=packages /opt/venv /opt/venv
ENV PATH=/opt/venv/bin:$PATH \
    PYTHONPATH=/app \
    PYTHONSAFEPATH=1 \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    HOME=/tmp
WORKDIR /app
USER 10001:10001

FROM runtime AS simulators
COPY --from=source /dev-only /app/dev
EXPOSE 8080
ENTRYPOINT ["tini", "--", "python", "-m"]
CMD ["dev.simulators.servicedesk", "--help"]

FROM runtime AS product
COPY --from=source /ai-agents /usr/local/bin/ai-agents
COPY --from=source /source /app
# Ports of probes and metrics: of the API, and of worker, housekeeping and console.
ENV LOG_FORMAT=json \
    API_PROBE_PORT=8001 \
    METRICS_PORT=9464
EXPOSE 8000 8001 8002 8010 9464
ENTRYPOINT ["tini", "--", "ai-agents"]
CMD ["--help"]
# `make image` sets them from the commit; an image that Compose builds has these defaults.
ARG BASE
ARG VERSION=development
ARG REVISION=unknown
ARG CREATED=
ARG SOURCE=
LABEL org.opencontainers.image.title="ai-agents" \
      org.opencontainers.image.description="Ticket enhancement pipeline for ManageEngine ServiceDesk Plus" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="$VERSION" \
      org.opencontainers.image.revision="$REVISION" \
      org.opencontainers.image.created="$CREATED" \
      org.opencontainers.image.source="$SOURCE" \
      org.opencontainers.image.base.name="$BASE"
