"""A worker takes no more of the work than its share while others may wait, whatever the queue would give it."""

from __future__ import annotations

from collections.abc import Sequence

from memory_queue import MemoryFailures, MemoryQueue
from memory_state import MemoryState
from transfer.accounting.pacing import Pacer
from transfer.config import TransferConfig
from transfer.model import ObjectMeta, TransferRequest
from transfer.ports import Delivery
from transfer.records.ledger import Ledger
from transfer.records.messages import encode_request
from transfer.worker.assignment import Assignment
from transfer.worker.intake import Intake
from transfer.worker.leases import LeaseKeeper
from transfer.worker.settlement import Settlement

MIB = 1024**2


class GreedyQueue(MemoryQueue):
    """Gives the first pull all that it asks for, as Pub/Sub may; what is given back is delivered again."""

    def __init__(self, requests: Sequence[TransferRequest]) -> None:
        super().__init__()
        self.waiting = [(f"{request.number}", request) for request in requests]
        self._delivered = dict(self.waiting)
        self.asked: list[int] = []

    def pull(self, max_messages: int, wait_s: float) -> Sequence[Delivery]:
        self.asked.append(max_messages)
        pulled, self.waiting = self.waiting[:max_messages], self.waiting[max_messages:]
        encoded = [(ack_id, *encode_request(request)) for ack_id, request in pulled]
        return [Delivery(ack_id=ack_id, body=body, attributes=attributes) for ack_id, body, attributes in encoded]

    def extend(self, ack_ids: Sequence[str], seconds: int) -> None:
        super().extend(ack_ids, seconds)
        if seconds == 0:
            self.waiting += [(ack_id, self._delivered[ack_id]) for ack_id in ack_ids]


def queue_of(*sizes_bytes: int) -> GreedyQueue:
    """A message for each size."""
    return GreedyQueue(
        [
            TransferRequest(
                run_id="run-1",
                listing="1",
                number=number,
                objects=(ObjectMeta(key=f"{number}", size_bytes=size_bytes, etag="e", last_modified_s=0),),
            )
            for number, size_bytes in enumerate(sizes_bytes)
        ]
    )


def worker_on(queue: GreedyQueue, *, workers: int, threads: int = 16) -> Intake:
    sizes_bytes = [request.size_bytes for _, request in queue.waiting]
    leases = LeaseKeeper(queue)
    ledger = Ledger(MemoryState(), listing="1", worker="w")
    return Intake(
        Assignment(
            run_id="run-1",
            listing="1",
            source_bucket="from",
            destination_bucket="to",
            messages=len(sizes_bytes),
            objects=len(sizes_bytes),
            size_bytes=sum(sizes_bytes),
        ),
        queue=queue,
        leases=leases,
        settlement=Settlement(queue, MemoryFailures(), ledger, leases),
        in_flight=None,
        pacer=Pacer(TransferConfig(threads=threads)),
        workers=workers,
        on_failed=lambda outcome: None,
    )


def taken(intake: Intake) -> list[int]:
    works = iter(intake.take, None)
    return [work.request.number for work in works if work]


def test_few_large_objects_are_shared() -> None:
    queue = queue_of(*[120 * MIB] * 5)
    first, second = worker_on(queue, workers=2), worker_on(queue, workers=2)
    first.pull(0)
    second.pull(0)
    assert (taken(first), taken(second)) == ([0, 1, 2], [3, 4])


def test_large_objects_among_small_ones_are_left_to_the_others() -> None:
    """Their sizes are known only when they have been pulled; the next pull expects more of them."""
    queue = queue_of(*[900 * MIB] * 6, *[MIB] * 100)
    first, second = worker_on(queue, workers=4), worker_on(queue, workers=4)
    first.pull(0)
    assert taken(first) == [0, 1]
    assert queue.extended == [(tuple(sorted(map(str, range(2, queue.asked[0])))), 0)]
    queue.waiting.sort(key=lambda waiting: waiting[1].number)
    second.pull(0)
    assert taken(second) == [2, 3]


def test_the_only_worker_takes_all() -> None:
    queue = queue_of(*[120 * MIB] * 5)
    alone = worker_on(queue, workers=1)
    alone.pull(0)
    assert taken(alone) == [0, 1, 2, 3, 4]
    assert queue.extended == []


def test_the_only_worker_has_the_next_object_at_hand_while_it_copies_a_large_one() -> None:
    alone = worker_on(queue_of(*[900 * MIB] * 3), workers=1, threads=1)
    alone.pull(0)
    works = [alone.take(), alone.take()]
    assert works[0] is not None
    alone.done(works[0])
    alone.pull(0)
    assert taken(alone) == [2]


def test_what_others_do_not_take_is_taken_in_the_end() -> None:
    """The others may have been killed."""
    queue = queue_of(*[120 * MIB] * 5)
    survivor = worker_on(queue, workers=5)
    numbers = []
    for _ in range(5):
        survivor.pull(0)
        while work := survivor.take():
            numbers.append(work.request.number)
            survivor.done(work)
    assert numbers == [0, 1, 2, 3, 4]


def test_many_small_objects_are_pulled_as_many_at_a_time_as_ever() -> None:
    queue = queue_of(*[100_000] * 10_000)
    worker = worker_on(queue, workers=4)
    worker.pull(0)
    assert queue.asked == [2 * TransferConfig().threads]
    assert queue.extended == []


def test_every_lane_has_an_object_that_no_other_lane_helps_with() -> None:
    """Objects below 64 MiB are copied by one lane each."""
    queue = queue_of(*[63 * MIB] * 2000)
    worker = worker_on(queue, workers=2, threads=256)
    worker.pull(0)
    assert len(taken(worker)) == 261
    assert queue.extended == []


def test_objects_without_a_byte_are_taken() -> None:
    queue = queue_of(*[0] * 100)
    worker = worker_on(queue, workers=4)
    worker.pull(0)
    assert len(taken(worker)) == 32
