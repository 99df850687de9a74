"""When a message's fact happened, by our clock and by what its sender says of its own (pixels.md 4.2)."""

from datetime import UTC, datetime

from audience.instants import HOUR, Instant, instant
from pixels.messages.errors import Bad, MessageError

PUBLIC_KEY_DAYS = 30
DAY = 24 * HOUR
_LONGEST = 40


def occurred_at(said: object, sent_at: object, received_at: Instant) -> Instant:
    """Return receipt - (`sentAt` - `timestamp`), so that a wrong clock of the sender does not matter.

    Without `sentAt` it is the timestamp, without a timestamp the receipt; never later than the receipt. Raises `Bad`.
    """
    sent = _read(sent_at)
    happened = _read(said)
    if happened is None:
        return received_at
    if sent is not None:
        happened = received_at - (sent - happened)
    return min(happened, received_at)


def _read(text: object) -> Instant | None:
    if text is None or text == "":
        return None
    if not isinstance(text, str) or len(text) > _LONGEST:
        raise Bad(MessageError.BAD_TIME)
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        raise Bad(MessageError.BAD_TIME) from None
    return instant(at if at.tzinfo else at.replace(tzinfo=UTC))
