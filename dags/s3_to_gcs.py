"""Copies one S3 bucket to one Cloud Storage bucket through a CloudFront distribution.

| you want to | press *Trigger* and |
|---|---|
| know what a copy would do and cost | choose `mode` plan; the table is at the end of the log of `list` |
| copy a bucket, or what begins with a prefix | give the buckets, and a prefix of each side or none |
| copy exactly what a plan has found | give the plan's run id as `plan_run`, under *What to copy* |
| copy again what has failed | give the red run's id, or `last`, as `only_failed`, under *When it fails* |
| compare both sides and copy nothing | choose `mode` verify |
| delete what the source no longer has | choose `delete_extraneous` list first, then delete |
| copy every day, or a range of past days | make a route of it: docs/routes.md; *Trigger* of its DAG has *Backfill* |

| you see | look at |
|---|---|
| a red `preflight` | the end of its log: everything that has to change, at once |
| a red `verify` | the end of its log: each reason and what to do; its link *Failures* has the name of every object |
| a run that takes long | the run's tab *Copy*: how far it is, and how fast |

Object keys never pass through Airflow: tasks hand each other counts, names, and the identity of the run.
"""

from __future__ import annotations

from airflow.sdk import AssetAlias

from routes.form import PARAMS
from routes.pipeline import pipeline
from routes.run_on import run_on

dag = pipeline(
    "s3_to_gcs",
    dag_display_name="Copy S3 → Cloud Storage",
    params=PARAMS,
    arrived=AssetAlias("edgehaul"),
    run_on=run_on({}),
    description="Copy an S3 bucket to Cloud Storage through a CloudFront distribution",
    doc_md=__doc__,
    schedule=None,
    catchup=False,
)
