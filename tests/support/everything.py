"""A bucket with one of everything that is known to go wrong with an object, and how each of them has to end."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

COPIED = "copied"
ARCHIVED = "archived"
SECRET = "S3CRET-THAT-NOBODY-MAY-SEE"
BODY = b"an odd object's bytes, which are nothing special"
_S3 = {"x-amz-request-id": "0ODD0", "Server": "AmazonS3", "Content-Type": "application/xml"}
_HOSTILE_WORDS = f"Access Denied\n\x1b[31mERROR \u202e https://d1.net/a?Policy=eyJT&amp;Signature={SECRET}"


@dataclass(frozen=True, kw_only=True)
class Odd:
    """One kind of object that is not as others are."""

    what: str
    """In the words of docs/operating.md."""
    keys: tuple[str, ...]
    ends: str = COPIED
    """Of a first run: a reason, or COPIED, or ARCHIVED."""
    then: str = COPIED
    """Once its cause is gone and `reconcile` was cleared."""
    mend: str = ""
    """The cause that goes, or what has to be done at the source."""
    body: bytes = BODY
    put: Mapping[str, Any] = field(default_factory=dict)
    stored: Mapping[str, Any] = field(default_factory=dict)
    """What a blob has that its source has otherwise."""
    s3: Mapping[str, Any] | None = None
    """What S3 does when the distribution asks for it; a fault."""
    edge: Mapping[str, Any] | None = None
    insert: Mapping[str, Any] | None = None
    """What Cloud Storage does when it is to be made."""
    before: Mapping[str, Any] | None = None
    """What the blob has that is at the destination already."""

    @property
    def row(self) -> str:
        """Of the table in docs/operating.md."""
        how = {COPIED: COPIED, ARCHIVED: "skipped, in `archived.csv`"}.get(self.ends, f"`{self.ends}`")
        return f"| {self.what} | {how} | {self.mend} |"


def _s3_says(status: int, code: str, message: str) -> dict[str, Any]:
    body = f"<Error><Code>{code}</Code><Message>{message}</Message><HostId>h</HostId></Error>"
    return {"action": "status", "status": status, "headers": _S3, "body": body}


def _inserted(status: int, said: str, **times: int) -> dict[str, Any]:
    return {"action": "status", "status": status, "body": said, **times}


def odd(*keys: str, **fields: Any) -> Odd:
    """With keys in the folder `odd`."""
    return Odd(keys=tuple(f"odd/{key}" for key in keys), **fields)


CLEAR = "then clear `reconcile`"
ANEW = "run again"
HELD = f"release it, {CLEAR}"
PAGE = {"Content-Type": "text/html", "X-Cache": "Error from cloudfront", "x-amz-request-id": "0PAGE0", "ETag": '"page"'}
BLOCKED = {"Content-Type": "text/html", "X-Cache": "Error from cloudfront", "Server": "CloudFront"}
KMS = {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": "key-1"}
CONFLICTING, REPLACED, DELETED = "!held/conflict", "!held/replaced", "!held/deleted"
WAIT = {"action": "delay", "seconds": 45}
LOCKED = tuple(f"m-locked/{number:03d}" for number in range(150))
FORMULAS = ("=cmd|'/C calc'!A0", "+1+1", "-2+3", "@SUM(1)", "\t=1", "＝1")

# Those that are tried again and again have keys at the front, so that each is in a message of its own.
EVERYTHING = (
    Odd(
        what="150 objects in a row of a folder that the distribution may not read",
        keys=LOCKED,
        ends="SourceForbidden",
        mend=f"allow `s3:GetObject`, {CLEAR}",
        s3=_s3_says(403, "AccessDenied", _HOSTILE_WORDS),
    ),
    Odd(
        what="keys that a spreadsheet would run, of objects that S3 refuses",
        keys=FORMULAS,
        ends="SourceForbidden",
        mend=f"allow `s3:GetObject`, {CLEAR}",
        s3=_s3_says(403, "AccessDenied", "Access Denied"),
    ),
    odd(
        "sse-c",
        what="under a customer's own key (SSE-C)",
        ends="SourceEncrypted",
        then="SourceEncrypted",
        mend=f"copy it onto itself without that key, {ANEW}",
        put={"SSECustomerAlgorithm": "AES256", "SSECustomerKey": "k" * 32},
    ),
    odd(
        "kms-denied",
        what="under a KMS key that the distribution may not use",
        ends="SourceEncrypted",
        mend=f"allow `kms:Decrypt`, {CLEAR}",
        put=KMS,
        s3=_s3_says(403, "AccessDenied", "not authorized to perform: kms:Decrypt on the resource"),
    ),
    odd(
        "kms-disabled",
        what="under a KMS key that is disabled",
        ends="SourceEncrypted",
        mend=f"enable the key, {CLEAR}",
        put=KMS,
        s3=_s3_says(400, "KMS.DisabledException", "arn:aws:kms:::key/key-1 is disabled."),
    ),
    odd(
        "glacier",
        what="in an archive class",
        ends=ARCHIVED,
        then=ARCHIVED,
        mend=f"restore it, {ANEW}",
        put={"StorageClass": "GLACIER"},
    ),
    odd(
        "tiering",
        what="in an archive tier, which a listing does not show",
        ends="SourceArchived",
        mend=f"restore it, {CLEAR}",
        put={"StorageClass": "INTELLIGENT_TIERING"},
        s3=_s3_says(403, "InvalidObjectState", "The operation is not valid for the object's access tier"),
    ),
    Odd(
        what="deleted since it was listed, behind a distribution that may not list",
        keys=(DELETED,),
        ends="SourceForbidden",
        then="SourceForbidden",
        mend=ANEW,
        edge=WAIT,
    ),
    Odd(
        what="replaced since it was listed",
        keys=(REPLACED,),
        ends="SourceChanged",
        then="SourceChanged",
        mend=ANEW,
        edge=WAIT,
    ),
    odd(
        "missing-meta",
        what="with user metadata that no header can carry",
        ends="SourceMetadataWithheld",
        then="SourceMetadataWithheld",
        mend=f"set them again with plain values, {ANEW}",
        edge={"action": "rewrite", "headers": {"x-amz-missing-meta": "2"}},
    ),
    odd(
        "too-much-metadata",
        what="with more user metadata than Cloud Storage holds",
        ends="DestinationRefused",
        then="DestinationRefused",
        mend=f"shorten them at the source, {ANEW}",
        edge={"action": "rewrite", "headers": {"x-amz-meta-much": "m" * 8200}},
    ),
    odd(
        "mail-charset",
        what="mail headers in a charset that nobody knows",
        put={"Metadata": {"subject": "=?x-unknown?Q?abc?="}},
    ),
    odd(
        "mail-words",
        what="mail headers that are encoded words already",
        put={"Metadata": {"subject": "=?UTF-8?B?w6kgw7w=?="}},
    ),
    odd("type-jpg", what="Content-Type `jpg`, `undefined`", put={"ContentType": "jpg"}),
    odd("type-undefined", what="Content-Type `jpg`, `undefined`", put={"ContentType": "undefined"}),
    odd(
        "language",
        what="a Content-Language that is none",
        put={"ContentLanguage": "no such language!"},
        stored={"content_language": None, "s3-content-language": "no such language!"},
    ),
    odd(
        "chunked",
        what="Content-Encoding `aws-chunked`, `gzip`",
        put={"ContentEncoding": "aws-chunked"},
        stored={"content_encoding": None},
    ),
    odd(
        "chunked-gzip",
        what="Content-Encoding `aws-chunked`, `gzip`",
        put={"ContentEncoding": "aws-chunked,gzip"},
        stored={"content_encoding": "gzip"},
    ),
    odd("empty", what="empty", body=b""),
    Odd(
        what="hostile names",
        keys=(
            *(
                "control-\x01\x7f\x1b[31m",
                "bidi-\u202egpj.exe",
                "k" * 1024,
                "x//y",
                "p/../q",
                "./r",
                "emoji-🚚-e\u0301",
            ),
            *(f"q?a=b&Signature={SECRET}#%2F+", "back\\slash", "marker/", "\"quoted\", 'twice'"),
        ),
    ),
    Odd(
        what="names that Cloud Storage cannot hold, or that are the records' own",
        keys=("line\nbreak", "cr\r\nX-Header: y", ".", "..", ".well-known/acme-challenge/x", ".edgehaul/r/report.json"),
        ends="InvalidName",
        then="InvalidName",
        mend=f"rename them at the source, {ANEW}",
    ),
    Odd(
        what="blocked by the distribution's firewall for its name (`*.log`)",
        keys=("!again/app.log",),
        ends="EdgeBlocked",
        mend=f"let the rule count signed requests, {CLEAR}",
        edge={
            "action": "status",
            "status": 403,
            "headers": BLOCKED,
            "body": "<HTML><H1>403 ERROR</H1>Request blocked.\x1b[31m\n</HTML>",
        },
    ),
    Odd(
        what="shown as a custom error page",
        keys=("!again/page",),
        ends="EdgeErrorPage",
        mend=f"remove the page, {CLEAR}",
        edge={"action": "status", "status": 200, "headers": PAGE, "body": "<html>Sorry!</html>"},
    ),
    Odd(
        what="damaged on its way, each time",
        keys=("!again/corrupt",),
        ends="CorruptTransfer",
        mend=f"mend the way, {CLEAR}",
        edge={"action": "corrupt", "at_byte": 1},
    ),
    odd(
        "no-etag",
        what="without its ETag, and the bytes are proof enough",
        edge={"action": "rewrite", "headers": {"ETag": ""}},
    ),
    odd(
        "unproven",
        what="without its ETag, and the bytes are no proof (KMS)",
        ends="SourceUnproven",
        mend=f"let ETag pass, {CLEAR}",
        put=KMS,
        edge={"action": "rewrite", "headers": {"ETag": ""}},
    ),
    odd(
        "stalls",
        what="temporary trouble on either side",
        edge={"action": "stall", "at_byte": 10, "seconds": 2, "times": 1},
    ),
    odd("breaks", what="temporary trouble on either side", edge={"action": "truncate", "at_byte": 10, "times": 1}),
    odd("slow-down", what="temporary trouble on either side", edge={**_s3_says(503, "SlowDown", "Reduce"), "times": 1}),
    odd(
        "throttled",
        what="temporary trouble on either side",
        insert=_inserted(429, "rateLimitExceeded: The object exceeded the rate limit", times=2),
    ),
    *(
        odd(
            name,
            what=f"over an object of the destination under {what}",
            ends="DestinationHeld",
            mend=HELD,
            before=attributes,
        )
        for name, what, attributes in (
            ("temporary-hold", "a temporary hold", {"temporaryHold": True}),
            ("event-hold", "an event-based hold", {"eventBasedHold": True}),
            (
                "retention",
                "retention",
                {"retention": {"mode": "Unlocked", "retainUntilTime": "2099-01-01T00:00:00+00:00"}},
            ),
        )
    ),
    Odd(
        what="written by somebody else since it was listed",
        keys=(CONFLICTING,),
        ends="DestinationConflict",
        mend="clear `reconcile` to copy over it",
        edge=WAIT,
    ),
    odd(
        "iam-denied",
        what="a name that an IAM condition keeps from the Google connection",
        ends="DestinationForbidden",
        mend=f"change the condition, {CLEAR}",
        insert=_inserted(403, f"forbidden: no storage.objects.create access.\n\x1b[31m Bearer {SECRET}"),
    ),
    odd(
        "org-policy",
        what="forbidden by a policy of the organization (412)",
        ends="DestinationRefused",
        mend=f"change the policy, {CLEAR}",
        insert=_inserted(412, "orgPolicyConstraintFailed: constraint constraints/storage.x"),
    ),
    odd(
        "invalid",
        what="refused as invalid (400)",
        ends="DestinationRefused",
        mend=f"change what the failure quotes, {CLEAR}",
        insert=_inserted(400, "invalid: Invalid argument."),
    ),
    Odd(
        what="in conflict with something else for a while (409)",
        keys=("!again/busy",),
        insert=_inserted(409, "conflict: The object is being changed.", times=3),
    ),
)

BY_KEY = {key: one for one in EVERYTHING for key in one.keys}


def ending(reason: str, *, then: bool = False) -> set[str]:
    """The keys that end so, in a first run or once the causes are gone."""
    return {key for key, one in BY_KEY.items() if (one.then if then else one.ends) == reason}


def faults(side: str, bucket: str, wanted: Iterable[Odd] = EVERYTHING) -> list[dict[str, Any]]:
    """The plan of `s3`, `edge` or `insert`."""
    plan = []
    for one in wanted:
        if (fault := getattr(one, side)) is None:
            continue
        names = "|".join(re.escape(key if side == "insert" else quote(key)) for key in one.keys)
        place = {"s3": f"GET /{bucket}/", "edge": "GET /", "insert": f"INSERT {bucket}/"}[side]
        plan.append({"match": rf"{place}(?:{names})(?:\?|$)", **fault})
    return plan


def table() -> str:
    """As it stands in docs/operating.md."""
    rows = dict.fromkeys(one.row for one in EVERYTHING)
    return "\n".join(["| what | the first run | what to do then |", "|---|---|---|", *rows])
