"""Reading ListObjectsV2's XML: as botocore reads it, whatever a server's habits."""

from __future__ import annotations

from datetime import UTC, datetime

import boto3
import pytest
from botocore.config import Config
from hypothesis import given, settings
from hypothesis import strategies as st

from localcloud.http1 import Exchange, HttpServer
from transfer.backends.s3.page_xml import EntryIncomplete, PageContradictory, is_whole, read_page
from transfer.backends.s3.pages import S3Pages
from transfer.errors import BucketMissing, EndpointRejected, SourceUnavailable
from transfer.model import ObjectMeta

NAMESPACE = ' xmlns="http://s3.amazonaws.com/doc/2006-03-01/"'
EXPECTED = ObjectMeta(
    key="a b/ü&<.txt", size_bytes=17, etag="5d41-2", last_modified_s=1769904000, storage_class="STANDARD_IA"
)
KEY, SIZE = "<Key>a b/ü&amp;&lt;.txt</Key>", "<Size>17</Size>"
DATE, ETAG = "<LastModified>2026-02-01T00:00:00.000Z</LastModified>", "<ETag>&quot;5d41-2&quot;</ETag>"
CLASS = "<StorageClass>STANDARD_IA</StorageClass>"


def document(*entries: str, top: str = "<IsTruncated>false</IsTruncated>", namespace: str = NAMESPACE) -> bytes:
    contents = "".join(f"<Contents>{entry}</Contents>" for entry in entries)
    return f'<?xml version="1.0" encoding="UTF-8"?>\n<ListBucketResult{namespace}>{contents}{top}</ListBucketResult>'.encode()


@pytest.mark.parametrize(
    "entry",
    [
        KEY + DATE + ETAG + SIZE + CLASS,
        CLASS + SIZE + ETAG + DATE + KEY,
        f"\n  {KEY}\n  {SIZE}\n  {ETAG}\n  {DATE}\n  {CLASS}\n",
        KEY.replace("&amp;", "&#38;") + DATE + ETAG + SIZE + CLASS,
        "<Key><![CDATA[a b/ü&<.txt]]></Key>" + DATE + ETAG + SIZE + CLASS,
        KEY + DATE.replace(".000Z", "Z") + ETAG.replace("&quot;", "") + SIZE + CLASS,
        KEY + DATE.replace(".000Z", ".999999999Z") + ETAG.replace("&quot;", '"') + SIZE + CLASS,
        KEY + DATE.replace("00:00:00.000Z", "01:00:00+01:00") + ETAG + SIZE + CLASS,
        KEY + "<LastModified>Sun, 01 Feb 2026 00:00:00 GMT</LastModified>" + ETAG + SIZE + CLASS,
        KEY + DATE + ETAG + SIZE + CLASS + "<Owner><ID>x</ID><Key>trap</Key></Owner><New/><Type>Normal</Type>",
        "<Owner><ID>x</ID><DisplayName/></Owner><Type>Normal</Type>" + KEY + DATE + ETAG + SIZE + CLASS,
        "<New><Deep><Size>1</Size><Key>trap</Key></Deep></New>" + KEY + DATE + ETAG + SIZE + CLASS,
        "<!-- <Key>trap</Key> -->" + KEY + DATE + ETAG.replace("&quot;", "&#34;") + SIZE + CLASS,
        "<Key x='1'>a b/ü&amp;&lt;.txt</Key>" + DATE + ETAG + SIZE + CLASS,
    ],
)
@pytest.mark.parametrize("namespace", [NAMESPACE, ""])
@pytest.mark.parametrize("key", ["a b/ü&<.txt", "plain"])
def test_an_entry_of_any_form(entry: str, namespace: str, key: str) -> None:
    """A plain key lets the quick way read what has nothing else unusual."""
    if key == "plain":
        entry = entry.replace("a b/ü&amp;&lt;.txt", key).replace("a b/ü&#38;&lt;.txt", key).replace("a b/ü&<.txt", key)
    page = read_page(document(entry, entry, namespace=namespace))
    assert page.is_last
    assert [(item.key, *_rest(item)) for item in page.items] == [(key, *_rest(EXPECTED))] * 2


def _rest(item: ObjectMeta) -> tuple[object, ...]:
    return item.size_bytes, item.etag, item.last_modified_s, item.storage_class, item.is_restored


def test_prefixed_names() -> None:
    body = document(KEY + DATE + ETAG + SIZE + CLASS, namespace="").decode()
    prefixed = body.replace("</", "</s:").replace("<L", "<s:L").replace("<C", "<s:C").replace("<K", "<s:K")
    prefixed = prefixed.replace("<E", "<s:E").replace("<S", "<s:S").replace("<I", "<s:I")
    page = read_page(prefixed.replace("<s:ListBucketResult", f"<s:ListBucketResult xmlns:s{NAMESPACE[6:]}", 1).encode())
    assert page.items == [EXPECTED]


def test_no_storage_class_and_no_etag() -> None:
    page = read_page(document(KEY + DATE + SIZE + "<StorageClass/><ETag></ETag>"))
    assert (page.items[0].storage_class, page.items[0].etag) == ("STANDARD", "")


