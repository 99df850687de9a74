"""Fires that a server sends (pixels.md 1.12): JSON becomes facts for the committer, and their ends become the answer.

Promise: only a server key brings anything here. It speaks for everybody its advertiser knows, and passes every write
mode; consent is its owner's duty.

What cannot be read as a fire is a refused message of the key; what can be read is a fire, whatever becomes of it.
"""

import hashlib
import json
from collections.abc import Sequence
from typing import Any, NamedTuple

from audience.context.page import NO_PAGE
from audience.context.place import NO_PLACES
from audience.context.reading import Seen
from audience.identity import BadIdentifier, Key, normalise
from audience.ids import uuid7_bytes
from audience.instants import Instant, unix_days, unix_milliseconds
from audience.values import LONGEST_TEXT, BadValue, Object, clean_text
from pixels import conversions, cookie, fireids, steps
from pixels.actions import decide, refuse_all
from pixels.answers import Answer
from pixels.catalogue import KnownAdvertiser, Picture
from pixels.cookie import Signer
from pixels.facts import Fact, Fire, FromServer
from pixels.messages import replies
from pixels.messages.arrivals import Arrival, Kept
from pixels.messages.errors import Bad, MessageError, Refused, RequestError
from pixels.messages.reading import name_of
from pixels.messages.sender import KnownWriteKey
from pixels.messages.times import DAY, occurred_at
from pixels.parsing import LONGEST_OTHER, Do, Item
from pixels.reading import Reading, find_by_key
from pixels.reasons import Outcome, Reason
from pixels.stored import Stored

PATH = "/v1/fires"
FIRES = 1_000
DAYS = 30
ACTIONS = 100
# What a fire says besides whom it is about and what it does.
_TEXTS = ("value", "keep", "order_id", "other")
# Of the steps of a tag's line, those that fit a server: it needs neither a page nor a signature.
_STEPS = (steps.drop_personal_data, steps.drop_without_pixel, steps.drop_empty)
_SHOWN = Seen(channel="server")


class Named(NamedTuple):
    """One fire of a request with the id that its server gave it; the fact is an `Arrival` where it is none."""

    name: str
    fact: Fact


class Sending(NamedTuple):
    """Who sends, and what is known at the time."""

    key: KnownWriteKey
    owner: KnownAdvertiser
    picture: Picture
    signer: Signer
    at: Instant


def read(content: Object, by: Sending) -> list[Named]:
    """Return the fires of a body, in order. Raises `Refused`."""
    fires = content.get("fires")
    if not isinstance(fires, list):
        raise Refused(RequestError.INVALID_JSON)
    if not fires:
        raise Refused(RequestError.EMPTY_BATCH)
    if len(fires) > FIRES:
        raise Refused(RequestError.PAYLOAD_TOO_LARGE)
    # A microsecond apart, so that no two facts of a person come at one time.
    return [_read(raw, number, by) for number, raw in enumerate(fires)]


def reply(sent: Sequence[Named], ended: Sequence[Stored | Kept], picture: Picture) -> Answer:
    """Return the answer of fires that are kept; where all are refused it is 400 with the first one's code."""
    results = [_result(one.name, end, picture) for one, end in zip(sent, ended, strict=True)]
    rejected = [
        {"index": index, "id": one.name or None, "code": error.value, "message": str(error.label)}
        for index, (one, end) in enumerate(zip(sent, ended, strict=True))
        if (error := _error_of(end)) is not None
    ]
    outcomes = [end.outcome for end in ended]
    pending = outcomes.count(Outcome.PENDING)
    body: dict[str, Any] = {
        "applied": outcomes.count(Outcome.APPLIED),
        "duplicate": outcomes.count(Outcome.DUPLICATE),
        "suppressed": outcomes.count(Outcome.SUPPRESSED),
        **({"pending": pending} if pending else {}),
        "rejected": rejected,
        "results": results,
    }
    if len(rejected) < len(sent):
        return replies.json_answer(200, body)
    return replies.json_answer(400, {name: rejected[0][name] for name in ("code", "message")} | body)


def _result(name: str, end: Stored | Kept, picture: Picture) -> dict[str, Any]:
    """Return how one fire ended; of one that waits in the spool nothing is known yet."""
    result: dict[str, Any] = {"id": name or None, "outcome": str(end.outcome)}
    if end.outcome is Outcome.PENDING or not isinstance(end, Stored):
        return result
    known = picture.segments
    result["joined"] = [known[number].code for number in end.joined if number in known]
    result["left"] = [known[number].code for number in end.left if number in known]
    return result


def _error_of(end: Stored | Kept) -> Reason | MessageError | None:
    if isinstance(end, Kept):
        return end.error
    return end.reason if end.outcome is Outcome.REJECTED else None


