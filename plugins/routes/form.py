"""The parameters of a copy: the form that a person fills in, and the values that a route sets instead."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from airflow.sdk import Param

from operators.parameters import CHOICES, NUMBERS, STORAGE_CLASSES
from operators.prefixes import CODED, DATE_CODES
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
    LOG_NAME: "the name of a log: 1 to 511 letters, digits and any of . _ / -",
    CONNECTION: "the id of a connection under Admin, Connections: letters, digits and any of - _ . :",
    PROJECT: "the id of a project: lower-case letters, digits and hyphens",
    **MEANING_OF_BOUNDS,
    **MEANING_OF_LISTS,
}
"""Each pattern in words."""


def text(pattern: str, *, required: str = "") -> dict[str, Any]:
    """The rules of a text field: a refusal says in words what was expected (docs/decisions/0022-the-form.md).

    The form accepts any field when it is empty, because it would mark a required one red before anybody has typed.
    `required` is the name of a field that may not be empty, which is refused when the run is triggered.
    Blanks around the value, as pasting leaves them, are accepted here and taken off by `routes.pipeline.param`.
    """
    # jsonschema words the refusal of a constant as "'…' was expected", and that of a pattern as the pattern.
    fits = {"type": ["string"] if required else ["null", "string"], "pattern": rf"^\s*{pattern[1:-1]}\s*$"}
    rules = {"if": {"not": fits}, "then": {"const": MEANING[pattern]}}
    if required:
        is_given = {"type": "string", "pattern": r"\S"}
        rules = {"if": is_given, "then": rules, "else": {"const": f"{required} is required: {MEANING[pattern]}"}}
    return {"type": ["null", "string"], "strict": {"type": fits["type"], "pattern": pattern}, **rules}


def one_of(name: str, **labels: str) -> dict[str, Any]:
    """The rules of a choice, with a label that explains each value."""
    shown = {value: f"{value}: {label}" for value, label in labels.items()}
    return {"type": ["null", "string"], "enum": list(CHOICES[name]), "values_display": shown}


PREFIX = {
    "type": ["null", "string"],
    "maxLength": 1024,
    "if": {"not": {"type": ["null", "string"], "pattern": CODED}},
    "then": {
        "const": f"a prefix whose date codes are among {' '.join(DATE_CODES)}, with %% for a percent sign, and whose"
        " braces are {dag_run_id}, or {{ and }} for braces of names"
    },
}
GLOBS = {"type": ["null", "array"], "items": {"type": "string", "maxLength": 1024}, "maxItems": 1000}
FLAG = {"type": ["null", "boolean"]}
RUN_ID = {"type": ["null", "string"], "minLength": 1}
CLASSES = {
    "type": ["null", "array"],
    "items": {"type": "string", "enum": list(STORAGE_CLASSES)},
    "examples": list(STORAGE_CLASSES),
}


def field(default: object, rules: Mapping[str, Any], description: str, **more: str) -> Param:
    """One field of the form."""
    return Param(default, description=description, schema={**rules, **more})


def number(name: str, description: str) -> Param:
    """A field for a number, whose default and limits are those of `operators.parameters`.

    The form changes a number outside of the limits to the nearest, without a word: its line of help has them.
    """
    rule = NUMBERS[name]
    limits = "0 or more" if rule.limits is None else str(rule.limits)
    return field(rule.default, rule.schema, f"{description} Limits: {limits}.")


OPEN = ""
"""Fields without a section stand at the top of Airflow's form, in a part that is open at first; sections are closed."""

