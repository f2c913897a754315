"""Every Airflow process imports this when it starts (AIRFLOW_HOME/config is on sys.path, or PYTHONPATH names this folder).

The scheduler forks a process for every task, which then has these packages already imported; each task would otherwise spend
about 3 s of CPU on them. Only imports belong here: gRPC channels and other clients do not survive a fork. As with every
plugin of Airflow, the scheduler and the workers are to be restarted after a change of plugins/.
"""

import sys

__all__: list[str] = []  # nothing here is a setting

if "scheduler" in sys.argv or "worker" in sys.argv:
    import airflow.providers.amazon.aws.hooks.s3
    import airflow.providers.google.cloud.hooks.gcs
    import airflow.providers.google.cloud.hooks.pubsub  # noqa: F401
    import boto3  # noqa: F401
    import google.cloud.logging
    import google.cloud.pubsub_v1
    import google.cloud.storage  # noqa: F401

    import routes.form
    import routes.pipeline  # noqa: F401
