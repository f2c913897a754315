"""Objects and buckets as the JSON API shows them, and `fields`, its partial responses."""

from __future__ import annotations

import base64
import json
import re
from datetime import UTC, datetime
from urllib.parse import quote

from localcloud.gcs.checksums import encode_crc32c, encode_md5
from localcloud.gcs.errors import ApiError, invalid
from localcloud.gcs.policies import SOFT_DELETE_S
from localcloud.gcs.store import Attributes, ObjectRecord

DEFAULT_TYPE = "application/octet-stream"
WRITABLE = (
    "contentType",
    "contentEncoding",
    "contentDisposition",
    "contentLanguage",
    "cacheControl",
    "customTime",
    "storageClass",
    "metadata",
    "temporaryHold",
    "eventBasedHold",
    "retention",
)

FieldTree = dict[str, "FieldTree"]


def timestamp(time_us: int) -> str:
    """RFC 3339 in UTC with milliseconds."""
    moment = datetime.fromtimestamp(time_us // 1000 / 1000, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def etag(record: ObjectRecord) -> str:
    """Generation and metageneration, as Cloud Storage packs them: two varint fields, in base64."""
    packed = bytearray()
    for tag, number in ((0x08, record.generation), (0x10, record.metageneration)):
        packed.append(tag)
        while number > 0x7F:
            packed.append(number & 0x7F | 0x80)
            number >>= 7
        packed.append(number)
    return base64.b64encode(packed).decode()


def parse_resource(body: bytes) -> dict[str, object]:
    """A request's JSON object; an absent one and null are empty. Raises ApiError 400 for anything else."""
    try:
        resource = json.loads(body or b"{}")
        json.dumps(resource, ensure_ascii=False).encode()  # an escaped lone surrogate is no text
    except ValueError as error:
        raise ApiError(400, "parseError", "Parse Error") from error
    if resource is None:
        return {}
    if not isinstance(resource, dict):
        raise ApiError(400, "parseError", "Parse Error")
    return resource


def writable(resource: object) -> Attributes:
    """What a client's object resource sets. Raises ApiError 400 when it is not one."""
    if not isinstance(resource, dict):
        raise invalid("Parse Error")
    attributes = {key: resource[key] for key in WRITABLE if resource.get(key) is not None}
    if "metadata" in attributes:
        if not isinstance(attributes["metadata"], dict):
            raise invalid("Invalid Value")
        attributes["metadata"] = {key: value for key, value in attributes["metadata"].items() if value is not None}
    if "customTime" in attributes:
        attributes["customTime"] = normal_time(str(attributes["customTime"]))
    return attributes


def normal_time(text: str) -> str:
    """An RFC 3339 time in UTC with milliseconds. Raises ApiError 400 for anything else."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise invalid(f"Invalid value for customTime: {text!r}") from error
    if moment.tzinfo is None:
        raise invalid(f"Invalid value for customTime: {text!r}")
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def object_resource(record: ObjectRecord, base_url: str) -> dict[str, object]:
    """The `storage#object` of a record; without an MD5 where that is not known."""
    bucket, name = record.bucket, quote(record.name, safe="")
    generation = str(record.generation)
    resource: dict[str, object] = {
        "kind": "storage#object",
        "id": f"{bucket}/{record.name}/{generation}",
        "selfLink": f"{base_url}/storage/v1/b/{bucket}/o/{name}",
        "mediaLink": f"{base_url}/download/storage/v1/b/{bucket}/o/{name}?generation={generation}&alt=media",
        "name": record.name,
        "bucket": bucket,
        "generation": generation,
        "metageneration": str(record.metageneration),
        "contentType": DEFAULT_TYPE,
        "storageClass": "STANDARD",
        "size": str(record.size_bytes),
        "crc32c": encode_crc32c(record.crc32c),
        "etag": etag(record),
        "timeCreated": timestamp(record.created_us),
        "updated": timestamp(record.updated_us),
        "timeStorageClassUpdated": timestamp(record.created_us),
        "timeFinalized": timestamp(record.created_us),
        **record.attributes,
    }
    if not resource.get("metadata"):
        resource.pop("metadata", None)
    if record.md5:
        resource["md5Hash"] = encode_md5(record.md5)
    if record.deleted_us is not None and record.expires_us is None:
        resource["timeDeleted"] = timestamp(record.deleted_us)
    elif record.deleted_us is not None and record.expires_us is not None:
        resource |= {"softDeleteTime": timestamp(record.deleted_us), "hardDeleteTime": timestamp(record.expires_us)}
    if record.components is not None:
        resource["componentCount"] = record.components
    return resource


def bucket_resource(bucket: tuple[str, int, Attributes], base_url: str) -> dict[str, object]:
    """The `storage#bucket` of a bucket."""
    name, created_us, attributes = bucket
    return {
        "kind": "storage#bucket",
        "id": name,
        "name": name,
        "selfLink": f"{base_url}/storage/v1/b/{name}",
        "projectNumber": "1",
        "location": "US",
        "locationType": "multi-region",
        "storageClass": "STANDARD",
        "metageneration": "1",
        "etag": "CAE=",
        "timeCreated": timestamp(created_us),
        "updated": timestamp(created_us),
        "iamConfiguration": {"uniformBucketLevelAccess": {"enabled": True}},
        "softDeletePolicy": {"retentionDurationSeconds": str(SOFT_DELETE_S), "effectiveTime": timestamp(created_us)},
        **attributes,
    }


def parse_fields(text: str) -> FieldTree:
    """The tree of `items(name,metadata/foo),nextPageToken`. Raises ApiError 400 on bad syntax."""
    tokens = re.findall(r"[(),/]|[^(),/\s]+", text)
    tree = _parse_group(tokens)
    if tokens:
        raise _bad_fields(text)
    return tree


def _parse_group(tokens: list[str]) -> FieldTree:
    tree: FieldTree = {}
    while tokens:
        node = tree.setdefault(_take_name(tokens), {})
        while tokens and tokens[0] == "/":
            tokens.pop(0)
            node = node.setdefault(_take_name(tokens), {})
        if tokens and tokens[0] == "(":
            tokens.pop(0)
            node.update(_parse_group(tokens))
            if not tokens or tokens.pop(0) != ")":
                raise _bad_fields("(")
        if not tokens or tokens[0] != ",":
            break
        tokens.pop(0)
    return tree


def _take_name(tokens: list[str]) -> str:
    if not tokens or tokens[0] in "(),/":
        raise _bad_fields(tokens[0] if tokens else "")
    return tokens.pop(0)


def _bad_fields(text: str) -> ApiError:
    return ApiError(400, "invalidParameter", f"Invalid field selection {text}")


def select_fields(document: object, tree: FieldTree) -> object:
    """The part of a document that a field tree names; all of it for an empty tree."""
    if not tree or "*" in tree:
        return document
    if isinstance(document, list):
        return [select_fields(entry, tree) for entry in document]
    if isinstance(document, dict):
        return {key: select_fields(value, tree[key]) for key, value in document.items() if key in tree}
    return document


def wants(tree: FieldTree, *path: str) -> bool:
    """Whether a field tree asks for what lies at a path."""
    for name in path:
        if not tree or "*" in tree:
            return True
        if name not in tree:
            return False
        tree = tree[name]
    return True
