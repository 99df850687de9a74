"""From a request of the HTTP API to its answer: wait for the commit of its messages, and read what it shows.

Each message is a fact of its own for the committer, so a large batch is spread over several transactions and one
message that the database refuses holds back no other.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from audience.instants import moment
from pixels.answers import Answer
from pixels.batch import Ended
from pixels.facts import Fact, Withdrawal
from pixels.messages import replies
from pixels.messages.arrivals import Kept
from pixels.messages.endpoint import Asked, MessageEndpoint, Posted, PostedFires
from pixels.messages.errors import RequestError
from pixels.messages.ownsegments import Reader
from pixels.optout.endpoint import BUSY, OptingOut
from pixels.reasons import Outcome

# What has to be committed or read before its answer.
Received = Posted | PostedFires | Asked | OptingOut
Submit = Callable[[Fact, Any], bool]


class One(NamedTuple):
    """A message that waits for its commit alone, and for nothing else: as a fire (`pixels.endpoint.Pending`) does."""

    posted: Posted
    endpoint: MessageEndpoint

    @property
    def fact(self) -> Fact:
        return self.posted.arrivals[0]

    def answer_of(self, stored: Ended) -> Answer:
        return self.endpoint.reply(self.posted, [stored] if isinstance(stored, Kept) else [])

    def refusal(self) -> Answer:
        return replies.refusal(RequestError.BUSY, self.posted.headers)


def alone(received: Received, endpoint: MessageEndpoint) -> One | None:
    """Return what has been received as one message whose answer shows nothing that has to be read; else None."""
    if not isinstance(received, Posted) or len(received.arrivals) != 1:
        return None
    return One(received, endpoint) if received.own is None and received.withdrawal is None else None


async def deliver(received: Received, endpoint: MessageEndpoint, submit: Submit, reader: Reader) -> Answer:
    """Return the answer of what has been received. `submit` hears of futures, one for each fact."""
    if isinstance(received, OptingOut):
        return BUSY if await commit([received.withdrawal], submit) is None else received.answer
    if isinstance(received, Asked):
        return endpoint.own_segments(received, await reader.read(received.own, moment(received.at)))
    if isinstance(received, PostedFires):
        ended = await commit([one.fact for one in received.sent], submit)
        if ended is None:
            return replies.refusal(RequestError.BUSY)
        return endpoint.reply_to_fires(received, [one for one in ended if not isinstance(one, Withdrawal)])
    no = [received.withdrawal] if received.withdrawal is not None else []
    ended = await commit([*received.arrivals, *no], submit)
    if ended is None:
        return replies.refusal(RequestError.BUSY, received.headers)
    kept = [one for one in ended if isinstance(one, Kept)]
    is_pending = any(one.outcome is Outcome.PENDING for one in kept)
    if received.own is None or is_pending:
        return endpoint.reply(received, kept)
    now = moment(max(arrival.received_at for arrival in received.arrivals))
    return endpoint.reply(received, kept, await reader.read(received.own, now))


async def commit(facts: Sequence[Fact], submit: Submit) -> list[Ended] | None:
    """Return how facts ended; None where one of them is not kept: its client sends all of them again."""
    loop = asyncio.get_running_loop()
    waiting: list[asyncio.Future[Ended | None]] = []
    for fact in facts:
        future: asyncio.Future[Ended | None] = loop.create_future()
        if not submit(fact, future):
            return None
        waiting.append(future)
    ended = [await one for one in waiting]
    good = [one for one in ended if one is not None]
    return good if len(good) == len(ended) else None
