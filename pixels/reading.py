"""What a request line says, read against the catalogue: whose fire it is, by which pixel, and what it asks for.

The same line comes from every browser that shows the tag, so what it says is read once and remembered.
"""

import string
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from audience.instants import Instant
from pixels import conversions, parsing
from pixels.actions import Decided, decide, refuse_all
from pixels.catalogue import KnownAdvertiser, KnownPixel, Picture
from pixels.facts import Conversion
from pixels.parsing import Item
from pixels.reasons import Note, Reason
from pixels.redirects import Target, read_target
from pixels.sync import MAPUID, SYNC_PARAMETERS, Sync, read_sync

PX = "/px"
CALLS = frozenset({"/seg", PX})
# What may stand in the tag of a pixel, and the pixel's own row decides.
DECIDED_BY_PIXEL = ("add", "remove", "add_code", "remove_code", "seg", "seg_code", "member")
LONGEST_EVENT_ID = 64
_EVENT_ID_SIGNS = string.ascii_letters + string.digits + "._-"
# One tag stands on a few hosts; what claims to come from more is decided anew each time.
REMEMBERED_HOSTS = 16


class Drop(NamedTuple):
    """The step of the line that drops every fire of a tag, by its place in the order of checks."""

    position: int
    reason: Reason


@dataclass(slots=True)
class Reading:
    """One request line. `pixel_key` is the pixel's key, its number for `/px`, None for `/seg` and the user sync.

    `conversion` is without its context, which each request brings. `is_lasting` is False where the same line may soon
    mean less, or is one browser's own.
    """

    pixel_key: str | None
    query: str
    picture: Picture = field(repr=False)
    values: dict[str, str] = field(default_factory=dict)
    fault: Reason | None = None
    items: Sequence[Item] = ()
    owner: KnownAdvertiser | None = None
    pixel: KnownPixel | None = None
    conversion: Conversion | None = None
    notes: tuple[Note, ...] = ()
    drop: Drop | None = None
    redirect: Target | None = None
    # What `/setuid` and `/mapuid` say; None for other fires.
    sync: Sync | None = None
    is_lasting: bool = True
    _decided: dict[tuple[Reason | None, str], Decided] = field(default_factory=dict, repr=False)

    def decided(self, reason: Reason | None, host: str) -> Decided:
        """Return what is done by a fire from a page of this host; with a reason, what is not."""
        if self.owner is None:
            return NOTHING
        known = self._decided.get((reason, host))
        if known is None:
            if reason is None:
                known = decide(self.items, self.owner, self.picture, host)
            else:
                known = refuse_all(self.items, self.owner, self.picture, reason)
            if len(self._decided) < REMEMBERED_HOSTS:
                self._decided[reason, host] = known
        return known

    def event_id(self) -> str | None:
        eid = self.values.get("eid")
        return eid if eid is not None and is_event_id(eid) else None


NOTHING = Decided()


def is_event_id(text: str) -> bool:
    return len(text) <= LONGEST_EVENT_ID and not text.strip(_EVENT_ID_SIGNS)


def read_line(path: str, query: str, picture: Picture, host_owner: KnownAdvertiser | None, at: Instant) -> Reading:
    """Read a line. On a first-party host (`host_owner`) another advertiser's rows do not exist."""
    reading = Reading(None, query, picture)
    known = parsing.PX_PARAMETERS if path == PX else SYNC_PARAMETERS.get(path, parsing.KNOWN_PARAMETERS)
    reading.values, reading.fault = parsing.read(query, known)
    if path == PX:
        _find_by_number(reading, host_owner)
    elif path.startswith("/p/"):
        find_by_key(reading, path[len("/p/") : path.rindex(".")], host_owner, at)
    else:
        reading.items = parsing.read_items(reading.values, "seg" if path == MAPUID else "add")
        _find_by_parameters(reading, host_owner, at)
    if path in SYNC_PARAMETERS:
        reading.sync = read_sync(path, reading.values, reading.owner)
        reading.is_lasting = False  # each browser has a line of its own, and would push the tags out
    eid = reading.values.get("eid")
    if eid is not None and not is_event_id(eid):
        _ignore_parameter(reading)
    if "redir" in reading.values and reading.owner is not None:
        reading.redirect = read_target(reading.values["redir"], reading.owner.redirect_hosts)
        if reading.redirect is None:
            reading.notes += (Note.REDIRECT_NOT_ALLOWED,)
    return reading


