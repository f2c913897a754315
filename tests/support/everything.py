"""Everything that is known to go wrong with an object, and how a run has to end for each."""

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
    """One kind of object that is not ordinary."""

    what: str
    """What is unusual, as docs/operating.md shows it."""
    keys: tuple[str, ...]
    ends: str = COPIED
    """The outcome in the first run: a reason, or COPIED, or ARCHIVED."""
    then: str = COPIED
    """The outcome once its cause is gone and `reconcile` was cleared."""
    remedy: str = ""
    """What a person has to do."""
    body: bytes = BODY
    put: Mapping[str, Any] = field(default_factory=dict)
    stored: Mapping[str, Any] = field(default_factory=dict)
    """Attributes of the copy that differ from those of the source."""
    s3: Mapping[str, Any] | None = None
    """The fault with which S3 answers the distribution."""
    edge: Mapping[str, Any] | None = None
    """The fault with which the edge answers."""
    insert: Mapping[str, Any] | None = None
    """The fault with which Cloud Storage answers the upload."""
    before: Mapping[str, Any] | None = None
    """Attributes of an object that is at the destination already."""

    @property
    def row(self) -> str:
        """The row in docs/operating.md."""
        how = {COPIED: COPIED, ARCHIVED: "skipped, in `archived.csv`"}.get(self.ends, f"`{self.ends}`")
        return f"| {self.what} | {how} | {self.remedy} |"


def _s3_says(status: int, code: str, message: str) -> dict[str, Any]:
    body = f"<Error><Code>{code}</Code><Message>{message}</Message><HostId>h</HostId></Error>"
    return {"action": "status", "status": status, "headers": _S3, "body": body}


def _inserted(status: int, said: str, **times: int) -> dict[str, Any]:
    return {"action": "status", "status": status, "body": said, **times}


def odd(*keys: str, **fields: Any) -> Odd:
    """A kind whose keys are in the folder `odd`."""
    return Odd(keys=tuple(f"odd/{key}" for key in keys), **fields)


