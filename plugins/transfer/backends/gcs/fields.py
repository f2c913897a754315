"""Content headers that Cloud Storage refuses are kept as custom metadata of the copied object.

S3 stores any text as Content-Type, Content-Language and so on. Cloud Storage validates some of them.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from typing import TypeVar

from transfer.errors import DestinationRefused, SinkUnavailable, Stage
from transfer.steps import Step

log = logging.getLogger(__name__)
T = TypeVar("T")

DEFAULT_TYPE = "application/octet-stream"
_MEDIA_TYPE = re.compile(r"[\w!#$&^.+-]{1,127}/[\w!#$&^.+-]{1,127}(?:[ \t]*;[\x20-\x7e]*)?", re.ASCII)
_LANGUAGES = re.compile(r"[A-Za-z]{1,8}(?:-[A-Za-z0-9]{1,8})*(?:\s*,\s*[A-Za-z]{1,8}(?:-[A-Za-z0-9]{1,8})*)*")
_PRINTABLE = re.compile(r"[\x20-\x7e]*")
_FORMS = {
    "contentType": _MEDIA_TYPE,
    "contentLanguage": _LANGUAGES,
    "contentDisposition": _PRINTABLE,
    "contentEncoding": _PRINTABLE,
    "cacheControl": _PRINTABLE,
}
"""The valid form of each field (RFC 9110, sections 8.3 and 8.5); any printable text where the standard says no more."""
_KEPT_AS = {
    "contentType": "s3-content-type",
    "contentLanguage": "s3-content-language",
    "contentDisposition": "s3-content-disposition",
    "contentEncoding": "s3-content-encoding",
    "cacheControl": "s3-cache-control",
}
"""The custom metadata that keeps the source's text of a refused field."""


def media_type_of(resource: Mapping[str, object]) -> str:
    """The media type for the headers of an upload: the resource's content type if it is valid, else DEFAULT_TYPE."""
    found = str(resource.get("contentType", DEFAULT_TYPE))
    return found if _MEDIA_TYPE.fullmatch(found) else DEFAULT_TYPE


class RefusedFields:
    """Remembers which content headers of the current object Cloud Storage refused. Each lane has its own."""

    def __init__(self) -> None:
        self._name = ""
        self._fields: frozenset[str] = frozenset()

    def kept(self, name: str, resource: Mapping[str, object]) -> Mapping[str, object]:
        """The resource to send: headers of this object that were refused before are custom metadata in it."""
        if name != self._name:
            return resource
        metadata = resource.get("metadata")
        kept = {_KEPT_AS[field]: str(resource[field]) for field in sorted(self._fields) if field in resource}
        rest = {field: value for field, value in resource.items() if field not in self._fields}
        return rest | {"metadata": {**(metadata if isinstance(metadata, Mapping) else {}), **kept}}

    def noted(self, name: str, resource: Mapping[str, object], request: Step[T]) -> Step[T]:
        """The result of a request that sends `resource`, remembering the content headers that it is refused for.

        Then DestinationRefused becomes SinkUnavailable, so that the object is retried without them.
        """
        try:
            return (yield from request)
        except DestinationRefused as error:
            self._note(name, resource, error)
            raise

    def _note(self, name: str, resource: Mapping[str, object], error: DestinationRefused) -> None:
        before = self._fields if name == self._name else frozenset()
        doubtful = _doubtful(resource, error) - before if error.http_status == 400 else frozenset()
        if not doubtful:
            return
        self._name, self._fields = name, before | doubtful
        values = ", ".join(f"{field} {str(resource[field])[:80]!r}" for field in sorted(doubtful))
        log.warning(
            "%r is copied without its %s, which Cloud Storage refuses; it is kept as custom metadata", name, values
        )
        said = f"{error.message}; retried without {values}"
        raise SinkUnavailable(said, stage=Stage.UPLOAD, http_status=400) from error


def _doubtful(resource: Mapping[str, object], error: DestinationRefused) -> frozenset[str]:
    """The content headers that the refusal names; where it names none, those of invalid form."""
    said = re.sub(r"[^a-z]", "", error.message.lower())
    present = [field for field in _FORMS if field in resource]
    named = frozenset(field for field in present if field.lower() in said)
    return named or frozenset(field for field in present if not _FORMS[field].fullmatch(str(resource[field])))
