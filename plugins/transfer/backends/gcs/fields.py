"""The content headers of an object's resource: what Cloud Storage may refuse of them, and how they are kept all the same.

S3 keeps any text as Content-Type, Content-Language and so on. Cloud Storage checks some of them.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping

from transfer.errors import DestinationRefused, SinkUnavailable, Stage

log = logging.getLogger(__name__)

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
"""RFC 9110, 8.3 and 8.5; anything printable where nobody says more."""
_KEPT_AS = {
    "contentType": "s3-content-type",
    "contentLanguage": "s3-content-language",
    "contentDisposition": "s3-content-disposition",
    "contentEncoding": "s3-content-encoding",
    "cacheControl": "s3-cache-control",
}
"""The custom metadata that has the source's text where its own field was refused."""


def media_type_of(resource: Mapping[str, object]) -> str:
    """A media type for the headers of an upload: the resource's own, if it is one."""
    found = str(resource.get("contentType", DEFAULT_TYPE))
    return found if _MEDIA_TYPE.fullmatch(found) else DEFAULT_TYPE


class RefusedFields:
    """Which content headers of the object in hand were refused. One a lane, which has one object in hand at a time."""

    def __init__(self) -> None:
        self._name = ""
        self._fields: frozenset[str] = frozenset()

    def kept(self, name: str, resource: Mapping[str, object]) -> Mapping[str, object]:
        """The resource to send: what was refused of this object before is custom metadata now."""
        if name != self._name:
            return resource
        metadata = resource.get("metadata")
        moved = {_KEPT_AS[field]: str(resource[field]) for field in sorted(self._fields) if field in resource}
        rest = {field: value for field, value in resource.items() if field not in self._fields}
        return rest | {"metadata": {**(metadata if isinstance(metadata, Mapping) else {}), **moved}}

    def note(self, name: str, resource: Mapping[str, object], error: DestinationRefused) -> None:
        """Raises SinkUnavailable, so that the object is tried again, if a content header may be what was refused."""
        before = self._fields if name == self._name else frozenset()
        doubtful = _doubtful(resource, error) - before if error.http_status == 400 else frozenset()
        if not doubtful:
            return
        self._name, self._fields = name, before | doubtful
        values = ", ".join(f"{field} {str(resource[field])[:80]!r}" for field in sorted(doubtful))
        log.warning("%r is copied without its %s, which Cloud Storage refuses; custom metadata keeps it", name, values)
        said = f"{error.message}; tried again without {values}"
        raise SinkUnavailable(said, stage=Stage.UPLOAD, http_status=400) from error


def _doubtful(resource: Mapping[str, object], error: DestinationRefused) -> frozenset[str]:
    """The content headers that the refusal names; where it names none, those that are not what they should be."""
    said = re.sub(r"[^a-z]", "", error.message.lower())
    present = [field for field in _FORMS if field in resource]
    named = frozenset(field for field in present if field.lower() in said)
    return named or frozenset(field for field in present if not _FORMS[field].fullmatch(str(resource[field])))
