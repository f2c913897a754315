"""Whether the run may publish and subscribe to a topic: asked as permissions, since a published message would stay."""

from __future__ import annotations

from transfer.errors import TransferError
from transfer.preflight.findings import Finding, Mark, failed, passed
from transfer.preflight.probes import TopicProbe

PERMISSIONS = ("pubsub.topics.publish", "pubsub.topics.attachSubscription")


def topic_finding(topic: TopicProbe) -> Finding:
    """Whether the permissions on a topic are granted; one that does not exist yet is created by the run."""
    check = f"publish and subscribe to {topic.topic}"
    try:
        granted = topic.granted(PERMISSIONS)
        if granted is not None and set(PERMISSIONS) <= set(granted):
            return passed(check)
        exists = topic.exists()
    except TransferError as error:
        return failed(check, error)
    if exists is False:
        detail = "not there yet: open_run creates it, with pubsub.topics.create"
        return Finding(mark=Mark.NOT_MADE, check=check, detail=detail)
    if granted is None:
        detail = "this server does not report permissions; the topic exists"
        return Finding(mark=Mark.NOT_MADE, check=check, detail=detail)
    missing = " and ".join(name for name in PERMISSIONS if name not in granted)
    doubt = "" if exists else ", if it exists at all"
    detail = f"grant {missing} on it to the account of connection {topic.conn_id!r}{doubt}"
    return Finding(mark=Mark.FAILED, check=check, detail=detail)
