"""The routes file: what is sound becomes a route, and each thing that is wrong one sentence with file, line and field."""

from __future__ import annotations

import re
from datetime import date
from pathlib import Path

import pytest

from routes.route_file import SETTING, RoutesFile, read_routes

ROOT = Path(__file__).resolve().parents[2]
QUEUE = "https://sqs.eu-west-1.amazonaws.com/111122223333/photos"
SOUND = """routes:
  - name: sound
    source: {bucket: my-source}
    edge: {connection: cloudfront_default}
    destination: {bucket: my-destination}
"""
FULL = """routes:
  - name: photos
    description: Yesterday's photos
    owner: media
    tags: [media, daily]
    source:
      bucket: my-photos
      prefix: uploads/%Y/%m/%d/
      connection: aws_media
    edge:
      connection: cloudfront_media
    destination:
      bucket: my-archive
      prefix: photos/dt=%Y-%m-%d/
      connection: google_media
      project: my-project
    schedule:
      cron: "@daily"
      timezone: Europe/Berlin
      start: 2026-01-01
      catchup: true
    max_active_runs: 2
    parameters:
      workers: 8
      bandwidth_limit_mib_s: 12.5
      overwrite: never
      topic: media-requests
"""


@pytest.fixture
def read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def read_text(text: str) -> RoutesFile:
        file = tmp_path / "routes.yaml"
        file.write_text(text, encoding="utf-8")
        monkeypatch.setenv(SETTING, str(file))
        return read_routes(tmp_path / "another.yaml")

    return read_text


def test_a_whole_entry(read) -> None:
    found = read(FULL)
    assert found.problems == []
    (route,) = found.routes
    assert (route.dag_id, route.description, route.owner) == ("route_photos", "Yesterday's photos", "media")
    assert route.tags == ("media", "daily")
    assert (route.cron, route.timezone, route.start) == ("@daily", "Europe/Berlin", date(2026, 1, 1))
    assert (route.catchup, route.max_active_runs) == (True, 2)
    assert route.destination == ("my-archive", "photos/")
    assert route.values == {
        "source_bucket": "my-photos",
        "source_prefix": "uploads/%Y/%m/%d/",
        "aws_conn_id": "aws_media",
        "cloudfront_conn_id": "cloudfront_media",
        "destination_bucket": "my-archive",
        "destination_prefix": "photos/dt=%Y-%m-%d/",
        "gcp_conn_id": "google_media",
        "gcp_project": "my-project",
        "workers": 8,
        "bandwidth_limit_mib_s": 12.5,
        "overwrite": "never",
        "topic": "media-requests",
    }


def test_the_least_entry_is_started_by_hand_one_run_at_a_time(read) -> None:
    (route,) = read(SOUND).routes
    assert (route.cron, route.timezone, route.catchup, route.max_active_runs) == (None, "UTC", False, 1)
    assert route.destination == ("my-destination", "")


def test_a_queue_is_read_with_the_sources_connection_unless_another_is_named(read) -> None:
    entry = SOUND.replace("my-source}", "my-source, connection: aws_media}") + f"    schedule: {{sqs: {QUEUE!r}"
    (route,) = read(f"{entry}}}\n").routes
    assert (route.queue, route.queue_conn_id, route.cron) == (QUEUE, "aws_media", None)
    (route,) = read(f"{entry}, connection: aws_queue, cron: '@daily'}}\n").routes
    assert (route.queue, route.queue_conn_id, route.cron) == (QUEUE, "aws_queue", "@daily")
    (route,) = read(SOUND + f"    schedule: {{sqs: {QUEUE!r}}}\n").routes
    assert route.queue_conn_id == "aws_default"


def test_a_route_with_a_queue_alone_has_a_time_zone_for_the_dates_of_its_destination(read) -> None:
    entry = SOUND + f"    schedule: {{sqs: {QUEUE!r}, timezone: "
    assert read(f"{entry}Europe/Berlin}}\n").routes[0].timezone == "Europe/Berlin"
    (problem,) = read(f"{entry}CEST}}\n").problems
    assert "schedule.timezone: 'CEST' is not a time zone" in problem