def _find_by_parameters(reading: Reading, host_owner: KnownAdvertiser | None, at: Instant) -> None:
    """The tag says what is done; the fire is filed under the pixel it was exported from."""
    values = reading.values
    owner = reading.owner = _owner_of_parameters(reading, host_owner)
    if owner is None:
        return
    exported_from = _pixel(reading, values.get("pid", ""), at)
    is_own = exported_from is not None and exported_from.advertiser_id == owner.id
    reading.pixel = exported_from if is_own else owner.direct_pixel


def _owner_of_parameters(reading: Reading, host_owner: KnownAdvertiser | None) -> KnownAdvertiser | None:
    """`member`; without it the owner of the first known number; else whose host it is."""
    picture, member = reading.picture, reading.values.get("member")
    if member:
        owner = picture.advertisers.get(parsing.read_number(member) or 0)
        return owner if host_owner in (None, owner) else None
    for item in reading.items:
        segment = None if item.is_code else picture.segments.get(parsing.read_number(item.name) or 0)
        if segment is not None and (host_owner is None or segment.advertiser_id == host_owner.id):
            return picture.advertisers.get(segment.advertiser_id)
    return host_owner


def _find_by_number(reading: Reading, host_owner: KnownAdvertiser | None) -> None:
    """`/px`: the pixel's row names the event, the tag says what else is done."""
    values = reading.values
    reading.pixel_key = values.get("id", "")
    reading.items = parsing.read_items({**values, "value": ""}, "seg")
    pixel = reading.picture.pixels_by_number.get(parsing.read_number(reading.pixel_key) or 0)
    member = values.get("member")
    if pixel is None or (member and parsing.read_number(member) != pixel.advertiser_id):
        return
    if _take_pixel(reading, pixel, host_owner):
        _read_conversion(reading, pixel.event_name or conversions.DEFAULT_NAME)


def find_by_key(reading: Reading, key: str, host_owner: KnownAdvertiser | None, at: Instant) -> None:
    """`/p/<key>`: the pixel's row says what is done."""
    reading.pixel_key = key
    pixel = _pixel(reading, key, at)
    if pixel is not None and _take_pixel(reading, pixel, host_owner):
        reading.items = _items_of_pixel(pixel, reading)
        if pixel.event_name:
            _read_conversion(reading, pixel.event_name)


def _take_pixel(reading: Reading, pixel: KnownPixel, host_owner: KnownAdvertiser | None) -> bool:
    """Let a fire be this pixel's; not at a host of another advertiser, where it does not exist."""
    if host_owner is not None and pixel.advertiser_id != host_owner.id:
        return False
    reading.pixel = pixel
    reading.owner = reading.picture.advertisers.get(pixel.advertiser_id)
    return True


def _read_conversion(reading: Reading, name: str) -> None:
    reading.conversion, notes = conversions.read(name, reading.values)
    reading.notes += notes


def _pixel(reading: Reading, key: str, at: Instant) -> KnownPixel | None:
    reading.is_lasting = key not in reading.picture.renewed
    return reading.picture.pixel(key, at)


def _items_of_pixel(pixel: KnownPixel, reading: Reading) -> Sequence[Item]:
    values = reading.values
    value, lifetime = values.get("value", ""), values.get("keep", "")
    is_of_event = pixel.event_name != ""
    is_refused = (value and not pixel.takes_value and not is_of_event) or (lifetime and not pixel.takes_lifetime)
    if is_refused or not values.keys().isdisjoint(DECIDED_BY_PIXEL):
        _ignore_parameter(reading)
    value, lifetime = value if pixel.takes_value else "", lifetime if pixel.takes_lifetime else ""
    if not value and not lifetime:
        return pixel.items
    return [
        item._replace(value=value or item.value, lifetime=lifetime or item.lifetime) if item.do == "add" else item
        for item in pixel.items
    ]


def _ignore_parameter(reading: Reading) -> None:
    if Note.PARAMETER_IGNORED not in reading.notes:
        reading.notes += (Note.PARAMETER_IGNORED,)
