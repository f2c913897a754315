"""The JSON API but for uploads: buckets, object metadata, listing, compose, rewrite and downloads."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from localcloud.gcs.discovery import check_fields, check_parameters
from localcloud.gcs.errors import ApiError
from localcloud.gcs.linking import compose, copy
from localcloud.gcs.listing import ListQuery, list_page
from localcloud.gcs.media import send_object
from localcloud.gcs.names import parse_count, parse_query, unescape
from localcloud.gcs.policies import check_payer, retention_s
from localcloud.gcs.resources import (
    bucket_resource,
    etag,
    object_resource,
    parse_fields,
    parse_resource,
    select_fields,
    timestamp,
    wants,
    writable,
)
from localcloud.gcs.store import Attributes, Conditions, ObjectRecord, Store
from localcloud.http1 import Exchange

SETTINGS = (
    *("location", "storageClass", "labels", "iamConfiguration", "lifecycle", "versioning"),
    *("retentionPolicy", "softDeletePolicy", "billing", "defaultEventBasedHold", "objectRetention"),
)
"""What can be set of a bucket."""
_PREFIX = re.compile(r"(?:/download)?/storage/v1/")


@dataclass(frozen=True, slots=True)
class Call:
    """One metadata request: the names in its path, its parameters and its body."""

    names: tuple[str, ...]
    query: dict[str, str]
    body: bytes

    def resource(self) -> dict[str, object]:
        """The body, which must be a JSON object or absent. Raises ApiError 400."""
        return parse_resource(self.body)


Handler = Callable[[Call], dict[str, object] | None]


class JsonApi:
    """Answers metadata requests and downloads. Thread-safe."""

    def __init__(self, store: Store, base_url: str) -> None:
        self._store = store
        self._base_url = base_url
        bucket, item = r"b/([^/]+)", r"b/([^/]+)/o/([^/]+)"
        routes: list[tuple[str, str, str, Handler]] = [
            ("GET", "b", "buckets.list", self._list_buckets),
            ("POST", "b", "buckets.insert", self._insert_bucket),
            ("GET", bucket, "buckets.get", self._get_bucket),
            ("PATCH", bucket, "buckets.patch", self._patch_bucket),
            ("DELETE", bucket, "buckets.delete", self._delete_bucket),
            ("GET", f"{bucket}/o", "objects.list", self._list_objects),
            ("GET", item, "objects.get", self._get),
            ("PATCH", item, "objects.patch", self._patch),
            ("PUT", item, "objects.update", self._update),
            ("DELETE", item, "objects.delete", self._delete),
            ("POST", f"{item}/compose", "objects.compose", self._compose),
            ("POST", f"{item}/restore", "objects.restore", self._restore),
            ("POST", f"{item}/rewriteTo/{item}", "objects.rewrite", self._rewrite),
            ("POST", f"{item}/copyTo/{item}", "objects.copy", self._copy),
        ]
        self._routes = [(method, re.compile(pattern), kind, handler) for method, pattern, kind, handler in routes]

    def handle(self, exchange: Exchange) -> None:
        """Answer one request under `/storage/v1/` or `/download/storage/v1/`. Raises ApiError."""
        kind, handler, names = self._route(exchange.method, exchange.path)
        exchange.kind = kind
        query = parse_query(exchange.query)
        check_parameters(kind, query)
        self._check_payer(kind, names, query, exchange)
        if kind == "objects.get" and query.get("alt") == "media":
            exchange.kind = "objects.get-media"
            bucket, name = names
            if not exchange.path.startswith("/download/"):
                raise _media_is_at_download(self._base_url + "/download" + exchange.target)
            conditions = Conditions.from_query(query)
            with self._store.reading(bucket, name, query.get("generation"), conditions) as record:
                send_object(exchange, self._store, record, [], etag(record))
            return
        if exchange.path.startswith("/download/"):
            raise ApiError(400, "notDownload", "This is no download: use the path without /download.")
        fields = parse_fields(query.get("fields", ""))
        check_fields(kind, fields)
        document = handler(Call(names, query, exchange.read_body()))
        if document is None:
            exchange.send(204)
        else:
            exchange.send_json(200, select_fields(document, fields))

    def _route(self, method: str, path: str) -> tuple[str, Handler, tuple[str, ...]]:
        prefix = _PREFIX.match(path)
        if prefix:
            rest = path[prefix.end() :]
            for route_method, pattern, kind, handler in self._routes:
                if method == route_method and (match := pattern.fullmatch(rest)):
                    return kind, handler, tuple(unescape(name) for name in match.groups())
        raise ApiError(404, "notFound", "Not Found")

    def answer(self, method: str, target: str, body: bytes) -> tuple[int, object]:
        """Status and JSON document (None with 204) of a metadata request that came in a batch."""
        path, _, query_text = target.partition("?")
        try:
            query = parse_query(query_text)
            fields = parse_fields(query.get("fields", ""))
            kind, handler, names = self._route(method, path.removeprefix(self._base_url))
            check_parameters(kind, query)
            check_fields(kind, fields)
            document = handler(Call(names, query, body))
            return (204, None) if document is None else (200, select_fields(document, fields))
        except ApiError as error:
            return error.status, error.to_json()

    def _check_payer(self, kind: str, names: tuple[str, ...], query: dict[str, str], exchange: Exchange) -> None:
        """Of a bucket's own settings we are the owner, of its objects never."""
        if kind.startswith("objects."):
            project = query.get("userProject", "") or exchange.headers.get("x-goog-user-project", "")
            check_payer(self._store.bucket(names[0])[2], project)

    # Buckets

    def _list_buckets(self, call: Call) -> dict[str, object]:
        prefix = call.query.get("prefix", "")
        names = [name for name in self._store.bucket_names() if name.startswith(prefix)]
        items = [bucket_resource(self._store.bucket(name), self._base_url) for name in names]
        return {"kind": "storage#buckets", "items": items}

    def _insert_bucket(self, call: Call) -> dict[str, object]:
        resource = call.resource()
        name = str(resource.pop("name", ""))
        self._store.create_bucket(name, {key: resource[key] for key in SETTINGS if key in resource})
        return bucket_resource(self._store.bucket(name), self._base_url)

    def _get_bucket(self, call: Call) -> dict[str, object]:
        return bucket_resource(self._store.bucket(call.names[0]), self._base_url)

    def _patch_bucket(self, call: Call) -> dict[str, object]:
        resource = call.resource()
        self._store.change_bucket(call.names[0], {key: resource[key] for key in SETTINGS if key in resource})
        return self._get_bucket(call)

    def _delete_bucket(self, call: Call) -> None:
        self._store.delete_bucket(call.names[0])

    # Objects

    def _list_objects(self, call: Call) -> dict[str, object]:
        query = call.query
        listing = ListQuery(
            prefix=query.get("prefix", ""),
            delimiter=query.get("delimiter", ""),
            start=query.get("startOffset", ""),
            end=query.get("endOffset", ""),
            token=query.get("pageToken", ""),
            max_results=parse_count(query.get("maxResults") or "1000"),
            with_trailing_delimiter=_is_true(query, "includeTrailingDelimiter"),
            versions=_is_true(query, "versions"),
            soft_deleted=_is_true(query, "softDeleted"),
        )
        page = list_page(self._store, call.names[0], listing)
        with_md5 = wants(parse_fields(query.get("fields", "")), "items", "md5Hash")
        document: dict[str, object] = {"kind": "storage#objects"}
        if page.items:
            document["items"] = [self._resource(record, with_md5=with_md5) for record in page.items]
        if page.prefixes:
            document["prefixes"] = page.prefixes
        if page.token:
            document["nextPageToken"] = page.token
        return document

    def _resource(self, record: ObjectRecord, *, with_md5: bool = True) -> dict[str, object]:
        resource = object_resource(self._store.with_md5(record) if with_md5 else record, self._base_url)
        if kept_s := retention_s(self._store.bucket(record.bucket)[2]):
            resource["retentionExpirationTime"] = timestamp(record.created_us + kept_s * 1_000_000)
        return resource

    def _get(self, call: Call) -> dict[str, object]:
        query = call.query
        bucket, name = call.names
        generation, soft_deleted = query.get("generation"), _is_true(query, "softDeleted")
        record = self._store.get(bucket, name, generation, Conditions.from_query(query), soft_deleted=soft_deleted)
        return self._resource(record, with_md5=wants(parse_fields(query.get("fields", "")), "md5Hash"))

    def _patch(self, call: Call) -> dict[str, object]:
        changes = call.resource()

        def merge(old: Attributes) -> Attributes:
            metadata = changes.get("metadata", {})
            merged = old | changes
            if isinstance(metadata, dict):  # keys merge; null for all of it clears all of it
                old_metadata = old.get("metadata")
                merged["metadata"] = (old_metadata if isinstance(old_metadata, dict) else {}) | metadata
            return writable(merged)

        return self._change(call, merge)

    def _update(self, call: Call) -> dict[str, object]:
        attributes = writable(call.resource())
        return self._change(call, lambda _: attributes)

    def _change(self, call: Call, change: Callable[[Attributes], Attributes]) -> dict[str, object]:
        bucket, name = call.names
        generation, conditions = call.query.get("generation"), Conditions.from_query(call.query)
        return self._resource(self._store.change(bucket, name, generation, conditions, change))

    def _delete(self, call: Call) -> None:
        bucket, name = call.names
        self._store.delete(bucket, name, call.query.get("generation"), Conditions.from_query(call.query))

    def _restore(self, call: Call) -> dict[str, object]:
        bucket, name = call.names
        generation = call.query.get("generation", "")
        return self._resource(self._store.restore(bucket, name, generation, Conditions.from_query(call.query)))

    def _compose(self, call: Call) -> dict[str, object]:
        bucket, name = call.names
        request = call.resource()
        return self._resource(compose(self._store, bucket, name, request, Conditions.from_query(call.query)))

    def _copy(self, call: Call) -> dict[str, object]:
        return self._resource(copy(self._store, call.names[:2], call.names[2:], call.resource(), call.query))

    def _rewrite(self, call: Call) -> dict[str, object]:
        resource = self._copy(call)
        done = {"done": True, "objectSize": resource["size"], "totalBytesRewritten": resource["size"]}
        return {"kind": "storage#rewriteResponse", **done, "resource": resource}


def _is_true(query: dict[str, str], name: str) -> bool:
    return query.get(name, "").lower() == "true"


def _media_is_at_download(url: str) -> ApiError:
    error = ApiError(303, "mediaDownloadRedirect", "Media is downloaded by the path that begins with /download.")
    error.headers = (("Location", url),)
    return error