def test_a_queue_that_cannot_be_read_here_is_a_sentence(read, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("routes.notifications.find_spec", lambda name: None)
    (problem,) = read(SOUND + f"    schedule: {{sqs: {QUEUE!r}}}\n").problems
    assert problem.endswith("read with aiobotocore, which is not installed: pip install aiobotocore")


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
    ('cron: "@daily"', f"sqs: {QUEUE}", 8, "source.prefix: objects that arrive at the end of a day would be looked for under"),
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


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("- a\n", "line 1: the file must begin with routes: and list the routes under it"),
        ("routes: 3\n", "line 1, routes: it must be a list: begin each route with -"),
        ("routes:\nroute: []\n", "line 2, route: there is no such field: put routes under routes"),
        ("routes:\n  - name: a\n    source: {bucket: %Y}\n", "line 3: this is not YAML, so no route can be read"),
        ("routes:\n - cron: @daily\n", "put values with : or # in them, or with % @ * & or ! in front, in quotes"),
        ("routes:\n  - 7\n", "line 2, routes[0]: 7 is not valid here: choose a mapping (field: value)"),
        ("routes:\n  - {}\n", "line 2, routes[0], name: it is missing: add it"),
    ],
)
def test_a_file_that_is_no_list_of_routes(read, text: str, sentence: str) -> None:
    found = read(text)
    assert found.routes == []
    assert any(sentence in problem for problem in found.problems), found.problems


@pytest.mark.parametrize("text", ["", "# nothing yet\n", "routes:\n", "routes: []\n", "x-shared: {a: 1}\nroutes:\n"])
def test_a_file_may_hold_no_route(read, text: str) -> None:
    found = read(text)
    assert (found.routes, found.problems) == ([], [])


def test_a_name_that_is_used_twice_is_no_ones(read) -> None:
    found = read(SOUND + SOUND.removeprefix("routes:\n"))
    assert found.routes == []
    assert [problem.split(", ", 1)[1] for problem in found.problems] == [
        f"line {line}, route sound, name: another route has this name: give each route its own name" for line in (2, 6)
    ]


def test_routes_may_share_values(read) -> None:
    shared = "x-slow: &slow {threads: 2}\n" + SOUND + "    parameters:\n      <<: *slow\n      workers: 3\n"
    found = read(shared)
    assert found.problems == []
    assert {name: found.routes[0].values[name] for name in ("threads", "workers")} == {"threads": 2, "workers": 3}


def test_a_missing_file_is_no_error_unless_it_was_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(SETTING, raising=False)
    assert read_routes(tmp_path / "none.yaml").problems == []
    monkeypatch.setenv(SETTING, str(tmp_path / "gone.yaml"))
    (problem,) = read_routes(tmp_path / "none.yaml").problems
    assert problem == (
        f"{tmp_path}/gone.yaml: there is no such file; change {SETTING}, which names it, or remove it from the environment"
    )


def test_a_file_that_is_no_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "routes.yaml"
    file.write_bytes(b"\xff\xfe\x00")
    monkeypatch.setenv(SETTING, str(file))
    (problem,) = read_routes(file).problems
    assert problem.startswith(f"{file}: it cannot be read as UTF-8 text")


def test_the_examples_that_come_along_are_sound(read) -> None:
    text = (ROOT / "config" / "routes.yaml").read_text()
    assert read(text).routes == []
    head, entries = text.split("routes:\n", 1)
    found = read(f"{head}routes:\n" + re.sub(r"^# ?", "  ", entries, flags=re.MULTILINE))
    assert found.problems == []
    assert [route.name for route in found.routes] == ["photos", "open-data"]


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


LAUGHS = "\n".join(
    ["x0: &x0 [a, a, a, a, a, a, a, a, a, a]"]
    + [f"x{level}: &x{level} [{', '.join([f'*x{level - 1}'] * 10)}]" for level in range(1, 12)]
    + ["routes:\n  - *x11\n"]
)
MERGED = "\n".join(
    ["x0: &x0 {a: 1}"]
    + [f"x{level}: &x{level} {{<<: [{', '.join([f'*x{level - 1}'] * 10)}]}}" for level in range(1, 12)]
    + ["routes:\n  - *x11\n"]
)
CHAIN = "\n".join(["x0: &x0 [a]"] + [f"x{level}: &x{level} [*x{level - 1}]" for level in range(1, 90)])


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (LAUGHS, "write it without aliases"),
        (MERGED, "write it without aliases"),
        (CHAIN, "write it without aliases"),
        ("routes: " + "[" * 100_000, "nested deeper than 50 levels"),
        ("routes:\n" + "  - {}\n" * 60_000, "more than 50,000 values"),
        ("#" * 2_000_000, "more than 1,048,576 characters"),
    ],
    ids=["aliases", "merges", "a chain", "depth", "length", "size"],
)
def test_a_file_that_would_not_fit_into_memory_is_one_sentence(read, text: str, sentence: str) -> None:
    found = read(text)
    assert found.routes == []
    assert len(found.problems) == 1 and sentence in found.problems[0]


def test_plain_aliases_are_as_good_as_what_they_stand_for(read) -> None:
    found = read(SOUND.replace("{bucket: my-destination}", "&there {bucket: my-destination}") + "x-other: *there\n")
    assert len(found.routes) == 1
