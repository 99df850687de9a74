"""A message on its way through a batch, and how it ended."""

from dataclasses import dataclass
from typing import NamedTuple

from audience.instants import Instant
from audience.messages import Message
from pixels.messages.errors import MessageError
from pixels.reasons import Outcome, Reason


class Arrival(NamedTuple):
    """One message that has come, good or refused.

    `id`, 16 bytes, is that of this arrival: a message that is sent twice arrives twice, and is counted twice. A spool
    or a commit whose answer was lost brings the same arrival again, and then it counts once. `kind`, `event` and
    `page_host` are what the live view shows of it, as far as they could be read.
    """

    id: bytes
    received_at: Instant
    advertiser_id: int
    key_id: int
    message: Message | None
    error: MessageError | None = None
    kind: str = ""
    event: str = ""
    page_host: str = ""
    suppressed: Reason | None = None  # the visitor's no: nothing of the message is kept


@dataclass(slots=True)
class Kept:
    """An arrival that is committed, or waits in the spool; segments it made its profile join and leave, by id."""

    arrival: Arrival
    outcome: Outcome
    error: MessageError | None = None
    joined: tuple[int, ...] = ()
    left: tuple[int, ...] = ()

    @property
    def reason(self) -> Reason | MessageError | None:
        """Why it is refused or suppressed."""
        return self.error or self.arrival.suppressed