@pytest.mark.parametrize("wanted", ["Key", "LastModified", "Size"])
def test_what_every_object_has_is_missed_by_name(wanted: str) -> None:
    entry = "".join(part for part in (KEY, DATE, ETAG, SIZE) if not part.startswith(f"<{wanted}>"))
    with pytest.raises(EntryIncomplete, match=wanted):
        read_page(document(entry))


@pytest.mark.parametrize(
    ("restore", "is_restored"),
    [
        ("<IsRestoreInProgress>false</IsRestoreInProgress><RestoreExpiryDate>2026-03-01</RestoreExpiryDate>", True),
        ("<IsRestoreInProgress>true</IsRestoreInProgress>", False),
        ("<IsRestoreInProgress>false</IsRestoreInProgress>", False),
        ("", False),
    ],
)
def test_a_restored_archive(restore: str, is_restored: bool) -> None:
    page = read_page(document(KEY + DATE + ETAG + SIZE + f"<RestoreStatus>{restore}</RestoreStatus>"))
    assert page.items[0].is_restored is is_restored


def test_the_top_of_a_page_wherever_it_stands() -> None:
    top = "<NextContinuationToken>a&amp;b</NextContinuationToken><EncodingType>url</EncodingType><IsTruncated>true</IsTruncated>"
    entry = "<Key>a+b%2B%0A%C3%BC</Key>" + DATE + ETAG + SIZE
    page = read_page(document(entry, top=top))
    assert (page.token, page.is_last, page.items[0].key) == ("a&b", False, "a b+\nü")
    page = read_page(document(entry))
    assert page.items[0].key == "a+b%2B%0A%C3%BC", "nobody said that it is encoded"


TOKEN = "<NextContinuationToken>t</NextContinuationToken>"
TRUE, FALSE = "<IsTruncated>true</IsTruncated>", "<IsTruncated>false</IsTruncated>"


@pytest.mark.parametrize(
    ("top", "is_last"),
    [
        (TRUE + TOKEN, False),
        (FALSE, True),
        (FALSE + "<NextContinuationToken/>", True),
        (TOKEN, False),
        ("<IsTruncated> true </IsTruncated>" + TOKEN, False),
        (FALSE + "<KeyCount>1</KeyCount><MaxKeys>1000</MaxKeys><StartAfter>x</StartAfter><New/>", True),
        (FALSE + "<KeyCount/>", True),
        (FALSE + "<ContinuationToken>of the request</ContinuationToken>", True),
        (FALSE + FALSE, True),
    ],
)
def test_what_a_page_says_of_itself(top: str, is_last: bool) -> None:
    page = read_page(document(KEY + DATE + ETAG + SIZE, top=top))
    assert (page.is_last, bool(page.token)) == (is_last, not is_last)


@pytest.mark.parametrize(
    "entry", [KEY.replace("&amp;&lt;", "") + DATE + ETAG + SIZE, "<!-- -->" + KEY + DATE + ETAG + SIZE]
)
@pytest.mark.parametrize(
    ("top", "said"),
    [
        (FALSE + TOKEN, "IsTruncated is false, but there is a NextContinuationToken"),
        (TRUE, "no NextContinuationToken"),
        (TRUE + "<NextContinuationToken></NextContinuationToken>", "no NextContinuationToken"),
        ("", "no IsTruncated"),
        ("<IsTruncated/>", "no IsTruncated"),
        ("<IsTruncated>True</IsTruncated>" + TOKEN, "'True', which is neither true nor false"),
        ("<IsTruncated>0</IsTruncated>", "'0', which is neither true nor false"),
        (TRUE + FALSE + TOKEN, "IsTruncated twice"),
        (FALSE + "<KeyCount>2</KeyCount>", "KeyCount is '2', but it has 1 keys"),
        (FALSE + "<KeyCount>0</KeyCount>", "KeyCount is '0', but it has 1 keys"),
        (TRUE + TOKEN + "<KeyCount>many</KeyCount>", "KeyCount is 'many'"),
        (FALSE + "<CommonPrefixes><Prefix>a/</Prefix></CommonPrefixes>", "CommonPrefixes"),
    ],
)
def test_a_page_that_contradicts_itself_is_refused(top: str, said: str, entry: str) -> None:
    """Whatever would end a listing too early, so that what is behind it would seem to be gone from the source."""
    with pytest.raises(PageContradictory, match=said):
        read_page(document(entry, top=top))
    with Answers((200, document(entry, top=top))) as server, pytest.raises(EndpointRejected, match="s3://b"):
        listed(server)


@pytest.mark.parametrize("keys", [["a/1", "b"], ["A", "a/1"], ["a"]])
def test_keys_of_another_prefix_are_refused(keys: list[str]) -> None:
    """A page of another request, out of some cache."""
    entries = [f"<Key>{key}</Key>" + DATE + ETAG + SIZE for key in keys]
    with (
        Answers((200, document(*entries))) as server,
        pytest.raises(EndpointRejected, match="not under the prefix 'a/'"),
    ):
        pages = S3Pages(server.client, "b", "a/")
        pages.read(pages.ask())


