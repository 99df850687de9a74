"""Messages of a browser that has opted out: each is counted as suppressed, and nothing of it is kept."""

from audience.ids import uuid7_bytes
from audience.instants import Instant, unix_milliseconds
from pixels.messages.arrivals import Arrival
from pixels.messages.reading import Look, Read
from pixels.messages.sender import KnownWriteKey
from pixels.reasons import Reason


def suppress(number: int, key: KnownWriteKey, at: Instant) -> tuple[list[Read], list[Arrival]]:
    """Return so many messages as they are answered and counted. None of them was read."""
    arrivals = [
        Arrival(uuid7_bytes(unix_milliseconds(at)), at, key.advertiser_id, key.id, None, suppressed=Reason.OPTED_OUT)
        for _ in range(number)
    ]
    return [Read("", Look())] * number, arrivals
