"""An unexpected error of one object ends as that object's failure, and never ends the worker."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from engine_rig import EngineRig, engine_rig
from transfer.copying import containment
from transfer.copying.containment import as_object_error, failure_of
from transfer.copying.metadata import resource_of
from transfer.errors import SourceNotFound, Stage
from transfer.model import ObjectMeta


@pytest.fixture
def rig(tmp_path, monkeypatch) -> Iterator[EngineRig]:
    monkeypatch.setattr("transfer.worker.drain.PULL_WAIT_S", 0.3)
    with engine_rig(tmp_path, monkeypatch.setenv) as made:
        yield made


def fail_for(monkeypatch, target: str, part: str, error: Exception) -> None:
    """Let a function of the engine raise an error for objects whose keys contain `part`."""
    module, _, name = target.rpartition(".")
    real = getattr(__import__(module, fromlist=[name]), name)

    def faulty(item, *arguments):
        if part in item.key:
            raise error
        return real(item, *arguments)

    monkeypatch.setattr(target, faulty)


def test_mail_headers_as_metadata_are_copied(rig: EngineRig) -> None:
    """Encoded words in an unknown character set, and damaged ones, as in mail archives."""
    odd = ["=?x-unknown?Q?abc?=", "=?utf-8?B?not base64?=", "=?utf-8?Q?=ff=fe?=", "=?", "=?utf-8?Q?a=0d=0ab?="]
    for index in range(40):
        rig.put(f"{index:02d}", Metadata={"subject": odd[index % len(odd)]} if index % 4 == 0 else {})
    stats, report = rig.copy_all()
    assert (stats.copied, report.is_green) == (40, True)


@pytest.mark.parametrize(
    "error", [LookupError("unknown encoding: x-unknown"), RecursionError(), KeyError("x"), OSError(24)]
)
def test_an_unexpected_error_fails_that_object_only(rig: EngineRig, monkeypatch, caplog, error: Exception) -> None:
    for index in range(30):
        rig.put(f"{index:02d}{'-odd' if index % 3 == 0 else ''}")
    fail_for(monkeypatch, "transfer.copying.one_request.resource_of", "-odd", error)
    stats, report = rig.copy_all()
    assert (stats.copied, stats.failed) == (20, 10)
    (reason,) = report.unfinished_reasons
    assert (reason.reason, reason.count, report.missing) == ("UnexpectedError", 10, 0)
    assert type(error).__name__ in reason.message
    assert sum("unexpected error" in line for line in caplog.messages) == 1, (
        "the traceback is logged once, not for each object"
    )


def test_an_unexpected_error_is_of_the_side_where_it_was_raised(caplog) -> None:
    item = ObjectMeta(key="k", size_bytes=1, etag="e", last_modified_s=0)
    with pytest.raises(AttributeError) as caught:
        resource_of(item, None)  # type: ignore[arg-type]
    assert as_object_error(caught.value).stage is Stage.DOWNLOAD
    assert as_object_error(ValueError("raised by none of them")).stage is Stage.UPLOAD


def test_an_error_of_the_engine_is_kept(caplog) -> None:
    error = SourceNotFound("gone", stage=Stage.DOWNLOAD, http_status=404)
    assert as_object_error(error) is error
    assert caplog.messages == []
    failure = failure_of(error, key="k", attempts=3)
    assert (failure.key, failure.error_code, failure.http_status, failure.attempts) == ("k", "SourceNotFound", 404, 3)


def test_the_files_that_read_the_source_exist() -> None:
    """They are listed by name, so that a file that is renamed has to be renamed in the list."""
    root = Path(containment.__file__).parent
    for name in containment.READING_FILES:
        folder, _, file = name.partition("/")
        assert (root.parent / folder / file).is_file() or (root.parent / "backends" / folder / file).is_file(), name