def test_what_is_a_whole_listing() -> None:
    body = document(KEY + DATE + ETAG + SIZE)
    assert is_whole(body) and is_whole(body + b"\n<!-- -->") and is_whole(body[:-1] + b"\n>")
    assert not any(is_whole(body[:end]) for end in range(len(body)))
    assert not is_whole(b"<Error><Code>SlowDown</Code></Error>")


moments = st.datetimes(datetime(1970, 1, 2), datetime(2100, 1, 1))
entries = st.lists(
    st.tuples(
        st.text(st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="\ufffe\uffff"), min_size=1), moments
    ),
    min_size=1,
    max_size=4,
)


@settings(max_examples=100, deadline=None)
@given(entries, st.permutations(range(5)), st.booleans())
def test_both_ways_read_the_same(these: list[tuple[str, datetime]], order: list[int], has_comment: bool) -> None:
    from xml.sax.saxutils import escape

    written = []
    for key, moment in these:
        parts = [
            f"<Key>{escape(key)}</Key>",
            f"<LastModified>{moment:%Y-%m-%dT%H:%M:%S.000Z}</LastModified>",
            ETAG,
            SIZE,
        ]
        written.append("".join([*parts, CLASS][place] for place in order) + ("<!-- -->" if has_comment else ""))
    page = read_page(document(*written))
    expected = [(key, int(moment.replace(tzinfo=UTC).timestamp())) for key, moment in these]
    assert [(item.key, item.last_modified_s) for item in page.items] == expected
    assert all((item.etag, item.size_bytes, item.storage_class) == ("5d41-2", 17, "STANDARD_IA") for item in page.items)


class Answers:
    """A server that gives these answers in turn, and then the last one for ever."""

    def __init__(self, *answers: tuple[int, bytes]) -> None:
        self._answers = list(answers)
        self.asked = 0
        self._http = HttpServer(self._handle, name="answers")

    def _handle(self, exchange: Exchange) -> None:
        status, body = self._answers[min(self.asked, len(self._answers) - 1)]
        self.asked += 1
        exchange.send(status, [("Content-Type", "application/xml")], body)

    def __enter__(self) -> Answers:
        self._http.start()
        config = Config(retries={"mode": "standard", "total_max_attempts": 3}, s3={"addressing_style": "path"})
        self.client = boto3.client(
            "s3",
            endpoint_url=self._http.url,
            aws_access_key_id="any",
            aws_secret_access_key="any",
            region_name="us-east-1",
            config=config,
        )
        return self

    def __exit__(self, *_: object) -> None:
        self._http.stop()


def listed(server: Answers) -> list[ObjectMeta]:
    pages = S3Pages(server.client, "b", "")
    return pages.read(pages.ask()).items


GOOD = document(KEY + DATE + ETAG + SIZE + CLASS)


@pytest.mark.parametrize(
    "trouble",
    [
        (503, b"<Error><Code>SlowDown</Code></Error>"),
        (200, b"<Error><Code>InternalError</Code><Message>We encountered an internal error.</Message></Error>"),
        (200, GOOD[:-25]),
    ],
    ids=["slow-down", "an-error-with-200", "half-an-answer"],
)
def test_botocore_goes_on_retrying(monkeypatch, trouble: tuple[int, bytes]) -> None:
    monkeypatch.setattr("botocore.retries.standard.ExponentialBackoff.delay_amount", lambda *_: 0)
    with Answers(trouble, trouble, (200, GOOD)) as server:
        assert listed(server) == [EXPECTED]
        assert server.asked == 3
    with Answers(trouble) as server, pytest.raises(SourceUnavailable):
        listed(server)


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        ((404, b"<Error><Code>NoSuchBucket</Code></Error>"), BucketMissing),
        ((200, b"<html><body>It works!</body></html>"), EndpointRejected),
        ((200, document("<Key>a</Key>")), EndpointRejected),
        ((200, document("<Key>a</Ke>")), EndpointRejected),
        ((204, b""), EndpointRejected),
    ],
    ids=["no-bucket", "a-web-server", "no-entry", "no-xml", "nothing"],
)
def test_what_is_not_a_listing_is_refused(answer: tuple[int, bytes], error: type[Exception]) -> None:
    with Answers(answer) as server, pytest.raises(error, match="s3://b"):
        listed(server)


def test_botocore_has_nothing_left_to_parse() -> None:
    """Its own handlers of this event come later: one of them would parse the whole answer."""
    bodies = []
    with Answers((200, GOOD)) as server:
        pages = S3Pages(server.client, "b", "")
        server.client.meta.events.register_first(
            "before-parse.s3.*", lambda response_dict, **_: bodies.append(response_dict["body"])
        )
        assert pages.read(pages.ask()).items == [EXPECTED]
    assert bodies == [b""]


def test_the_client_lists_for_others_as_ever() -> None:
    with Answers((200, GOOD)) as server:
        listed(server)
        assert server.client.list_objects_v2(Bucket="b")["Contents"][0]["Key"] == EXPECTED.key
