"""What was replaced and is kept: noncurrent versions of an object, and softly deleted ones.

Cloud Storage, "Object Versioning" and "Soft delete" (7 days for a bucket that says nothing). A bucket may have neither, and
a server of another make may know neither: then nothing is found. Generations are compared here, so that a server that
ignores the parameters does no harm.
"""

from __future__ import annotations

import json
from urllib.parse import urlencode

from transfer.backends.gcs.client import GcsClient, parse_object
from transfer.model import ReplacedVersion
from transfer.steps import Step

_UNKNOWN = (400, 403, 404, 405, 501)
"""Answers of servers that do not know the parameter, or of those that do not let us look."""
_KEPT = {
    "versions": "gcloud storage cp {uri}#{generation} {uri}",
    "softDeleted": "gcloud storage restore {uri}#{generation} --allow-overwrite",
}
"""The parameter of a listing, and what brings back what it shows."""


def replaced_versions(client: GcsClient, name: str) -> Step[list[ReplacedVersion]]:
    """Those of a name, and perhaps the live one."""
    found = []
    for parameter, command in _KEPT.items():
        query = {
            parameter: "true",
            "prefix": name,
            "fields": "items(name,generation,size,crc32c,metadata),nextPageToken",
        }
        is_at_name = True
        while is_at_name:
            answer = yield from client.send("GET", f"{client.objects_url}?{urlencode(query)}", accept=(200, *_UNKNOWN))
            page = json.loads(bytes(answer.body)) if answer.status == 200 else {}
            items = [parse_object(item) for item in page.get("items", [])]
            uri = f"gs://{client.bucket}/{name}"
            found += [
                ReplacedVersion(
                    generation=item.generation,
                    size_bytes=item.size_bytes,
                    crc32c=item.crc32c,
                    source_etag=item.source_etag,
                    restored_by=command.format(uri=uri, generation=item.generation),
                )
                for item in items
                if item.name == name
            ]
            # Longer names come behind. A page that goes on where it was asked for would do so for ever.
            token = page.get("nextPageToken", "")
            is_at_name = token != query.get("pageToken", "") and all(item.name == name for item in items)
            query["pageToken"] = token
    return found