def _read(raw: Any, number: int, by: Sending) -> Named:
    name = ""
    try:
        if not isinstance(raw, dict):
            raise Bad(MessageError.BAD_TYPE)
        name = name_of(raw.get("id"))
        return Named(name, _fire(raw, number, name, by))
    except Bad as bad:
        error = bad.error
    except BadValue as bad:
        error = MessageError(bad.reason)
    arrival_id = uuid7_bytes(unix_milliseconds(by.at))
    return Named(name, Arrival(arrival_id, by.at, by.key.advertiser_id, by.key.id, None, error))


def _fire(raw: Object, number: int, name: str, by: Sending) -> Fire:
    happened_at = occurred_at(raw.get("at"), None, by.at)
    if happened_at < by.at - DAYS * DAY:
        raise Bad(MessageError.TOO_OLD)
    person, must_be_known = _person(raw.get("identifier"), by)
    reading = _reading(raw, by)
    reason = _reason(reading)
    if reason is None:
        decided = decide(reading.items, by.owner, by.picture, "", is_server=True)
    else:
        decided = refuse_all(reading.items, by.owner, by.picture, reason)
    conversion = reading.conversion if reason is None else None
    if reason is None and not decided.changes and conversion is None:
        reason = decided.refusals[0].reason
    shown = decided.shown
    if conversion is not None:
        conversion = conversions.surround(conversion, _SHOWN, NO_PAGE, by.owner, NO_PLACES)
        shown = conversions.show(conversion, shown)
    return Fire(
        fireids.new(by.at + number),
        by.at + number,
        by.owner.id,
        (reading.pixel or by.owner.direct_pixel).id,
        person,
        decided.changes,
        reason,
        reading.notes + decided.notes,
        shown,
        other="" if reason is Reason.PERSONAL_DATA else reading.values.get("other", "")[:LONGEST_OTHER],
        conversion=conversion,
        server=FromServer(happened_at + number, _once(by.owner.id, name) if name else None, must_be_known),
    )


def _once(advertiser_id: int, name: str) -> bytes:
    """Return the key of a fire's id: the same one is the same fire, for one advertiser only."""
    return hashlib.sha256(f"fire\0{advertiser_id}\0{name}".encode()).digest()[:16]


def _person(told: object, by: Sending) -> tuple[Key, bool]:
    """Return whom a fire is about, and whether that must be somebody who is known.

    A browser is named by the value that we signed, as its cookie and muster.js have it, or by the id that advertisers
    store: whoever knows that has it from us, but anybody could make one up.
    """
    if not isinstance(told, dict):
        raise Bad(MessageError.NO_ID)
    kind, value = told.get("kind"), clean_text(told.get("value"), LONGEST_TEXT)
    if not isinstance(kind, str):
        raise Bad(MessageError.NO_ID)
    if kind == "browser" and (minted := by.signer.verify(value)) and not minted.is_over(unix_days(by.at)):
        return cookie.key_of(by.owner.id, by.owner.id_key, minted.random), False
    try:
        return Key(by.owner.id, kind, normalise(kind, value)), kind == "browser"
    except BadIdentifier:
        raise Bad(MessageError.NO_ID) from None


def _reading(raw: Object, by: Sending) -> Reading:
    """Return what a fire says, as a tag would say it."""
    values = {name: text for name in _TEXTS if (text := _text(raw.get(name)))}
    reading = Reading(None, "&".join(values.values()), by.picture, values, owner=by.owner)
    if raw.get("pixel"):
        given = {name: "given" for name in ("add", "remove") if raw.get(name)}
        reading.values = {**values, **given}
        find_by_key(reading, clean_text(raw["pixel"], LONGEST_TEXT), by.owner, by.at)
        return reading
    reading.items = [*_items("add", raw.get("add"), values), *_items("remove", raw.get("remove"), values)]
    reading.pixel = by.owner.direct_pixel
    return reading


def _items(do: Do, told: object, values: dict[str, str]) -> list[Item]:
    if told is None:
        return []
    if not isinstance(told, list):
        raise Bad(MessageError.BAD_TYPE)
    return [_item(do, one, values) for one in told]


def _item(do: Do, told: object, values: dict[str, str]) -> Item:
    """Return one action; a segment is named by its code, or as a number by its number."""
    if not isinstance(told, dict):
        raise Bad(MessageError.BAD_TYPE)
    segment = told.get("segment")
    name, is_code = _text(segment), isinstance(segment, str)
    if do == "remove":
        return Item(do, name, is_code)
    value, lifetime = _text(told.get("value")), _text(told.get("keep"))
    return Item(do, name, is_code, value or values.get("value", ""), lifetime or values.get("keep", ""))


def _text(value: object) -> str:
    """Return a number or a text as a tag writes it. Raises `BadValue`."""
    if isinstance(value, float):
        return json.dumps(value)
    return clean_text(value, LONGEST_TEXT)


def _reason(reading: Reading) -> Reason | None:
    """Return why nothing of a fire is done, by the steps of a tag."""
    for step in _STEPS:
        reason = step(reading)
        if reason is not None:
            return reason
    return Reason.TOO_MANY_SEGMENTS if len(reading.items) > ACTIONS else None
