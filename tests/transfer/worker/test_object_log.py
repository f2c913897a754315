"""The task's log names the first failures, and says where the others are."""

from __future__ import annotations

from refused_objects import refused
from transfer.event_log import NoEventLog
from transfer.worker.object_log import MAX_LOGGED_FAILURES, ObjectLog


def test_the_first_failures_are_named_and_then_the_log_says_where_the_others_are(caplog) -> None:
    log = ObjectLog(NoEventLog(), source_bucket="s", destination_bucket="d")
    for number in range(MAX_LOGGED_FAILURES + 20):
        log.failed(refused(f"key-{number}").failure)
    assert len(caplog.messages) == MAX_LOGGED_FAILURES + 1
    assert caplog.messages[0] == "failed: 'key-0': SourceForbidden at download after 1 attempts: no"
    assert caplog.messages[-1] == "further failures are only counted here; see the report and the error topic"


def test_a_failed_message_has_no_key(caplog) -> None:
    ObjectLog(NoEventLog(), source_bucket="s", destination_bucket="d").failed(refused("").failure)
    assert caplog.messages[0].startswith("failed: '(no object)'")
