"""Finds replaced versions of an object that the bucket still keeps: noncurrent and soft-deleted ones.

Cloud Storage, "Object Versioning" and "Soft delete" (7 days by default). A bucket may have neither, and other servers may support
neither: then nothing is found. Names are compared here, so that a server that ignores the parameters does no harm.
"""

from __future__ import annotations

import json
from urllib.parse import urlencode

from transfer.backends.gcs.client import GcsClient, parse_object
from transfer.model import ReplacedVersion
from transfer.steps import Step

_UNKNOWN = (400, 403, 404, 405, 501)
"""Answers of servers that do not know the parameter, or that do not permit the listing."""
_KEPT = {
    "versions": "gcloud storage cp {uri}#{generation} {uri}",
    "softDeleted": "gcloud storage restore {uri}#{generation} --allow-overwrite",
}
"""The parameter of a listing, and the command that restores an object that it lists."""


def replaced_versions(client: GcsClient, name: str) -> Step[list[ReplacedVersion]]:
    """The versions of an object that the bucket keeps; the live one may be among them."""
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
            # Longer names follow. A page that names itself as the next one would be requested for ever.
            token = page.get("nextPageToken", "")
            is_at_name = token != query.get("pageToken", "") and all(item.name == name for item in items)
            query["pageToken"] = token
    return found
