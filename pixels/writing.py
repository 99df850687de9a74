"""Fires into their table, and their numbers into the books."""

from collections import Counter
from collections.abc import Sequence
from itertools import compress
from operator import itemgetter
from typing import Any

from audience.columns import bigints, instants, integers, texts, uuids
from audience.instants import HOUR, Instant
from audience.talk import Statement, Talk, Value, writes
from pixels.reasons import Outcome
from pixels.stored import Stored

# One statement for the fires and their counts. The counts' keys to advertiser and pixel vouch for the fires, too:
# each row of fires has its row of counts here, and a key of its own would be looked up for every single fire.
# What fires have in common is sent once, and each fire has the number of its own.
_PUT_FIRES = writes(
    """
    WITH fires AS (
        INSERT INTO pixels_fire (advertiser_id, pixel_id, outcome, reason, page_host, page_path, notes, actions,
            other, browser, device, country, id, received_at, profile_id, same)
        SELECT (%s::bigint[])[f.common], (%s::bigint[])[f.common], (%s::text[])[f.common], (%s::text[])[f.common],
            (%s::text[])[f.common], (%s::text[])[f.common], (%s::text[])[f.common]::text[],
            (%s::jsonb[])[f.common], (%s::text[])[f.common], (%s::text[])[f.common], (%s::text[])[f.common],
            (%s::text[])[f.common], f.id, f.received_at, f.profile_id, f.same
        FROM unnest(%s::int[], %s::uuid[], %s::timestamptz[], %s::uuid[], %s::text[])
            f (common, id, received_at, profile_id, same)
    )
    INSERT INTO pixels_firedelta (advertiser_id, pixel_id, outcome, reason, page_host, page_path, hour, fires,
        last_at)
    SELECT * FROM unnest(%s::bigint[], %s::bigint[], %s::text[], %s::text[], %s::text[], %s::text[],
        %s::timestamptz[], %s::integer[], %s::timestamptz[])
    """
)
_PUT_IDS = writes("INSERT INTO pixels_factid (id, received_at) SELECT * FROM unnest(%s::uuid[], %s::timestamptz[])")

# Advertiser, pixel, outcome, reason, host and path of the page: what is counted by, beside the hour; then notes,
# actions, `other`, browser, device and country. A plain tuple, because one is made and hashed for every fire.
Common = tuple[int | None, int | None, Outcome, str, str, str, tuple[str, ...], str, str, str, str, str]
COUNTED = 6


def put_fires(entries: Sequence[Stored], *, counts_repeats: bool = False) -> Talk[None]:
    """Write the fires and count them. Of those that lead to no pixel only the id is kept."""
    counted = entries if counts_repeats else [entry for entry in entries if not entry.is_repeat]
    if not counted:
        return
    placed = [not entry.is_repeat and entry.fire.pixel_id is not None for entry in counted]
    yield [_put(counted, placed)]
    others = [entry for entry in counted if not entry.is_repeat and entry.fire.pixel_id is None]
    if others:
        yield [_put_ids(others)]


def put_count(entry: Stored) -> Talk[None]:
    """Count a fire of which nothing else can be kept but its id."""
    yield [_put([entry], [False]), _put_ids([entry])]


def _put(counted: Sequence[Stored], placed: Sequence[bool]) -> Statement:
    """Return the statement that counts fires, and writes those of them that are to have a row."""
    known: dict[Common, int] = {}
    numbers = [known.setdefault(_common_of(entry), len(known) + 1) for entry in counted]
    commons = [*known]
    return _PUT_FIRES(
        *_common_columns(commons),
        *_fire_columns([*compress(counted, placed)], [*compress(numbers, placed)]),
        *_count_columns(commons, numbers, [entry.fire.received_at for entry in counted]),
    )


def _put_ids(entries: Sequence[Stored]) -> Statement:
    fires = [entry.fire for entry in entries]
    return _PUT_IDS(uuids([fire.id for fire in fires]), instants([fire.received_at for fire in fires]))


def _common_of(entry: Stored) -> Common:
    fire = entry.fire
    return (
        fire.advertiser_id,
        fire.pixel_id,
        entry.outcome,
        entry.reason or "",
        fire.page_host,
        fire.page_path,
        entry.notes,
        fire.actions,
        fire.other,
        fire.browser_name,
        fire.device,
        fire.country,
    )


def _common_columns(commons: Sequence[Common]) -> list[Value]:
    advertisers, pixels, outcomes, reasons, hosts, paths, notes, *words = zip(*commons, strict=True)
    literals = ["{" + ",".join(one) + "}" for one in notes]
    columns = (outcomes, reasons, hosts, paths, literals, *words)
    return [bigints(advertisers), bigints(pixels), *(texts(column) for column in columns)]


def _fire_columns(entries: Sequence[Stored], numbers: Sequence[int]) -> list[Value]:
    fires = [entry.fire for entry in entries]
    return [
        integers(numbers),
        uuids([fire.id for fire in fires]),
        instants([fire.received_at for fire in fires]),
        uuids([entry.profile_id for entry in entries]),
        # Enough to follow one browser in a live view, too little to trace it back.
        texts([fire.browser.value[:4] if fire.browser and fire.server is None else "" for fire in fires]),
    ]


def _count_columns(commons: Sequence[Common], numbers: Sequence[int], times: Sequence[Instant]) -> list[Value]:
    """Return the fires by what is counted and by hour, with their number and the last one's time."""
    hourly = [(number, at - at % HOUR) for number, at in zip(numbers, times, strict=True)]
    latest = dict(sorted(zip(hourly, times, strict=True), key=itemgetter(1)))
    counts: Counter[tuple[Any, ...]] = Counter()
    last_at: dict[tuple[Any, ...], Instant] = {}
    for (number, hour), fires in Counter(hourly).items():
        key = (*commons[number - 1][:COUNTED], hour)
        counts[key] += fires
        last_at[key] = max(last_at.get(key, hour), latest[number, hour])
    advertisers, pixels, *words, hours = zip(*counts, strict=True)
    return [
        bigints(advertisers),
        bigints(pixels),
        *(texts(column) for column in words),
        instants(hours),
        integers([*counts.values()]),
        instants([last_at[key] for key in counts]),
    ]
