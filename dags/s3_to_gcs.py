"""One S3 bucket to one Cloud Storage bucket, through a CloudFront distribution.

Trigger it with the buckets; the form explains the rest. Keys never pass through Airflow: tasks hand each other counts,
names and the run's identity.
"""

from __future__ import annotations

from datetime import timedelta

from airflow.sdk import DAG, Param, TriggerRule

from operators.cloudfront_to_gcs import CloudfrontToGcsWorker
from operators.delete_extraneous import DeleteExtraneousOperator
from operators.reconcile_transfer import ReconcileTransferOperator
from operators.s3_list_to_pubsub import S3ListToPubSubOperator
from operators.transfer_run import CloseTransferRunOperator, OpenTransferRunOperator

S3_BUCKET = r"^[a-z0-9][a-z0-9.\-]{1,61}[a-z0-9]$"
GCS_BUCKET = r"^[a-z0-9][a-z0-9._\-]{1,220}[a-z0-9]$"
TOPIC = r"^(projects/[^/]+/topics/)?[A-Za-z][A-Za-z0-9\-_.~+%]{2,254}$"

PARAMS = {
    "source_bucket": Param(
        "my-source-bucket",
        type="string",
        pattern=S3_BUCKET,
        section="Source",
        description="The S3 bucket behind the distribution.",
    ),
    "source_prefix": Param(
        None,
        type=["null", "string"],
        maxLength=1024,
        section="Source",
        description="Only keys that begin with this; leave empty for the whole bucket.",
    ),
    "aws_conn_id": Param(
        "aws_default", type="string", minLength=1, section="Source", description="AWS connection that lists the bucket."
    ),
    "cloudfront_conn_id": Param(
        "cloudfront_default",
        type="string",
        minLength=1,
        section="Edge",
        description="Connection of the CloudFront distribution: its domain, and the key pair if URLs are signed.",
    ),
    "destination_bucket": Param(
        "my-destination-bucket",
        type="string",
        pattern=GCS_BUCKET,
        section="Destination",
        description="The Cloud Storage bucket.",
    ),
    "destination_prefix": Param(
        None,
        type=["null", "string"],
        maxLength=1024,
        section="Destination",
        description="Takes the place of the source prefix in object names; leave empty to keep names as they are.",
    ),
    "overwrite": Param(
        "changed",
        type="string",
        enum=["changed", "never", "always"],
        values_display={
            "changed": "changed: copy what is new or different",
            "never": "never: copy only what is not there",
            "always": "always: copy everything again",
        },
        section="Destination",
        description="What to do with objects that are at the destination already.",
    ),
    "delete_extraneous": Param(
        "off",
        type="string",
        enum=["off", "list", "delete"],
        values_display={
            "off": "off: leave it",
            "list": "list: leave it, and list it in extraneous.csv",
            "delete": "delete: delete it, once everything else has arrived",
        },
        section="Destination",
        description="What to do with objects under the destination prefix that the source does not have. Only a complete"
        " listing of the source deletes, and only what was there before it.",
    ),
    "max_delete_percent": Param(
        10,
        type="number",
        minimum=0,
        maximum=100,
        section="Destination",
        description="If more than this share of the objects under the destination prefix would go, nothing is deleted and"
        " the run fails.",
    ),
    "state_bucket": Param(
        None,
        type=["null", "string"],
        pattern=GCS_BUCKET,
        section="Destination",
        description="Bucket for the runs' own records, under .edgehaul/; leave empty for the destination bucket.",
    ),
    "keep_runs": Param(
        30,
        type="integer",
        minimum=1,
        maximum=10_000,
        section="Destination",
        description="How many runs' records are kept; those of older runs are removed at the end of a run.",
    ),
    "gcp_conn_id": Param(
        "google_cloud_default",
        type="string",
        minLength=1,
        section="Destination",
        description="Google Cloud connection for Cloud Storage, Pub/Sub and Cloud Logging.",
    ),
    "mode": Param(
        "transfer",
        type="string",
        enum=["transfer", "plan", "verify"],
        values_display={
            "transfer": "transfer: move what has to move",
            "plan": "plan: only list, and say what would move and what it would cost",
            "verify": "verify: only compare, and say what is missing or differs",
        },
        section="What to do",
        description="What the run is for. A plan and a verification write nothing but their own records.",
    ),
    "plan_run": Param(
        None,
        type=["null", "string"],
        minLength=1,
        section="What to do",
        description="Move exactly what an earlier run with mode plan found: that run's id, or last. S3 is not listed again.",
    ),
    "workers": Param(
        4, type="integer", minimum=1, maximum=64, section="How fast", description="Worker tasks that share the queue."
    ),
    "threads": Param(
        16,
        type="integer",
        minimum=1,
        maximum=256,
        section="How fast",
        description="Objects that each worker moves at a time; fewer for a while after an answer that says slow down.",
    ),
    "part_size_mib": Param(
        32,
        type="integer",
        minimum=5,
        maximum=1024,
        section="How fast",
        description="MiB of a large object that one request fetches. It takes no memory.",
    ),
    "bandwidth_limit_mib_s": Param(
        None,
        type=["null", "number"],
        minimum=0,
        section="How fast",
        description="The most MiB a second that each worker reads; leave empty for no limit.",
    ),
    "max_requests_per_s": Param(
        None,
        type=["null", "number"],
        minimum=0,
        section="How fast",
        description="The most requests a second that each worker sends, to both sides together; leave empty for no limit.",
    ),
    "ramp_up": Param(
        True,
        type="boolean",
        section="How fast",
        description="Begin with about 1,000 objects a second for all workers together and double that in 20 minutes at"
        " most, as Cloud Storage's guidelines ask; the first 60,000 are free. Switch it off for a bucket that is used to more.",
    ),
    "topic": Param(
        "edgehaul-requests",
        type="string",
        pattern=TOPIC,
        section="Queue",
        description="Pub/Sub topic for transfer requests; created if it is missing and may be.",
    ),
    "error_topic": Param(
        "edgehaul-failures",
        type="string",
        pattern=TOPIC,
        section="Queue",
        description="Pub/Sub topic for the records of objects that could not be moved.",
    ),
    "gcp_project": Param(
        None,
        type=["null", "string"],
        section="Queue",
        description="Project of the topics; leave empty for the Google Cloud connection's own.",
    ),
    "only_failed": Param(
        None,
        type=["null", "string"],
        minLength=1,
        section="When it fails",
        description="Move only what an earlier run did not bring over: that run's id, or last. S3 is not listed again.",
    ),
    "allow_empty": Param(
        False, type="boolean", section="When it fails", description="Whether finding no objects at all is a success."
    ),
    "log_name": Param(
        None,
        type=["null", "string"],
        pattern=r"^[A-Za-z0-9._/\-]{1,511}$",
        section="When it fails",
        description="Cloud Logging log for errors; leave empty to keep logs in Airflow only.",
    ),
    "verbose": Param(
        False,
        type="boolean",
        section="When it fails",
        description="Also log each published message and each object begun (only with a log name).",
    ),
}