CLEAR = "then clear `reconcile`"
AGAIN = "run again"
HELD = f"release it, {CLEAR}"
PAGE = {"Content-Type": "text/html", "X-Cache": "Error from cloudfront", "x-amz-request-id": "0PAGE0", "ETag": '"page"'}
BLOCKED = {"Content-Type": "text/html", "X-Cache": "Error from cloudfront", "Server": "CloudFront"}
KMS = {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": "key-1"}
CONFLICTING, REPLACED, DELETED = "!held/conflict", "!held/replaced", "!held/deleted"
WAIT = {"action": "delay", "seconds": 45}
LOCKED = tuple(f"m-locked/{number:03d}" for number in range(150))
FORMULAS = ("=cmd|'/C calc'!A0", "+1+1", "-2+3", "@SUM(1)", "\t=1", "＝1")

# Objects that are retried several times have keys at the front, so that each is in a message alone.
EVERYTHING = (
    Odd(
        what="150 objects in a row of a folder that the distribution may not read",
        keys=LOCKED,
        ends="SourceForbidden",
        remedy=f"allow `s3:GetObject`, {CLEAR}",
        s3=_s3_says(403, "AccessDenied", _HOSTILE_WORDS),
    ),
    Odd(
        what="keys that a spreadsheet would run, of objects that S3 refuses",
        keys=FORMULAS,
        ends="SourceForbidden",
        remedy=f"allow `s3:GetObject`, {CLEAR}",
        s3=_s3_says(403, "AccessDenied", "Access Denied"),
    ),
    odd(
        "sse-c",
        what="encrypted with a customer-provided key (SSE-C)",
        ends="SourceEncrypted",
        then="SourceEncrypted",
        remedy=f"copy it onto itself without that key, {AGAIN}",
        put={"SSECustomerAlgorithm": "AES256", "SSECustomerKey": "k" * 32},
    ),
    odd(
        "kms-denied",
        what="encrypted with a KMS key that the distribution may not use",
        ends="SourceEncrypted",
        remedy=f"allow `kms:Decrypt`, {CLEAR}",
        put=KMS,
        s3=_s3_says(403, "AccessDenied", "not authorized to perform: kms:Decrypt on the resource"),
    ),
    odd(
        "kms-disabled",
        what="encrypted with a KMS key that is disabled",
        ends="SourceEncrypted",
        remedy=f"enable the key, {CLEAR}",
        put=KMS,
        s3=_s3_says(400, "KMS.DisabledException", "arn:aws:kms:::key/key-1 is disabled."),
    ),
    odd(
        "glacier",
        what="in an archive class",
        ends=ARCHIVED,
        then=ARCHIVED,
        remedy=f"restore it, {AGAIN}",
        put={"StorageClass": "GLACIER"},
    ),
    odd(
        "tiering",
        what="in an archive tier, which a listing does not show",
        ends="SourceArchived",
        remedy=f"restore it, {CLEAR}",
        put={"StorageClass": "INTELLIGENT_TIERING"},
        s3=_s3_says(403, "InvalidObjectState", "The operation is not valid for the object's access tier"),
    ),
    Odd(
        what="deleted since it was listed, behind a distribution that may not list",
        keys=(DELETED,),
        ends="SourceForbidden",
        then="SourceForbidden",
        remedy=AGAIN,
        edge=WAIT,
    ),
    Odd(
        what="replaced since it was listed",
        keys=(REPLACED,),
        ends="SourceChanged",
        then="SourceChanged",
        remedy=AGAIN,
        edge=WAIT,
    ),
    odd(
        "missing-meta",
        what="user metadata that no HTTP header can carry",
        ends="SourceMetadataWithheld",
        then="SourceMetadataWithheld",
        remedy=f"set it again with plain values, {AGAIN}",
        edge={"action": "rewrite", "headers": {"x-amz-missing-meta": "2"}},
    ),
    odd(
        "too-much-metadata",
        what="more user metadata than Cloud Storage allows",
        ends="DestinationRefused",
        then="DestinationRefused",
        remedy=f"shorten it in the source, {AGAIN}",
        edge={"action": "rewrite", "headers": {"x-amz-meta-much": "m" * 8200}},
    ),
    odd(
        "mail-charset",
        what="mail headers in an unknown charset",
        put={"Metadata": {"subject": "=?x-unknown?Q?abc?="}},
    ),
    odd(
        "mail-words",
        what="mail headers that are already encoded words",
        put={"Metadata": {"subject": "=?UTF-8?B?w6kgw7w=?="}},
    ),
    odd("type-jpg", what="Content-Type `jpg`, `undefined`", put={"ContentType": "jpg"}),
    odd("type-undefined", what="Content-Type `jpg`, `undefined`", put={"ContentType": "undefined"}),
    odd(
        "language",
        what="an invalid Content-Language",
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
    odd("empty", what="an empty object", body=b""),
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
        what="names that Cloud Storage does not allow, or that the run's records use",
        keys=("line\nbreak", "cr\r\nX-Header: y", ".", "..", ".well-known/acme-challenge/x", ".edgehaul/r/report.json"),
        ends="InvalidName",
        then="InvalidName",
        remedy=f"rename them in the source, {AGAIN}",
    ),
    Odd(
        what="blocked by the distribution's firewall for its name (`*.log`)",
        keys=("!again/app.log",),
        ends="EdgeBlocked",
        remedy=f"let the rule count signed requests, {CLEAR}",
        edge={
            "action": "status",
            "status": 403,
            "headers": BLOCKED,
            "body": "<HTML><H1>403 ERROR</H1>Request blocked.\x1b[31m\n</HTML>",
        },
    ),
    Odd(
        what="a custom error page in place of the object",
        keys=("!again/page",),
        ends="EdgeErrorPage",
        remedy=f"remove the page, {CLEAR}",
        edge={"action": "status", "status": 200, "headers": PAGE, "body": "<html>Sorry!</html>"},
    ),
    Odd(
        what="damaged in transit on every attempt",
        keys=("!again/corrupt",),
        ends="CorruptTransfer",
        remedy=f"repair the network path, {CLEAR}",
        edge={"action": "corrupt", "at_byte": 1},
    ),
    odd(
        "no-etag",
        what="no ETag, but the bytes prove themselves",
        edge={"action": "rewrite", "headers": {"ETag": ""}},
    ),
    odd(
        "unproven",
        what="no ETag, and the bytes prove nothing (KMS)",
        ends="SourceUnproven",
        remedy=f"pass the ETag on, {CLEAR}",
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
            what=f"the destination's object is under {what}",
            ends="DestinationHeld",
            remedy=HELD,
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
        what="written at the destination by somebody else since it was listed",
        keys=(CONFLICTING,),
        ends="DestinationConflict",
        remedy="clear `reconcile` to copy over it",
        edge=WAIT,
    ),
    odd(
        "iam-denied",
        what="a name that an IAM condition denies to the Google connection",
        ends="DestinationForbidden",
        remedy=f"change the condition, {CLEAR}",
        insert=_inserted(403, f"forbidden: no storage.objects.create access.\n\x1b[31m Bearer {SECRET}"),
    ),
    odd(
        "org-policy",
        what="forbidden by an organization policy (412)",
        ends="DestinationRefused",
        remedy=f"change the policy, {CLEAR}",
        insert=_inserted(412, "orgPolicyConstraintFailed: constraint constraints/storage.x"),
    ),
    odd(
        "invalid",
        what="refused as invalid (400)",
        ends="DestinationRefused",
        remedy=f"correct what the failure quotes, {CLEAR}",
        insert=_inserted(400, "invalid: Invalid argument."),
    ),
    Odd(
        what="temporarily in conflict with another change (409)",
        keys=("!again/busy",),
        insert=_inserted(409, "conflict: The object is being changed.", times=3),
    ),
)

BY_KEY = {key: one for one in EVERYTHING for key in one.keys}


def ending(reason: str, *, then: bool = False) -> set[str]:
    """The keys with this outcome, in the first run or once the causes are gone."""
    return {key for key, one in BY_KEY.items() if (one.then if then else one.ends) == reason}


def faults(side: str, bucket: str, wanted: Iterable[Odd] = EVERYTHING) -> list[dict[str, Any]]:
    """The faults of `s3`, `edge` or `insert`, as its server takes them."""
    plan = []
    for one in wanted:
        if (fault := getattr(one, side)) is None:
            continue
        names = "|".join(re.escape(key if side == "insert" else quote(key)) for key in one.keys)
        place = {"s3": f"GET /{bucket}/", "edge": "GET /", "insert": f"INSERT {bucket}/"}[side]
        plan.append({"match": rf"{place}(?:{names})(?:\?|$)", **fault})
    return plan


def table() -> str:
    """The table in docs/operating.md."""
    rows = dict.fromkeys(one.row for one in EVERYTHING)
    return "\n".join(["| what | the first run | what to do then |", "|---|---|---|", *rows])
