# Airflow's own image and what it may not have, or not in this version: the engine's two libraries, and the one that the
# triggerer reads queues with, in the version that fits the image's boto3; the providers of Amazon, Google and Celery are
# in it. DAGs, plugins and config are mounted: see docker-compose.yaml.
FROM apache/airflow:3.3.2-python3.11

# Where a company's own CA signs: docker build --secret id=ca,src=/etc/ssl/certs/ca-certificates.crt --tag edgehaul-airflow:3.3.2 .
# The image refuses pip as root. Naming Airflow keeps pip from replacing it; wheels only: there is no compiler.
USER airflow
RUN --mount=type=secret,id=ca,mode=0444 \
    if [ -f /run/secrets/ca ]; then export PIP_CERT=/run/secrets/ca; fi; \
    pip install --no-cache-dir --only-binary :all: \
    "apache-airflow==${AIRFLOW_VERSION}" \
    pycurl==7.49.0 \
    google-crc32c==1.9.0 \
    aiobotocore

# A volume that is mounted here takes on this folder's owner.
RUN mkdir --mode=0770 /opt/airflow/auth
