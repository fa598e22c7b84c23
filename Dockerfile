# One image for api, worker, housekeeping, console and migrate: the last stage. `--target simulators` is the one
# that stands for the outside world in development.

FROM docker.io/library/python:3.13-slim AS base

# The pinned packages, before any code: this layer is made anew only when the pins change. Wheels only, so that no stage
# needs a compiler; without pip, which a running container has no use for.
FROM base AS packages
ARG PINS=image
COPY requirements/$PINS.txt /pins.txt
RUN --mount=type=cache,target=/root/.cache/pip \
    python -m venv --without-pip /opt/venv \
    && python -m pip --python /opt/venv/bin/python install --require-hashes --only-binary :all: --requirement /pins.txt

# Debian's psql without the scripts around it, which would bring the whole of Perl along. Debian's packages are not
# pinned: its security updates come with each build.
FROM base AS psql
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends postgresql-client \
    && cp /usr/lib/postgresql/*/bin/psql /psql

FROM base AS source
WORKDIR /source
# What .dockerignore lets through: the packages of the product and the simulators.
COPY . .
# A checkout may be its owner's alone (umask 077), and the image's user is somebody else.
RUN chmod -R u=rwX,go=rX . \
    && rm -r requirements \
    && python -m compileall -q --invalidation-mode unchecked-hash . \
    && mv dev /dev-only \
    && printf '#!/bin/sh\nexec python -m cli.main "$@"\n' >/ai-agents \
    && chmod 755 /ai-agents

FROM base AS runtime
COPY --from=psql /psql /usr/local/bin/psql
# tini is process 1: the kernel keeps signals from a process 1 that has no handler yet, so a SIGTERM during the start
# would be lost without it. redis-cli and psql are for support.
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
# Probes and metrics: of the API, and of worker, housekeeping and console.
ENV LOG_FORMAT=json \
    API_PROBE_PORT=8001 \
    METRICS_PORT=9464
EXPOSE 8000 8001 8002 8010 9464
ENTRYPOINT ["tini", "--", "ai-agents"]
CMD ["--help"]
ARG VERSION=development
ARG REVISION=unknown
LABEL org.opencontainers.image.title="ai-agents" \
      org.opencontainers.image.description="Ticket enhancement pipeline for ManageEngine ServiceDesk Plus" \
      org.opencontainers.image.version="$VERSION" \
      org.opencontainers.image.revision="$REVISION" \
      org.opencontainers.image.base.name="docker.io/library/python:3.13-slim"
