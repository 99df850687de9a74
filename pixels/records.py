"""Facts as lines of a spool: what a worker writes to its own disk while the database is away.

    9b1c3f02 17 ["0193…",817200000000000,12,34,["browser","ab12…"],[["add",56,1,"fact",2592000000000,null,…]],…]

is the CRC-32 of all that follows its blank, in eight hex digits; the record's number in its file, from 1; the fire as
JSON, or a message of the HTTP API (`pixels.messages.records`), or a browser's no. A line feed ends each record, so
that what follows a damaged one can be read. The numbers tell how many records are lost where their line feeds are.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any
from zlib import crc32

from audience.identity import Key
from pixels.facts import Conversion, Fact, Fire, FromServer, Withdrawal
from pixels.messages import records as messages
from pixels.messages.arrivals import Arrival
from pixels.reasons import Note, Reason
from segments.membership import Change
from segments.models import Cause

_REASONS = {str(reason): reason for reason in Reason}
_NOTES = {str(note): note for note in Note}
_CAUSES = {str(cause): cause for cause in Cause}


@dataclass(frozen=True)
class Records:
    """What a file of a spool holds: its facts in order, and the lines that cannot be read."""

    facts: list[Fact]
    damaged: list[bytes]
    lost: int  # records that are not among the facts


def line_of(number: int, fact: Fact) -> bytes:
    """Return the record of a fact, the `number`-th of its file, with its line feed."""
    values = _WRITERS[type(fact)](fact)
    body = f"{number} {json.dumps(values, separators=(',', ':'))}".encode()
    return b"%08x %b\n" % (crc32(body), body)


def read(content: bytes) -> Records:
    """Read a file. A last record that was not written to its end is left out: nobody was told that it is kept."""
    *lines, torn = content.split(b"\n")
    facts: list[Fact] = []
    damaged: list[bytes] = []
    last = 0  # the number of the last record that is known to have been there
    for line in lines:
        try:
            number, fact = _fact_of(line)
        except (ValueError, KeyError, TypeError, IndexError):
            damaged.append(line)
            last += 1
        else:
            facts.append(fact)
            last = number
    if torn and (whole := _whole(torn)):
        facts.append(whole)
        last += 1
    return Records(facts, damaged, max(last - len(facts), 0))


def _whole(line: bytes) -> Fact | None:
    try:
        return _fact_of(line)[1]
    except (ValueError, KeyError, TypeError, IndexError):
        return None


def _values(fire: Fire) -> Sequence[object]:
    browser = fire.browser[1:] if fire.browser else None
    server = None if fire.server is None else _values_of_server(fire.server)
    # Without `id_syncs`, the last field.
    return [fire.id.hex(), *fire[1:4], browser, *fire[5:-3], server, fire.country]


def _values_of_server(server: FromServer) -> Sequence[object]:
    return [server.at, server.once.hex() if server.once else None, server.must_be_known]


def _fact_of(line: bytes) -> tuple[int, Fact]:
    crc, _, body = line.partition(b" ")
    if len(crc) != 8 or int(crc, 16) != crc32(body):
        raise ValueError("The record is damaged.")
    number, _, text = body.partition(b" ")
    values = json.loads(text)
    if not isinstance(values, dict):
        return int(number), _fire_of(values)
    return int(number), _withdrawal_of(values) if "keys" in values else messages.arrival_of(values)


def _values_of_withdrawal(withdrawal: Withdrawal) -> dict[str, Any]:
    at, keys, fire = withdrawal
    return {"received_at": at, "keys": keys, "fire": None if fire is None else _values(fire)}


def _withdrawal_of(values: dict[str, Any]) -> Withdrawal:
    fire = values["fire"]
    keys = tuple(Key(*key) for key in values["keys"])
    return Withdrawal(values["received_at"], keys, None if fire is None else _fire_of(fire))


def _fire_of(values: Sequence[Any]) -> Fire:
    fire_id, at, advertiser_id, pixel_id, browser, changes, reason, notes, *others = values
    *texts, partner_ids, conversion, server, country = others
    key = None if browser is None else Key(advertiser_id, *browser)
    fire = Fire(
        bytes.fromhex(fire_id),
        at,
        advertiser_id,
        pixel_id,
        key,
        tuple(_change_of(change) for change in changes),
        None if reason is None else _REASONS[reason],
        tuple(_NOTES[note] for note in notes),
        *texts,
    )
    return fire._replace(
        partner_ids=tuple(Key(*one) for one in partner_ids),
        conversion=None if conversion is None else Conversion(*conversion),
        server=None if server is None else _server_of(*server),
        country=country,
    )


def _server_of(at: int, once: str | None, must_be_known: bool) -> FromServer:
    return FromServer(at, None if once is None else bytes.fromhex(once), must_be_known)


def _change_of(values: Sequence[object]) -> Change:
    change = Change(*values)  # type: ignore[arg-type]
    return change._replace(cause=_CAUSES[change.cause])


_WRITERS: dict[type[Fact], Callable[[Any], Any]] = {
    Fire: _values,
    Arrival: messages.values_of,
    Withdrawal: _values_of_withdrawal,
}
