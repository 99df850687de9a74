"""The catalogue's rows as they were read last, on this disk: for a door that starts while the database is away.

The file holds the keys of the advertisers' browser ids and their sealed secrets, so it is for its owner alone.
"""

import json
import os
from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

Rows = Sequence[Sequence[Any]]


class CatalogueRows(NamedTuple):
    """What one snapshot of the database said."""

    read_at: datetime
    advertisers: Rows
    segments: Rows
    pixels: Rows
    actions: Rows
    write_keys: Rows
    secrets: Rows
    partners: Rows
    piggybacks: Rows


def save(file: Path, form: str, rows: CatalogueRows) -> None:
    """Write the rows. `form` tells the columns: rows of another form are not read again. Raises OSError."""
    file.parent.mkdir(parents=True, mode=0o700, exist_ok=True)
    draft = file.with_name(f".{file.name}-{os.getpid()}")
    with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as text:
        json.dump([form, *rows], text, default=_plain)
    draft.replace(file)


def read(file: Path, form: str) -> CatalogueRows | None:
    """Return the rows; None where there are none of this form, or none that are whole."""
    with suppress(OSError, ValueError, TypeError, KeyError):
        known, *rows = json.loads(file.read_text(), object_hook=_rich)
        if known == form:
            return CatalogueRows(*rows)
    return None


def _plain(value: object) -> dict[str, str]:
    if isinstance(value, datetime):
        return {"at": value.isoformat()}
    if isinstance(value, bytes):
        return {"hex": value.hex()}
    raise TypeError(f"{type(value).__name__} has no place in a catalogue.")


def _rich(value: dict[str, str]) -> datetime | bytes:
    return datetime.fromisoformat(value["at"]) if "at" in value else bytes.fromhex(value["hex"])
