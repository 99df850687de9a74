"""Who sends a request of the HTTP API: its write key, its browser, what it shows, and the time."""

from dataclasses import dataclass, field

from audience.context.place import NO_PLACES, Places
from audience.context.reading import NOTHING_LISTED, NOTHING_SEEN, Keeping, Seen
from audience.identity import Key
from audience.instants import Instant
from audience.models import Event
from pixels.messages.times import DAY, PUBLIC_KEY_DAYS


@dataclass(frozen=True, slots=True)
class KnownWriteKey:
    """A write key as the door needs it: a public one stands in pages, a server key speaks for anybody."""

    id: int
    advertiser_id: int
    is_server: bool = False
    are_origins_enforced: bool = False


@dataclass(slots=True)
class Sender:
    """A request's key and what comes with it. `browser` is that of its own cookie or of its signed SDK id."""

    key: KnownWriteKey
    received_at: Instant
    browser: Key | None = None
    secrets: tuple[str, ...] = field(default=(), repr=False)  # those with which the advertiser proves its users
    seen: Seen = field(default=NOTHING_SEEN, repr=False)
    keeping: Keeping = NOTHING_LISTED
    phone_country: str = ""  # of numbers without a country code
    places: Places = field(default=NO_PLACES, repr=False)
    retention: int = Event.partitioning.keep_days * DAY  # how long events are kept, in microseconds

    @property
    def oldest(self) -> Instant:
        """The earliest instant at which a message may have happened."""
        return self.received_at - (self.retention if self.key.is_server else PUBLIC_KEY_DAYS * DAY)