SECTIONS: Mapping[str, Mapping[str, Param]] = {
    OPEN: {
        "source_bucket": field(
            None,
            text(S3_BUCKET, required="source_bucket"),
            "The S3 bucket behind the distribution.",
            title="source_bucket (required)",
        ),
        "source_prefix": field(
            None, PREFIX, "Only keys that begin with this; empty for all. Date codes and {dag_run_id} work: %Y/%m/%d/."
        ),
        "destination_bucket": field(
            None,
            text(GCS_BUCKET, required="destination_bucket"),
            "The Cloud Storage bucket.",
            title="destination_bucket (required)",
        ),
        "destination_prefix": field(
            None, PREFIX, "Replaces the source prefix in names; empty keeps names as they are. Date codes work here too."
        ),
        "mode": field(
            "transfer",
            one_of(
                "mode",
                transfer="copy the objects",
                plan="only list, and report what a copy would do and cost",
                verify="only compare, and report what is missing or different",
            ),
            "A plan and a verification copy nothing, and write nothing but their own records.",
        ),
    },
    "Source": {
        "source_listing": field(
            None,
            text(URI),
            "s3:// or gs:// URI of an inventory's manifest.json, or a .csv or .jsonl of keys; empty to list S3.",
        ),
        "aws_conn_id": field(
            "aws_default", text(CONNECTION), "Amazon Web Services connection that may list the bucket."
        ),
    },
    "Edge": {
        "cloudfront_conn_id": field(
            "cloudfront_default",
            text(CONNECTION),
            "CloudFront connection: the distribution's domain, and the key pair if URLs are signed.",
        ),
    },
    "Destination": {
        "gcp_conn_id": field(
            "google_cloud_default",
            text(CONNECTION),
            "Google Cloud connection for Cloud Storage, Pub/Sub and Cloud Logging.",
        ),
    },
    "What to copy": {
        "include": field(
            None, GLOBS, "Only names that match one of these patterns, as in .gitignore: *.gz, 2026/, a/**/b. One per line."
        ),
        "exclude": field(
            None, GLOBS, "No names that match one of these patterns, even if included. They are never deleted either."
        ),
        "min_size": field(None, text(SIZE), "Only objects of this size or larger, for example 1 or 10 MiB."),
        "max_size": field(None, text(SIZE), "Only objects of this size or smaller, for example 5 GiB."),
        "modified_since": field(
            None, text(MOMENT), "Only objects modified at this time or later: 2026-01-31, 2026-01-31T08:00+01:00, or 7d ago."
        ),
        "modified_before": field(None, text(MOMENT), "Only objects modified before this time, in the same formats."),
        "storage_classes": field(None, CLASSES, "Only objects of these S3 storage classes; empty for all."),
        "overwrite": field(
            "changed",
            one_of(
                "overwrite",
                changed="copy new and changed objects",
                never="copy only objects that are missing",
                always="copy every object again",
            ),
            "What to do with objects that are already at the destination.",
        ),
        "delete_extraneous": field(
            "off",
            one_of(
                "delete_extraneous",
                off="keep them",
                list="keep them, and list them in extraneous.csv",
                delete="delete them once everything else has arrived",
            ),
            "What to do with objects under the destination prefix that the source does not have.",
        ),
        "max_delete_percent": number(
            "max_delete_percent", "If a larger share of the destination would be deleted, nothing is: the run fails."
        ),
        "max_delete_objects": number(
            "max_delete_objects", "If more objects would be deleted, nothing is: the run fails."
        ),
        "verify_sample": number(
            "verify_sample", "Percentage of the matched objects to read back from both sides and compare."
        ),
        "plan_run": field(
            None,
            RUN_ID,
            "Copy exactly what an earlier run with mode plan found: its run id, or last.",
            expected="the run id of an earlier run of this DAG with mode plan, or last",
        ),
    },
    "How fast": {
        "workers": number("workers", "Worker tasks that share the queue."),
        "threads": number("threads", "Objects each worker copies at a time; fewer while a server throttles."),
        "part_size_mib": number(
            "part_size_mib", "MiB of a large object that one request fetches; it takes no memory."
        ),
        "bandwidth_limit_mib_s": number(
            "bandwidth_limit_mib_s", "The most MiB per second that each worker reads; empty for no limit."
        ),
        "max_requests_per_s": number(
            "max_requests_per_s", "The most requests per second of each worker to both sides; empty for no limit."
        ),
        "ramp_up": field(
            True, FLAG, "Start with 1,000 writes per second and double every 20 minutes, as Cloud Storage recommends."
        ),
    },
    "When it fails": {
        "only_failed": field(
            None,
            RUN_ID,
            "Copy only what an earlier run left unfinished: its run id, or last. S3 is not listed.",
            expected="the run id of an earlier run of this DAG, or last",
        ),
        "allow_empty": field(False, FLAG, "Succeed even if there are no objects, or none that can be copied."),
    },
    "Queue, records and logs": {
        "topic": field(
            "edgehaul-requests", text(TOPIC), "Pub/Sub topic for transfer requests; created if it does not exist."
        ),
        "error_topic": field(
            "edgehaul-failures", text(TOPIC), "Pub/Sub topic for the records of objects that could not be copied."
        ),
        "gcp_project": field(
            None, text(PROJECT), "Project of the topics and the log; empty for the Google Cloud connection's own."
        ),
        "state_bucket": field(
            None, text(GCS_BUCKET), "Bucket for the runs' own records, under .edgehaul/; empty for the destination bucket."
        ),
        "keep_runs": number("keep_runs", "Number of runs whose records are kept; the end of a run deletes older ones."),
        "log_name": field(
            None, text(LOG_NAME), "Cloud Logging log for errors; empty to keep logs in Airflow only."
        ),
        "verbose": field(
            False, FLAG, "Also log each published message and each object that is started, if there is a log name."
        ),
    },
}  # fmt: skip

PARAMS: Mapping[str, Param] = {
    name: Param(
        param.value, description=param.description, schema={**param.schema, **({"section": section} if section else {})}
    )
    for section, params in SECTIONS.items()
    for name, param in params.items()
}
"""All fields by name, in the order of the form."""
