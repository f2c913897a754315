"""A lister in a process of its own, to be killed: `python lister_process.py SPEC` with a JSON object.

Its cursor is a file, in the place of the record `cursor.json`. It prints its summary as the last line when it comes to the end.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def start(**spec: object) -> subprocess.Popen[str]:
    """`s3_url`, `gcs_url`, `bucket`, `topic`, `listing`, `shard_lines` and `cursor`, the path of its file."""
    return subprocess.Popen([sys.executable, __file__, json.dumps(spec)], stdout=subprocess.PIPE, text=True)


def main() -> None:
    sys.path[:0] = [str(ROOT), str(ROOT / "plugins"), str(ROOT / "tests/support")]
    import boto3
    from google.auth.credentials import AnonymousCredentials
    from google.cloud import pubsub_v1

    from hooks.assembly import Destination, GcsEndpoint
    from transfer.backends.gcs.token import GoogleToken
    from transfer.backends.pubsub.topics import PubSubRequests
    from transfer.backends.s3.listing import list_objects
    from transfer.config import Overwrite
    from transfer.event_log import NoEventLog
    from transfer.listing.cursor import ListingCursor
    from transfer.listing.publish import Lister, ListingJob
    from transfer.naming import Naming
    from transfer.records.manifest import Manifest

    spec = json.loads(sys.argv[1])
    path = Path(spec["cursor"])
    cursor = ListingCursor.of(json.loads(path.read_text())) if path.exists() else None
    after, before = (cursor.after, cursor.before) if cursor else ("", "")
    listing = cursor.listing if cursor else spec["listing"]

    def save(new: ListingCursor) -> None:
        fresh = path.with_suffix(".new")
        fresh.write_text(json.dumps(new.to_dict()))
        fresh.rename(path)

    destination = Destination(
        endpoint=GcsEndpoint(base_url=spec["gcs_url"], token=GoogleToken(AnonymousCredentials())), bucket=spec["bucket"]
    )
    s3 = boto3.client(
        "s3",
        endpoint_url=spec["s3_url"],
        aws_access_key_id="any",
        aws_secret_access_key="any",
        region_name="us-east-1",
    )
    state = destination.state(".edgehaul/run/")
    naming = Naming(source_prefix="", destination_prefix="", state_prefix=".edgehaul/")
    lister = Lister(
        ListingJob(run_id="run", listing=listing, naming=naming, overwrite=Overwrite.CHANGED),
        publisher=PubSubRequests(pubsub_v1.PublisherClient(), spec["topic"], NoEventLog()),
        manifest=Manifest(state, listing, shard_lines=spec["shard_lines"], shards=cursor.shards if cursor else 0),
        cursor=cursor,
        on_cursor=save,
    )
    summary = lister.run(
        list_objects(s3, "b", "", after=after, before=before),
        destination.listing().objects("", leave_out=".edgehaul/", after=after),
        stop=destination.stop,
    )
    print(json.dumps({**summary.counts.to_dict(), "skipped_numbers": summary.skipped_numbers}))


if __name__ == "__main__":
    main()
