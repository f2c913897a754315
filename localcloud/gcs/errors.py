"""Cloud Storage's errors, in the shape of either API.

JSON: `{"error": {"code", "message", "errors": [{"message", "domain", "reason"}]}}`; XML: `<Error><Code>…</Code>…`.
"""

from __future__ import annotations

from xml.sax.saxutils import escape


class ApiError(Exception):
    """A request that Cloud Storage answers with an error status."""

    headers: tuple[tuple[str, str], ...] = ()
    """What the answer has beside its body."""

    def __init__(self, status: int, reason: str, message: str, xml_code: str = "InvalidArgument") -> None:
        super().__init__(message)
        self.status = status
        self.reason = reason
        self.message = message
        self.xml_code = xml_code

    def to_json(self) -> dict[str, object]:
        """The body of a JSON API answer."""
        detail = {"message": self.message, "domain": "global", "reason": self.reason}
        if self.reason == "conditionNotMet":
            detail |= {"locationType": "header", "location": "If-Match"}
        return {"error": {"code": self.status, "message": self.message, "errors": [detail]}}

    def to_xml(self) -> bytes:
        """The body of an XML API answer."""
        return (
            "<?xml version='1.0' encoding='UTF-8'?>"
            f"<Error><Code>{self.xml_code}</Code><Message>{escape(self.message)}</Message></Error>"
        ).encode()


def invalid(message: str, xml_code: str = "InvalidArgument") -> ApiError:
    """400: the request itself is wrong."""
    return ApiError(400, "invalid", message, xml_code)


def planned(status: int, body: str) -> ApiError:
    """What a fault plan wants, in the shape of whichever API was asked; `body` is `reason: message`."""
    reason, _, message = body.partition(": ")
    return ApiError(status, reason, message, reason[:1].upper() + reason[1:])


def no_bucket() -> ApiError:
    """404: the bucket is not there."""
    return ApiError(404, "notFound", "The specified bucket does not exist.", "NoSuchBucket")


def no_object(bucket: str, name: str) -> ApiError:
    """404: the object, or that generation of it, is not there."""
    return ApiError(404, "notFound", f"No such object: {bucket}/{name}", "NoSuchKey")


def no_upload() -> ApiError:
    """404: no such resumable session or multipart upload."""
    return ApiError(404, "notFound", "The requested upload was not found.", "NoSuchUpload")


def condition_not_met() -> ApiError:
    """412: a precondition failed."""
    message = "At least one of the pre-conditions you specified did not hold."
    return ApiError(412, "conditionNotMet", message, "PreconditionFailed")


def not_modified() -> ApiError:
    """304: the reader already has this generation."""
    return ApiError(304, "notModified", "Not Modified", "NotModified")
