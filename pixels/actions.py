"""What of a fire's actions is done (pixels.md 2.1 to 2.4): each passes the checks below or is refused alone."""

import json
from collections.abc import Callable, Sequence
from typing import NamedTuple

from audience.instants import MINUTE
from pixels.catalogue import KnownAdvertiser, KnownSegment, Picture
from pixels.facts import Refusal
from pixels.parsing import Do, Item, is_code, read_lifetime, read_number, read_value
from pixels.piggybacks import Followers, followers_of
from pixels.reasons import Note, Reason
from segments.membership import Change
from segments.models import Segment

# Of what a tag wrote, so much is shown to the marketer.
LONGEST_NAME = 50
LONGEST_SHOWN_VALUE = 20
MOST_SHOWN = 100


class Action:
    """One item on its way through the checks, which fill in what the change needs."""

    __slots__ = ("host", "is_server", "item", "lifetime", "notes", "segment", "value")

    def __init__(
        self, item: Item, segment: KnownSegment, host: str, notes: list[Note], *, is_server: bool = False
    ) -> None:
        self.item = item
        self.segment = segment
        self.host = host
        self.is_server = is_server
        self.notes = notes
        self.lifetime = 0
        self.value: int | None = None

    def note(self, note: Note) -> None:
        if note not in self.notes:
            self.notes.append(note)


def refuse_wrong_kind(action: Action) -> Reason | None:
    return None if action.segment.is_pixel_kind else Reason.WRONG_KIND


def refuse_inactive(action: Action) -> Reason | None:
    return None if action.segment.is_active else Reason.INACTIVE_SEGMENT


def refuse_by_write_mode(action: Action) -> Reason | None:
    """Say what the segment's write mode says; a server key passes every one. `signed` comes with signatures."""
    if action.is_server:
        return None
    segment = action.segment
    mode = segment.modes[action.item.do]
    if mode == Segment.WriteMode.OPEN:
        return None
    if mode == Segment.WriteMode.DOMAINS:
        if segment.hosts.allow(action.host):
            return None
        if not segment.are_domains_enforced:
            action.note(Note.WOULD_BE_REFUSED)
            return None
        return Reason.DOMAIN_NOT_ALLOWED if action.host else Reason.DOMAIN_MISSING
    return Reason.SERVER_ONLY


def take_lifetime(action: Action) -> Reason | None:
    """Take the tag's lifetime, shortened to the segment's longest, or the segment's own."""
    if action.item.do == "remove":
        return None
    segment, text = action.segment, action.item.lifetime
    if not text:
        action.lifetime = segment.lifetime
        return None
    minutes = read_lifetime(text)
    if isinstance(minutes, Reason):
        return minutes
    if minutes > segment.longest_lifetime_minutes:
        minutes = segment.longest_lifetime_minutes
        action.note(Note.LIFETIME_SHORTENED)
    action.lifetime = minutes * MINUTE
    return None


def take_value(action: Action) -> Reason | None:
    """Take the tag's value. Absent is not 0."""
    text = action.item.value
    if not text:
        return None
    value = read_value(text)
    if isinstance(value, Reason):
        return value
    segment = action.segment
    if value < segment.value_from or (segment.value_to is not None and value > segment.value_to):
        return Reason.VALUE_OUT_OF_RANGE
    action.value = value
    return None


# In this order, after the segment is known; the first failure is the reason.
ACTION_CHECKS: tuple[Callable[[Action], Reason | None], ...] = (
    refuse_wrong_kind,
    refuse_inactive,
    refuse_by_write_mode,
    take_lifetime,
    take_value,
)


class Decided(NamedTuple):
    """What is done and what is refused, in the tag's order, with notes, both as JSON for the live view, and what
    follows a fire that was done."""

    changes: tuple[Change, ...] = ()
    refusals: tuple[Refusal, ...] = ()
    notes: tuple[Note, ...] = ()
    shown: str = "[]"
    followers: Followers | None = None


def decide(
    items: Sequence[Item], owner: KnownAdvertiser, picture: Picture, host: str, *, is_server: bool = False
) -> Decided:
    """Check every item of a tag on a page of this host, or of a server's fire. A refused one holds back no other."""
    asked: dict[tuple[Do, int | str], Action | Refusal] = {}
    notes: list[Note] = []
    codes: dict[int, str] = {}
    for item in items:
        segment = find_segment(item, owner, picture)
        if isinstance(segment, Reason):
            asked[item.do, item.name] = _refusal(item, item.name[:LONGEST_NAME], segment)
        else:
            # The same segment twice: the last item counts, one load.
            asked[item.do, segment.id] = Action(item, segment, host, notes, is_server=is_server)
            codes[segment.id] = segment.code
    for key, action in asked.items():
        if isinstance(action, Action) and (reason := _first_failure(action)) is not None:
            asked[key] = _refusal(action.item, action.segment.code, reason)

    changes, refusals = [], []
    for (do, number), one in asked.items():
        if isinstance(one, Refusal):
            refusals.append(one)
        elif do == "add" and isinstance(asked.get(("remove", number)), Action):
            one.note(Note.REMOVE_WINS)
        else:
            changes.append(_change(one))
    followers = followers_of([picture.segments[one.segment_id] for one in changes if one.do == "add"], owner)
    return Decided(tuple(changes), tuple(refusals), tuple(notes), _show(changes, refusals, codes), followers)


def refuse_all(items: Sequence[Item], owner: KnownAdvertiser, picture: Picture, reason: Reason) -> Decided:
    """Return the segments that a refused fire names: it stands in the live view of each of them.

    Only segments that there are; nothing of the tag's own text.
    """
    refusals = []
    for item in items[:MOST_SHOWN]:
        segment = find_segment(item, owner, picture)
        if isinstance(segment, KnownSegment):
            refusals.append(Refusal(item.do, segment.code, reason))
    return Decided(refusals=tuple(refusals), shown=_show([], refusals, {}))


def _show(changes: Sequence[Change], refusals: Sequence[Refusal], codes: dict[int, str]) -> str:
    actions: list[dict[str, object]] = [
        {"do": one.do, "segment": one.segment_id, "code": codes[one.segment_id], "value": one.value}
        for one in changes
    ]
    actions += [{"do": one.do, "code": one.segment, "value": one.value, "reason": one.reason} for one in refusals]
    return json.dumps(actions)


def find_segment(item: Item, owner: KnownAdvertiser, picture: Picture) -> KnownSegment | Reason:
    """Return the segment that an item names. Another advertiser's is as unknown as none."""
    if item.is_code:
        if not is_code(item.name):
            return Reason.BAD_CODE
        return owner.segments.get(item.name.lower()) or Reason.UNKNOWN_SEGMENT
    number = read_number(item.name)
    if number is None:
        return Reason.BAD_NUMBER
    segment = picture.segments.get(number)
    if segment is None or segment.advertiser_id != owner.id or segment.is_deleted:
        return Reason.UNKNOWN_SEGMENT
    return segment


def _refusal(item: Item, segment: str, reason: Reason) -> Refusal:
    return Refusal(item.do, segment, reason, item.value[:LONGEST_SHOWN_VALUE])


def _first_failure(action: Action) -> Reason | None:
    for check in ACTION_CHECKS:
        reason = check(action)
        if reason is not None:
            return reason
    return None


def _change(action: Action) -> Change:
    segment = action.segment
    if action.item.do == "remove":
        return Change("remove", segment.id, segment.version)
    return Change(
        "add",
        segment.id,
        segment.version,
        lifetime=action.lifetime,
        value=action.value,
        refire=segment.refire,
        re_add=segment.re_add,
    )
