# Stands in for apache/airflow where that cannot be pulled: Debian's Python 3.11 and the packages that the project uses of it.
FROM debian:bookworm
RUN apt-get update -qq \
    && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
        ca-certificates curl dumb-init hostname netcat-openbsd python3 python3-venv \
    && rm -rf /var/lib/apt/lists/* \
    && ln -s python3 /usr/bin/python \
    && useradd --uid 50000 --gid 0 --create-home airflow \
    && install -d -o airflow -g 0 -m 0775 /opt/airflow /opt/airflow/dags /opt/airflow/logs
ENV AIRFLOW_VERSION=3.3.2 AIRFLOW_HOME=/opt/airflow LANG=C.UTF-8 DUMB_INIT_SETSID=1 \
    PATH=/home/airflow/.local/bin:/usr/local/bin:/usr/bin:/bin
USER airflow
WORKDIR /opt/airflow
COPY constraints.txt /home/airflow/constraints.txt
RUN --mount=type=secret,id=ca,mode=0444 \
    if [ -f /run/secrets/ca ]; then export PIP_CERT=/run/secrets/ca SSL_CERT_FILE=/run/secrets/ca; fi; \
    python -m venv ~/.local \
    && pip install --quiet --no-cache-dir --constraint ~/constraints.txt uv \
    && uv pip install --quiet --no-cache --compile-bytecode --python ~/.local/bin/python --constraint ~/constraints.txt \
        apache-airflow apache-airflow-providers-amazon apache-airflow-providers-celery apache-airflow-providers-google \
        psycopg2-binary asyncpg
COPY airflow-entrypoint /entrypoint
ENTRYPOINT ["/usr/bin/dumb-init", "--", "/entrypoint"]