def param(name: str, otherwise: str = "") -> str:
    """A template for a run's parameter; null becomes an empty text."""
    return f"{{{{ params.{name} if params.{name} is not none else '{otherwise}' }}}}"


with DAG(
    dag_id="s3_to_gcs",
    description="Copy an S3 bucket to Cloud Storage through a CloudFront distribution",
    doc_md=__doc__,
    schedule=None,
    catchup=False,
    params=PARAMS,
    max_active_tasks=128,
    tags=["edgehaul", "s3", "gcs", "cloudfront"],
    default_args={"retries": 2, "retry_delay": timedelta(seconds=5)},
):
    google = {"gcp_conn_id": param("gcp_conn_id"), "gcp_project": param("gcp_project")}
    names = {
        "source_prefix": param("source_prefix"),
        "destination_bucket": param("destination_bucket"),
        "destination_prefix": param("destination_prefix"),
    }
    events = {"log_name": param("log_name"), "is_verbose": param("verbose")}

    open_run = OpenTransferRunOperator(
        task_id="open_run",
        topic=param("topic"),
        error_topic=param("error_topic"),
        state_bucket=param("state_bucket"),
        **google,
    ).as_setup()

    list_objects = S3ListToPubSubOperator(
        task_id="list",
        run=open_run.output,
        source_bucket=param("source_bucket"),
        topic=param("topic"),
        workers=param("workers"),
        overwrite=param("overwrite"),
        only_failed=param("only_failed"),
        mode=param("mode"),
        plan_run=param("plan_run"),
        part_size_mib=param("part_size_mib"),
        allow_empty=param("allow_empty"),
        aws_conn_id=param("aws_conn_id"),
        **names,
        **google,
        **events,
    )

    worker = {
        "map_index_template": "{{ task.slot['label'] }}",
        "source_bucket": param("source_bucket"),
        "error_topic": param("error_topic"),
        "threads": param("threads"),
        "part_size_mib": param("part_size_mib"),
        "bandwidth_limit_mib_s": param("bandwidth_limit_mib_s"),
        "max_requests_per_s": param("max_requests_per_s"),
        "ramp_up": param("ramp_up"),
        "cloudfront_conn_id": param("cloudfront_conn_id"),
        **names,
        **google,
        **events,
    }
    judge = {
        "topic": param("topic"),
        "overwrite": param("overwrite"),
        "log_name": param("log_name"),
        **names,
        **google,
    }

    transfer = CloudfrontToGcsWorker.partial(task_id="transfer", **worker).expand(slot=list_objects.output)

    # Whatever became of the workers, what they left is judged; without a listing there is nothing to judge.
    reconcile = ReconcileTransferOperator(
        task_id="reconcile", trigger_rule=TriggerRule.ALL_DONE_MIN_ONE_SUCCESS, **judge
    )

    retry = CloudfrontToGcsWorker.partial(task_id="retry", **worker).expand(slot=reconcile.output)

    # Also after retries that were skipped, since there was nothing to try again. Fails when there was no first pass.
    verify = ReconcileTransferOperator(
        task_id="verify", reviews="reconcile", trigger_rule=TriggerRule.ALL_DONE, **judge
    )

    # Only after a green verdict.
    delete_extraneous = DeleteExtraneousOperator(
        task_id="delete_extraneous",
        wish=param("delete_extraneous"),
        max_delete_percent=param("max_delete_percent"),
        **names,
        gcp_conn_id=param("gcp_conn_id"),
    )

    close_run = CloseTransferRunOperator(
        task_id="close_run",
        run=open_run.output,
        destination_bucket=param("destination_bucket"),
        keep_runs=param("keep_runs"),
        **google,
    ).as_teardown(setups=open_run)

    open_run >> list_objects >> transfer >> reconcile >> retry >> verify >> delete_extraneous >> close_run
    list_objects >> reconcile >> verify
