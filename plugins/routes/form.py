"""The parameters of a copy: the form that a person fills in, and what a route sets in its place."""

from __future__ import annotations

from airflow.sdk import Param

S3_BUCKET = r"^[a-z0-9][a-z0-9.\-]{1,61}[a-z0-9]$"
GCS_BUCKET = r"^[a-z0-9][a-z0-9._\-]{1,220}[a-z0-9]$"
TOPIC = r"^(projects/[^/]+/topics/)?[A-Za-z][A-Za-z0-9\-_.~+%]{2,254}$"
LOG_NAME = r"^[A-Za-z0-9._/\-]{1,511}$"

MEANING = {
    S3_BUCKET: "the name of an S3 bucket: 3 to 63 lower-case letters, digits, dots and hyphens",
    GCS_BUCKET: "the name of a Cloud Storage bucket: lower-case letters, digits, dots, hyphens and underscores",
    TOPIC: "a Pub/Sub topic: a letter first, and 3 to 255 letters, digits and any of - _ . ~ + %,"
    " or projects/<project>/topics/<topic>",
    LOG_NAME: "a log's name: 1 to 511 letters, digits and any of . _ / -",
}
"""What a pattern stands for, in words."""

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
        description="Only keys that begin with this; leave empty for the whole bucket. Date codes such as %Y/%m/%d/ and"
        " {dag_run_id} are filled in from the run; write %% for a percent sign, {{ and }} for braces.",
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
        description="Takes the place of the source prefix in object names; leave empty to keep names as they are. Takes date"
        " codes and {dag_run_id} as well.",
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
        pattern=LOG_NAME,
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
