"""The parameters of a copy: the form that a person fills in, and what a route sets in its place."""

from __future__ import annotations

from typing import Any

from airflow.sdk import Param

from operators.parameters import CHOICES, NUMBERS, STORAGE_CLASSES
from transfer.listing.selection import MEANING as MEANING_OF_BOUNDS
from transfer.listing.selection import MOMENT, SIZE
from transfer.sources.files import MEANING as MEANING_OF_LISTS
from transfer.sources.files import URI

S3_BUCKET = r"^[a-z0-9][a-z0-9.\-]{1,61}[a-z0-9]$"
GCS_BUCKET = r"^[a-z0-9][a-z0-9._\-]{1,220}[a-z0-9]$"
TOPIC = r"^(projects/[^/]+/topics/)?[A-Za-z][A-Za-z0-9\-_.~+%]{2,254}$"
LOG_NAME = r"^[A-Za-z0-9._/\-]{1,511}$"
CONNECTION = r"^[\w.:\-]{1,200}$"
PROJECT = r"^([a-z0-9.\-]+:)?[a-z][a-z0-9\-]{1,62}$"

MEANING = {
    S3_BUCKET: "the name of an S3 bucket alone: 3 to 63 lower-case letters, digits, dots and hyphens",
    GCS_BUCKET: "the name of a Cloud Storage bucket alone: lower-case letters, digits, dots, hyphens and underscores",
    TOPIC: "a Pub/Sub topic: a letter first, and 3 to 255 letters, digits and any of - _ . ~ + %,"
    " or projects/<project>/topics/<topic>",
    LOG_NAME: "a log's name: 1 to 511 letters, digits and any of . _ / -",
    CONNECTION: "the id of a connection under Admin, Connections: letters, digits and any of - _ . :",
    PROJECT: "a project's id: lower-case letters, digits and hyphens",
    **MEANING_OF_BOUNDS,
    **MEANING_OF_LISTS,
}
"""What a pattern stands for, in words."""


def text(pattern: str, *, is_required: bool = False) -> dict[str, Any]:
    """The rules of a text field: a refusal says in words what was expected (docs/decisions/0052-the-form.md).

    A field may always be empty as far as the form is concerned: it paints one that may not red before anybody has typed.
    What is required is refused when the run is triggered.
    """
    kinds = ["string"] if is_required else ["null", "string"]
    # jsonschema words the refusal of a constant as "'…' was expected", and that of a pattern as the pattern.
    return {
        "type": ["null", "string"],
        "if": {"not": {"type": kinds, "pattern": pattern}},
        "then": {"const": MEANING[pattern]},
    }


GLOBS = {"type": ["null", "array"], "items": {"type": "string", "maxLength": 1024}, "maxItems": 1000}

