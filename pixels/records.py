"""Fires as lines of a spool: what a worker writes to its own disk while the database is away.

    9b1c3f02 17 ["0193…",817200000000000,12,34,"ab12…",[["add",56,1,"fact",2592000000000,null,"restart","replace"]],…]

is the CRC-32 of all that follows its blank, in eight hex digits; the record's number in its file, from 1; the fire as
JSON. A line feed ends each record, so that what follows a damaged one can be read. The numbers tell how many records
are lost where their line feeds are.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from zlib import crc32

from audience.identity import Key
from pixels.facts import Fire
from pixels.reasons import Note, Reason
from segments.membership import Change
from segments.models import Cause

_REASONS = {str(reason): reason for reason in Reason}
_NOTES = {str(note): note for note in Note}
_CAUSES = {str(cause): cause for cause in Cause}


@dataclass(frozen=True)
class Records:
    """What a file of a spool holds: its fires in order, and the lines that cannot be read."""

    fires: list[Fire]
    damaged: list[bytes]
    lost: int  # records that are not among the fires


def line_of(number: int, fire: Fire) -> bytes:
    """Return the record of a fire, the `number`-th of its file, with its line feed."""
    body = f"{number} {json.dumps(_values(fire), separators=(',', ':'))}".encode()
    return b"%08x %b\n" % (crc32(body), body)


def read(content: bytes) -> Records:
    """Read a file. A last record that was not written to its end is left out: nobody was told that it is kept."""
    *lines, torn = content.split(b"\n")
    fires: list[Fire] = []
    damaged: list[bytes] = []
    last = 0  # the number of the last record that is known to have been there
    for line in lines:
        try:
            number, fire = _fire_of(line)
        except (ValueError, KeyError, TypeError, IndexError):
            damaged.append(line)
            last += 1
        else:
            fires.append(fire)
            last = number
    if torn and (whole := _whole(torn)):
        fires.append(whole)
        last += 1
    return Records(fires, damaged, max(last - len(fires), 0))


def _whole(line: bytes) -> Fire | None:
    try:
        return _fire_of(line)[1]
    except (ValueError, KeyError, TypeError, IndexError):
        return None


def _values(fire: Fire) -> Sequence[object]:
    browser = fire.browser.value if fire.browser else None
    return [fire.id.hex(), *fire[1:4], browser, *fire[5:]]


def _fire_of(line: bytes) -> tuple[int, Fire]:
    crc, _, body = line.partition(b" ")
    if len(crc) != 8 or int(crc, 16) != crc32(body):
        raise ValueError("The record is damaged.")
    number, _, values = body.partition(b" ")
    fire_id, at, advertiser_id, pixel_id, browser, changes, reason, notes, *others = json.loads(values)
    key = None if browser is None else Key(advertiser_id, "browser", browser)
    fire = Fire(
        bytes.fromhex(fire_id),
        at,
        advertiser_id,
        pixel_id,
        key,
        tuple(_change_of(change) for change in changes),
        None if reason is None else _REASONS[reason],
        tuple(_NOTES[note] for note in notes),
        *others,
    )
    return int(number), fire


def _change_of(values: Sequence[object]) -> Change:
    change = Change(*values)  # type: ignore[arg-type]
    return change._replace(cause=_CAUSES[change.cause])
