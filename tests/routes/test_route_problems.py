"""Each problem of an entry is one sentence with file, line and field, and leaves the other routes intact."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from route_entries import FULL, QUEUE, SOUND

ROOT = Path(__file__).resolve().parents[2]


# What is changed in FULL, what then stands at which line, and the sentence's end.
WRONG = [
    (
        "name: photos",
        "name: My Photos",
        2,
        "name: 'My Photos' is not valid here: choose a route's name: 1 to 100 lower",
    ),
    ("name: photos", "name: 7", 2, "name: 7 is not valid here: choose a text, in quotes"),
    ("owner: media", "owner: ''", 4, "owner: it is empty: give it a value, or remove the field"),
    ("owner: media", "owners: media", 4, "owners: there is no such field; did you mean owner?"),
    ("owner: media", "zzz: media", 4, "zzz: there is no such field; use name, description, owner, tags, source, edge,"),
    ("[media, daily]", "media", 5, "tags: 'media' is not valid here: choose a list"),
    ("[media, daily]", "[media, media]", 5, "tags: it contains the same value twice: remove one"),
    ("[media, daily]", "[media, 3]", 5, "tags[1]: 3 is not valid here: choose a text, in quotes"),
    (
        "bucket: my-photos",
        "bucket: My_Photos",
        7,
        "source.bucket: 'My_Photos' is not valid here: choose the name of an S3",
    ),
    ("bucket: my-photos", "region: x", 6, "source.bucket: it is missing: add it"),
    (
        "connection: cloudfront_media",
        "connection:",
        11,
        "edge.connection: an empty value is not valid here: choose a text",
    ),
    (
        "connection: aws_media",
        "connection: ''",
        9,
        "source.connection: '' is not valid here: choose the id of a connection",
    ),
    (
        "prefix: uploads/%Y/%m/%d/",
        "prefix: uploads/%Q/",
        8,
        "source.prefix: 'uploads/%Q/' has '%Q', which is not a date code",
    ),
    (
        "prefix: photos/dt=%Y-%m-%d/",
        "prefix: '{ds}/'",
        14,
        "destination.prefix: '{ds}/' has '{ds}', which is not a placeholder",
    ),
    (
        "prefix: photos/dt=%Y-%m-%d/",
        f"prefix: {'x' * 1025}",
        14,
        "destination.prefix: it has 1,025 characters: choose 1,024",
    ),
    (
        "prefix: photos/dt=%Y-%m-%d/",
        "prefix: photos/",
        22,
        "max_active_runs: runs at the same time would all write",
    ),
    (
        "bucket: my-archive",
        "bucket: -a",
        13,
        "destination.bucket: '-a' is not valid here: choose the name of a Cloud Storage",
    ),
    ('cron: "@daily"', "cron: daily", 18, "schedule.cron: 'daily' is not a schedule: write the five fields of cron"),
    ('cron: "@daily"', "cron: 0 0 * * * *", 18, "schedule.cron: '0 0 * * * *' is not a schedule"),
    ('cron: "@daily"', "crom: x", 18, "schedule.crom: there is no such field; did you mean cron?"),
    ('cron: "@daily"', "crom: x", 17, "schedule: it has neither cron nor sqs: add one or both"),
    ('cron: "@daily"', "sqs: photos", 18, "schedule.sqs: 'photos' is not valid here: choose the URL of a standard SQS"),
    ('cron: "@daily"', f"sqs: {QUEUE}.fifo", 18, "schedule.sqs: 'https://sqs."),
    (
        'cron: "@daily"',
        f"sqs: {QUEUE}",
        8,
        "source.prefix: objects that arrive at the end of a day would be looked for under",
    ),
    ('cron: "@daily"', f"sqs: {QUEUE}", 20, "schedule.start: it applies to a schedule in time only: add schedule.cron"),
    ("start: 2026-01-01", "connection: aws_queue", 20, "schedule.connection: it is used for a queue only"),
    (
        "timezone: Europe/Berlin",
        "timezone: CEST",
        19,
        "schedule.timezone: 'CEST' is not a time zone: write an IANA name",
    ),
    ("timezone: Europe/Berlin", "timezone: ../UTC", 19, "schedule.timezone: '../UTC' is not a time zone"),
    ("start: 2026-01-01", "start: 2026-02-30", 20, "schedule.start: '2026-02-30' is not a date"),
    ("start: 2026-01-01", "start: 1.1.2026", 20, "schedule.start: '1.1.2026' is not valid here: choose a date, as in"),
    ("      start: 2026-01-01\n", "", 20, "schedule.catchup: catching up needs a start"),
    ("catchup: true", "catchup: sure", 21, "schedule.catchup: 'sure' is not valid here: choose true or false"),
    ("max_active_runs: 2", "max_active_runs: 0", 22, "max_active_runs: 0 is out of range: choose 1 to 1,000"),
    ("workers: 8", "workers: many", 24, "parameters.workers: 'many' is not valid here: choose a whole number"),
    ("workers: 8", "workers: 65", 24, "parameters.workers: 65 is out of range: choose 1 to 64"),
    (
        "prefix: uploads/%Y/%m/%d/",
        "listing: s3://lists/keys.txt",
        8,
        "source.listing: 's3://lists/keys.txt' is not valid here: choose s3:// or gs://, a bucket, and a name",
    ),
    ("prefix: uploads/%Y/%m/%d/", "listing: 's3://lists/%Q.csv'", 8, "source.listing: 's3://lists/%Q.csv' has '%Q'"),
    (
        "prefix: photos/dt=%Y-%m-%d/",
        "prefix: photos/dt=%Y-%m-%d",
        14,
        "destination.prefix: destination_prefix 'photos/dt=%Y-%m-%d' takes the place of source_prefix",
    ),
    (
        "prefix: photos/dt=%Y-%m-%d/",
        "prefix: /photos/%Y-%m-%d/",
        14,
        "destination.prefix: destination_prefix '/photos/%Y",
    ),
    ("workers: 8", "max_delete_objects: -1", 24, "parameters.max_delete_objects: -1 is out of range: choose 0 or more"),
    ("workers: 8", "delete_extraneous: sure", 24, "parameters.delete_extraneous: 'sure' is not one of the choices"),
    (
        "workers: 8",
        "exclude: tmp/",
        24,
        "parameters.exclude: 'tmp/' is not valid here: choose an empty value or a list",
    ),
    ("workers: 8", "exclude: ['[a']", 24, "parameters.exclude: exclude has '[a', which matches nothing"),
    (
        "workers: 8",
        "min_size: 10",
        24,
        "parameters.min_size: 10 is not valid here: choose an empty value or a text, in quotes",
    ),
    (
        "workers: 8",
        "min_size: huge",
        24,
        "parameters.min_size: 'huge' is not valid here: choose a size: a number and B",
    ),
    (
        "workers: 8",
        "modified_since: 2026-02-30",
        24,
        "parameters.modified_since: modified_since is '2026-02-30': write",
    ),
    (
        "workers: 8",
        "storage_classes: [COLD]",
        24,
        "storage_classes[0]: 'COLD' is not one of the choices: choose STANDARD,",
    ),
    ("workers: 8", "only_failed: last", 24, "parameters.only_failed: there is no such field"),
    ("workers: 8", "source_bucket: x", 24, "parameters.source_bucket: there is no such field"),
    ("bandwidth_limit_mib_s: 12.5", "bandwidth_limit_mib_s: -1", 25, "-1 is out of range: choose 0 or more"),
    (
        "bandwidth_limit_mib_s: 12.5",
        "bandwidth_limit_mib_s: .inf",
        25,
        "parameters.bandwidth_limit_mib_s: inf is not a finite number",
    ),
    (
        "overwrite: never",
        "overwrite: no",
        26,
        "parameters.overwrite: False is not valid here: choose a text, in quotes",
    ),
    ("overwrite: never", "overwrite: nope", 26, "'nope' is not one of the choices: choose changed, never or always"),
    ("topic: media-requests", "topic: 1x", 27, "parameters.topic: '1x' is not valid here: choose a Pub/Sub topic"),
    ("workers: 8", "topic: other", 27, "parameters.topic: it is given twice: keep one"),
    (
        "queue: transfer",
        "queue: 'a, b'",
        28,
        "run_on.queue: 'a, b' is not valid here: choose the name of an Airflow queue",
    ),
    ("queue: transfer", "que: transfer", 28, "run_on.que: there is no such field; did you mean queue?"),
    ("pool: edgehaul", "pool: ''", 28, "run_on.pool: it is empty: give it a value, or remove the field"),
    ("pool_slots: 2", "pool_slots: 0", 28, "run_on.pool_slots: 0 is out of range: choose 1 to 10,000"),
    ("pool_slots: 2", "pool_slots: two", 28, "run_on.pool_slots: 'two' is not valid here: choose a whole number"),
    (
        "executor: LocalExecutor",
        "executor: K8s",
        28,
        "run_on.executor: 'K8s' is not an executor of this Airflow: choose",
    ),
    (
        "owner: media",
        "owner: !env X",
        4,
        "could not determine a constructor for the tag '!env': write plain values only",
    ),
    ("owner: media", "owner: &me [*me]", 4, "an alias stands inside its own anchor: write plain values only"),
]


@pytest.mark.parametrize(("before", "after", "line", "sentence"), WRONG)
def test_a_bad_value_is_one_sentence_and_breaks_no_other_route(
    read, before: str, after: str, line: int, sentence: str
) -> None:
    assert FULL.count(before) == 1
    found = read(FULL.replace(before, after) + SOUND.removeprefix("routes:\n"))
    assert [route.name for route in found.routes] == ["sound"]
    told = [problem for problem in found.problems if f"line {line}, route " in problem and sentence in problem]
    assert len(told) == 1, found.problems
    assert told[0].startswith(f"{found.path}, line {line}, route ")
    assert "\n" not in told[0]


def test_every_mistake_is_told_in_the_order_of_lines(read) -> None:
    found = read(FULL.replace("photos\n", "Photos\n", 1).replace("workers: 8", "workers: 0").replace("media-", "1"))
    lines = [int(match[1]) for problem in found.problems if (match := re.search(r", line (\d+), ", problem))]
    assert lines == [2, 24, 27]


@pytest.mark.parametrize("wish", ["list", "delete"])
@pytest.mark.parametrize(
    ("source", "destination", "where"),
    [("prefix: team", "", "line 3, route sound, source.prefix"), ("prefix: t", "prefix: b", "destination.prefix")],
)
def test_the_beginning_of_a_name_is_no_folder_to_delete_in(
    read, source: str, destination: str, where: str, wish: str
) -> None:
    text = SOUND.replace("my-source", f"my-source, {source}").replace(
        "my-destination", f"my-destination, {destination}"
    )
    assert read(text).problems == []
    (problem,) = read(text + f"    parameters: {{delete_extraneous: {wish}}}\n").problems
    assert where in problem and "delete_extraneous needs a folder" in problem


def test_a_part_of_the_source_deletes_nothing(read) -> None:
    listing = 'listing: "s3://lists/my-photos/daily/%Y-%m-%dT01-00Z/manifest.json"'
    text = FULL.replace("prefix: uploads/%Y/%m/%d/", listing)
    found = read(text)
    assert found.problems == []
    assert found.routes[0].values["source_listing"].endswith("%Y-%m-%dT01-00Z/manifest.json")
    found = read(text.replace("workers: 8", "delete_extraneous: list"))
    (problem,) = found.problems
    assert "line 24, route photos, parameters.delete_extraneous: an inventory or a manifest" in problem
