"""Copies one S3 bucket to one Cloud Storage bucket through a CloudFront distribution.

Trigger it with the buckets; the form explains the other parameters. Object keys never pass through Airflow: tasks hand each
other counts, names, and the identity of the run.
"""

from __future__ import annotations

from airflow.sdk import AssetAlias

from routes.form import PARAMS
from routes.pipeline import pipeline
from routes.run_on import run_on

dag = pipeline(
    "s3_to_gcs",
    params=PARAMS,
    arrived=AssetAlias("edgehaul"),
    run_on=run_on({}),
    description="Copy an S3 bucket to Cloud Storage through a CloudFront distribution",
    doc_md=__doc__,
    schedule=None,
    catchup=False,
)