PARAMS = {
    "source_bucket": Param(
        None,
        **text(S3_BUCKET, is_required=True),
        title="source_bucket (required)",
        section="Source",
        description="The S3 bucket behind the distribution.",
    ),
    "source_listing": Param(
        None,
        **text(URI),
        section="Source",
        description="Inventory's manifest.json, or a .csv or .jsonl of keys, as s3:// or gs:// URI; empty to list.",
    ),
    "aws_conn_id": Param(
        "aws_default",
        **text(CONNECTION),
        section="Source",
        description="Amazon Web Services connection that may list the bucket.",
    ),
    "cloudfront_conn_id": Param(
        "cloudfront_default",
        **text(CONNECTION),
        section="Edge",
        description="CloudFront connection: the distribution's domain, and the key pair if URLs are signed.",
    ),
    "destination_bucket": Param(
        None,
        **text(GCS_BUCKET, is_required=True),
        title="destination_bucket (required)",
        section="Destination",
        description="The Cloud Storage bucket.",
    ),
    "gcp_conn_id": Param(
        "google_cloud_default",
        **text(CONNECTION),
        section="Destination",
        description="Google Cloud connection for Cloud Storage, Pub/Sub and Cloud Logging.",
    ),
    "source_prefix": Param(
        None,
        type=["null", "string"],
        maxLength=1024,
        section="What to move",
        description="Only keys that begin with this; empty for all. %Y/%m/%d/ and {dag_run_id} are filled in.",
    ),
    "destination_prefix": Param(
        None,
        type=["null", "string"],
        maxLength=1024,
        section="What to move",
        description="Takes the place of the source prefix in names; empty keeps them. Filled in likewise.",
    ),
    "include": Param(
        None,
        **GLOBS,
        section="What to move",
        description="Only names that match one of these patterns, as in .gitignore: *.gz, 2026/, a/**/b. One a line.",
    ),
    "exclude": Param(
        None,
        **GLOBS,
        section="What to move",
        description="No names that match one of these patterns, even if included; they are never deleted either.",
    ),
    "min_size": Param(
        None,
        **text(SIZE),
        section="What to move",
        description="Only objects of this size or larger, as in 1 or 10 MiB.",
    ),
    "max_size": Param(
        None,
        **text(SIZE),
        section="What to move",
        description="Only objects of this size or smaller, as in 5 GiB.",
    ),
    "modified_since": Param(
        None,
        **text(MOMENT),
        section="What to move",
        description="Only objects modified then or later: 2026-01-31, 2026-01-31T08:00+01:00, 7d or 12h ago.",
    ),
    "modified_before": Param(
        None,
        **text(MOMENT),
        section="What to move",
        description="Only objects modified before then; written likewise.",
    ),
    "storage_classes": Param(
        None,
        type=["null", "array"],
        items={"type": "string", "enum": list(STORAGE_CLASSES)},
        examples=list(STORAGE_CLASSES),
        section="What to move",
        description="Only objects of these S3 storage classes; empty for all.",
    ),
    "overwrite": Param(
        "changed",
        type=["null", "string"],
        enum=list(CHOICES["overwrite"]),
        values_display={
            "changed": "changed: copy what is new or different",
            "never": "never: copy only what is not there",
            "always": "always: copy everything again",
        },
        section="What to move",
        description="What to do with objects that are at the destination already.",
    ),
    "delete_extraneous": Param(
        "off",
        type=["null", "string"],
        enum=list(CHOICES["delete_extraneous"]),
        values_display={
            "off": "off: leave it",
            "list": "list: leave it, and list it in extraneous.csv",
            "delete": "delete: delete it, once everything else has arrived",
        },
        section="What to move",
        description="What to do with objects under the destination prefix that the source does not have.",
    ),
    "max_delete_percent": Param(
        10,
        **NUMBERS["max_delete_percent"].schema,
        section="What to move",
        description="If more than this share of the destination would go, nothing does and the run fails.",
    ),
    "max_delete_objects": Param(
        10_000,
        **NUMBERS["max_delete_objects"].schema,
        section="What to move",
        description="If more objects than this would go, nothing does and the run fails.",
    ),
    "mode": Param(
        "transfer",
        type=["null", "string"],
        enum=list(CHOICES["mode"]),
        values_display={
            "transfer": "transfer: move what has to move",
            "plan": "plan: only list, and say what would move and what it would cost",
            "verify": "verify: only compare, and say what is missing or differs",
        },
        section="What to move",
        description="A plan and a verification move nothing, and write nothing but their own records.",
    ),
    "verify_sample": Param(
        0,
        **NUMBERS["verify_sample"].schema,
        section="What to move",
        description="Read so many percent of the matched objects back from both sides and compare each byte.",
    ),
    "plan_run": Param(
        None,
        expected="the run id of an earlier run of this DAG with mode plan, or last",
        type=["null", "string"],
        minLength=1,
        section="What to move",
        description="Move exactly what an earlier run with mode plan found: its run id, or last.",
    ),
    "workers": Param(
        4,
        **NUMBERS["workers"].schema,
        section="How fast",
        description="Worker tasks that share the queue, 1 to 64.",
    ),
    "threads": Param(
        16,
        **NUMBERS["threads"].schema,
        section="How fast",
        description="Objects each worker moves at a time, 1 to 256; fewer for a while when told to slow down.",
    ),
    "part_size_mib": Param(
        32,
        **NUMBERS["part_size_mib"].schema,
        section="How fast",
        description="MiB of a large object that one request fetches, 5 to 1,024; it takes no memory.",
    ),
    "bandwidth_limit_mib_s": Param(
        None,
        **NUMBERS["bandwidth_limit_mib_s"].schema,
        section="How fast",
        description="The most MiB a second that each worker reads; empty for no limit.",
    ),
    "max_requests_per_s": Param(
        None,
        **NUMBERS["max_requests_per_s"].schema,
        section="How fast",
        description="The most requests a second that each worker sends to both sides; empty for no limit.",
    ),
    "ramp_up": Param(
        True,
        type=["null", "boolean"],
        section="How fast",
        description="Begin with 1,000 writes a second and double them every 20 minutes, as Cloud Storage asks.",
    ),
    "only_failed": Param(
        None,
        expected="the run id of an earlier run of this DAG, or last",
        type=["null", "string"],
        minLength=1,
        section="When it fails",
        description="Move only what an earlier run left unfinished: its run id, or last. S3 is not listed.",
    ),
    "allow_empty": Param(
        False,
        type=["null", "boolean"],
        section="When it fails",
        description="Whether it is a success that no objects are found, or none that can be copied.",
    ),
    "topic": Param(
        "edgehaul-requests",
        **text(TOPIC),
        section="Queue, records and logs",
        description="Pub/Sub topic for transfer requests; made if it is missing.",
    ),
    "error_topic": Param(
        "edgehaul-failures",
        **text(TOPIC),
        section="Queue, records and logs",
        description="Pub/Sub topic for the records of objects that could not be moved.",
    ),
    "gcp_project": Param(
        None,
        **text(PROJECT),
        section="Queue, records and logs",
        description="Project of the topics and the log; empty for the Google Cloud connection's own.",
    ),
    "state_bucket": Param(
        None,
        **text(GCS_BUCKET),
        section="Queue, records and logs",
        description="Bucket for the runs' own records, under .edgehaul/; empty for the destination bucket.",
    ),
    "keep_runs": Param(
        30,
        **NUMBERS["keep_runs"].schema,
        section="Queue, records and logs",
        description="How many runs' records are kept; older ones go at the end of a run.",
    ),
    "log_name": Param(
        None,
        **text(LOG_NAME),
        section="Queue, records and logs",
        description="Cloud Logging log for errors; empty to keep logs in Airflow only.",
    ),
    "verbose": Param(
        False,
        type=["null", "boolean"],
        section="Queue, records and logs",
        description="Also log each published message and each object begun, if there is a log name.",
    ),
}
