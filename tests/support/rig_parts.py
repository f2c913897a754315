"""The parts of one run on running servers, assembled as the hooks assemble them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from google.auth.credentials import AnonymousCredentials

from hooks.assembly import Destination, Edge, GcsEndpoint
from rig_servers import DESTINATION, PROJECT, RigServers
from rig_servers import fault as fault
from transfer.accounting.pacing import Pacer
from transfer.accounting.progress import Progress
from transfer.backends.cloudfront.signing import PublicUrls, UrlAuthorizer
from transfer.backends.gcs.client import GcsClient
from transfer.backends.gcs.state import GcsListing, GcsState
from transfer.backends.gcs.token import GoogleToken
from transfer.backends.gcs.verification import Capabilities
from transfer.backends.pubsub.topics import (
    PubSubQueue,
    create_subscription,
    ensure_topic,
)
from transfer.config import RetryPolicy, Timeouts, TransferConfig
from transfer.copying.parts import PartsBoard
from transfer.copying.whole import ObjectCopier, WorkerContext
from transfer.listing.selection import Selection
from transfer.model import ObjectMeta, TransferOutcome
from transfer.naming import Naming
from transfer.records.layout import STATE_PREFIX
from transfer.retry import Retrier
from transfer.steps import Pause, Step
from transfer.stopping import StopRequest

TOPIC = f"projects/{PROJECT}/topics/requests"
ERROR_TOPIC = f"projects/{PROJECT}/topics/failures"


@dataclass
class RigParts(RigServers):
    """One run: its names and settings, and the engine's parts as they are set now."""

    run_id: str = "run-1"
    opening: str = ""
    """Which opening of the run its workers belong to; none for a run that nobody closes."""
    authorizer: UrlAuthorizer = field(default_factory=PublicUrls)
    config: TransferConfig = field(
        default_factory=lambda: TransferConfig(
            threads=4,
            part_size_bytes=6 * 1024 * 1024,
            timeouts=Timeouts(connect_s=2, stall_s=2),
            retry=RetryPolicy(attempts=5, base_s=0.01, cap_s=0.1, total_s=20),
        )
    )
    naming: Naming = field(
        default_factory=lambda: Naming(source_prefix="", destination_prefix="", state_prefix=STATE_PREFIX)
    )
    stop: StopRequest = field(default_factory=StopRequest)
    capabilities: Capabilities = field(default_factory=Capabilities)
    selection: Selection | None = None
    listed: int = 0
    """How many objects the last listing found."""
    user_project: str = ""
    token: GoogleToken = field(default_factory=lambda: GoogleToken(AnonymousCredentials()))
    progress: Progress = field(default_factory=Progress)
    """Of the last `copy`."""

    @property
    def subscription(self) -> str:
        return f"projects/{PROJECT}/subscriptions/{self.run_id}"

    @property
    def error_subscription(self) -> str:
        return f"{self.subscription}-errors"

    @property
    def state_prefix(self) -> str:
        """Where this run's records are."""
        return f"{STATE_PREFIX}{self.run_id}/"

    @property
    def name_filter(self) -> Callable[[str], bool] | None:
        return self.selection.name_filter if self.selection else None

    def open(self, *, ack_deadline_s: int = 10) -> None:
        """Topics and this run's subscriptions."""
        for topic, subscription in ((TOPIC, self.subscription), (ERROR_TOPIC, self.error_subscription)):
            ensure_topic(self.publisher, topic)
            create_subscription(
                self.subscriber, subscription, topic=topic, run_id=self.run_id, ack_deadline_s=ack_deadline_s
            )

    @property
    def destination(self) -> Destination:
        """The destination bucket, as the rig is set now."""
        return Destination(
            endpoint=GcsEndpoint(base_url=self.gcs.url, token=self.token, user_project=self.user_project),
            bucket=DESTINATION,
            config=self.config,
            stop=self.stop,
            capabilities=self.capabilities,
        )

    def gcs_client(self) -> GcsClient:
        return self.destination.client()

    def queue(self, subscription: str, *, ack_deadline_s: int = 10) -> PubSubQueue:
        return PubSubQueue(self.subscriber, subscription, ack_deadline_s=ack_deadline_s, stop=self.stop)

    def retrier(self) -> Retrier:
        return self.destination.retrier()

    def state(self) -> GcsState:
        return self.destination.state(self.state_prefix)

    def destination_listing(self) -> GcsListing:
        return self.destination.listing()

    @property
    def _edge(self) -> Edge:
        return Edge(base_url=self.edge.url, authorizer=self.authorizer)

    def copier(self, share: WorkerContext) -> ObjectCopier:
        return self.destination.copier(
            self._edge, share, naming=self.naming, state_prefix=self.state_prefix, opening=self.opening
        )

    def copy(self, item: ObjectMeta, *, lanes: int = 1) -> TransferOutcome:
        """One object, alone; further lanes lend a hand."""
        self.progress = Progress()
        share = WorkerContext(progress=self.progress, pacer=Pacer(self.config), board=PartsBoard())
        outcomes: list[TransferOutcome] = []

        def copy() -> Step[None]:
            outcomes.append((yield from self.copier(share).copy(item)))

        def help_out() -> Step[None]:
            copier = self.copier(share)
            while not outcomes:
                if not (yield from copier.help()):
                    yield Pause(0.01)

        self.destination.loop().run([copy(), *(help_out() for _ in range(lanes - 1))])
        return outcomes[0]
