# The local cloud: Airflow's image has all that it needs but moto, its S3.
FROM edgehaul-airflow:3.3.2
COPY constraints.txt /home/airflow/constraints.txt
RUN --mount=type=secret,id=ca,mode=0444 \
    if [ -f /run/secrets/ca ]; then export PIP_CERT=/run/secrets/ca; fi; \
    pip install --no-cache-dir --constraint ~/constraints.txt 'moto[server]'
USER root
RUN mkdir --mode=0777 /cloud
USER airflow
