# syntax=docker/dockerfile:1
# One image for web, worker, provisioner, beat and the setup one-shot: the command is the process.

ARG PYTHON_IMAGE=python:3.11-slim-bookworm

# Packages from the lock, compiled; nothing of this stage but /opt/venv and the files goes on.
FROM ${PYTHON_IMAGE} AS build
ARG UV_VERSION=0.13.9
ENV UV_COMPILE_BYTECODE=1 UV_LINK_MODE=copy UV_NO_CACHE=1
RUN pip install --no-cache-dir "uv==${UV_VERSION}"
COPY requirements/base.txt /tmp/base.txt
RUN uv venv /opt/venv && VIRTUAL_ENV=/opt/venv uv pip sync /tmp/base.txt
WORKDIR /app
COPY . .
# Static files are part of the image. The secrets that settings ask for live for this one command.
RUN env $(/opt/venv/bin/python -m config.local secrets) \
    DJANGO_SETTINGS_MODULE=config.settings.production PUBLIC_URL=https://build.invalid \
    DATABASE_URL=postgresql://build@127.0.0.1:1/none REDIS_URL=redis://127.0.0.1:1/0 \
    /opt/venv/bin/python manage.py collectstatic --noinput \
    && /opt/venv/bin/python -m compileall -q apps config

FROM ${PYTHON_IMAGE} AS runtime
RUN groupadd --gid 10001 mandate \
    && useradd --uid 10001 --gid mandate --no-create-home --home-dir /var/lib/mandate \
        --shell /usr/sbin/nologin mandate \
    && install --directory --owner mandate --group mandate --mode 0700 /var/lib/mandate
COPY --from=build /opt/venv /opt/venv
COPY --from=build /app /app
ENV PATH=/opt/venv/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    DJANGO_SETTINGS_MODULE=config.settings.production \
    MANDATE_HOME=/var/lib/mandate \
    WEB_HOST=0.0.0.0
WORKDIR /app
USER 10001:10001
VOLUME /var/lib/mandate
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --start-interval=1s --retries=3 \
    CMD ["python", "-m", "config.health"]
ENTRYPOINT ["python", "-m", "config.processes"]
CMD ["web"]
