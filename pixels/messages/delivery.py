"""From a request of the HTTP API to its answer: wait for the commit of its messages, and read what it shows.

Each message is a fact of its own for the committer, so a large batch is spread over several transactions and one
message that the database refuses holds back no other.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

from audience.instants import moment
from pixels.answers import Answer
from pixels.facts import Fact
from pixels.messages.arrivals import Arrival, Kept
from pixels.messages.endpoint import Asked, MessageEndpoint, Posted
from pixels.messages.ownsegments import Reader
from pixels.reasons import Outcome

Submit = Callable[[Fact, Any], bool]


async def deliver(received: Posted | Asked, endpoint: MessageEndpoint, submit: Submit, reader: Reader) -> Answer:
    """Return the answer of what `endpoint` has received. `submit` hears of futures, one for each message."""
    if isinstance(received, Asked):
        return endpoint.own_segments(received, await reader.read(received.own, moment(received.at)))
    kept = await _commit(received.arrivals, submit)
    if kept is None:
        return endpoint.busy(received)
    is_pending = any(one.outcome is Outcome.PENDING for one in kept)
    if received.own is None or is_pending:
        return endpoint.reply(received, kept)
    now = moment(max(arrival.received_at for arrival in received.arrivals))
    return endpoint.reply(received, kept, await reader.read(received.own, now))


async def _commit(arrivals: Sequence[Arrival], submit: Submit) -> list[Kept] | None:
    """Return how the messages ended; None where one of them is not kept: its client sends all of them again."""
    loop = asyncio.get_running_loop()
    waiting: list[asyncio.Future[Kept | None]] = []
    for arrival in arrivals:
        future: asyncio.Future[Kept | None] = loop.create_future()
        if not submit(arrival, future):
            return None
        waiting.append(future)
    kept = [await one for one in waiting]
    good = [one for one in kept if one is not None]
    return good if len(good) == len(kept) else None
