"""Where an address is, by files in MaxMind's format that the operator supplies.

Promise: an address is looked up in memory and dropped. It is in nothing that is returned, remembered or logged, and
no exception that leaves this module names it (safety.md P21).
"""

import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from ipaddress import ip_address
from pathlib import Path
from typing import Any, NamedTuple

import maxminddb
import structlog
from django.conf import settings

from audience.context.texts import known, text_of

log = structlog.get_logger(__name__)

# How long a file that was replaced may still be asked.
LOOK_AGAIN_SECONDS = 10.0
# Two decimals are about a kilometre: as near as a file can say, and nobody's house.
DECIMALS = 2

# Field -> where it stands in MaxMind's records, and in those of others who write the format.
_STANDS_AT: dict[str, tuple[tuple[str, ...], ...]] = {
    "country": (("country", "iso_code"), ("country_code",)),
    "city": (("city", "names", "en"),),
    "postcode": (("postal", "code"),),
    "time_zone": (("location", "time_zone"),),
    "metro": (("location", "metro_code"),),
    "network": (("traits", "isp"), ("traits", "organization"), ("isp",), ("autonomous_system_organization",)),
}


class Place(NamedTuple):
    """A place as far as it is known: `country` by ISO 3166-1, `region` by ISO 3166-2, `network` the provider."""

    country: str = ""
    region: str = ""
    city: str = ""
    postcode: str = ""
    time_zone: str = ""
    metro: str = ""
    network: str = ""
    lat: float | None = None
    lon: float | None = None

    def fields(self) -> dict[str, str | int | float]:
        """Return it as a group of a context; the time zone stands beside that."""
        if self is NOWHERE:
            return {}
        return known(**self._replace(time_zone="")._asdict())


NOWHERE = Place()


class Places:
    """The files of an installation; of several the first that knows a field counts (one of cities, one of networks).

    A file that is replaced (by renaming, as its publisher's own programs do: one that is overwritten in place ends
    the process that has it mapped) is taken up within `LOOK_AGAIN_SECONDS`. One that cannot be read is logged, and
    the one before it stays.
    """

    def __init__(self, paths: Sequence[Path], *, clock: Callable[[], float] = time.monotonic) -> None:
        self._files = [_File(path, clock) for path in paths]

    def __bool__(self) -> bool:
        return bool(self._files)

    def find(self, address: str) -> Place:
        """Return the place of an address, `NOWHERE` for what is none and what no file knows."""
        records = self._records(address)
        return _place(records) if records else NOWHERE

    def country_of(self, address: str) -> str:
        """Return the country of an address, two letters of ISO 3166-1; empty where it is not known."""
        country = _first_text(self._records(address), _STANDS_AT["country"])
        return country.upper() if len(country) == 2 else ""

    def _records(self, address: str) -> list[Mapping[str, Any]]:
        if not self._files:
            return []
        try:
            found = ip_address(address)
        except ValueError:
            return []
        plain = str(getattr(found, "ipv4_mapped", None) or found)
        return [record for file in self._files if (record := file.look_up(plain))]


NO_PLACES = Places(())


@cache
def places_of_installation() -> Places:
    return Places(settings.MUSTER_PLACE_DATABASE)


class _File:
    """One file, opened anew when it is another one than before."""

    def __init__(self, path: Path, clock: Callable[[], float]) -> None:
        self._path = path
        self._clock = clock
        self._reader: maxminddb.Reader | None = None
        self._stamp: tuple[int, ...] = ()
        self._look_again_at = 0.0

    def look_up(self, address: str) -> Mapping[str, Any]:
        if self._clock() >= self._look_again_at:
            self._look_again_at = self._clock() + LOOK_AGAIN_SECONDS
            self._open_if_new()
        if self._reader is None:
            return {}
        try:
            record = self._reader.get(address)
        except (ValueError, maxminddb.InvalidDatabaseError):  # IPv6 in a file of IPv4, a damaged file
            return {}
        return record if isinstance(record, dict) else {}

    def _open_if_new(self) -> None:
        try:
            status = os.stat(self._path)
            stamp = (status.st_ino, status.st_mtime_ns, status.st_size)
            if stamp == self._stamp:
                return
            self._stamp = stamp  # a file that cannot be read is not tried again until it is another
            # The old one is not closed: another thread may be reading it, and it goes with its last reader.
            self._reader = maxminddb.open_database(self._path)
        except (OSError, maxminddb.InvalidDatabaseError, ValueError) as error:
            log.warning("place_database_unreadable", path=str(self._path), error=type(error).__name__)


def _place(records: Sequence[Mapping[str, Any]]) -> Place:
    texts = {field: _first_text(records, ways) for field, ways in _STANDS_AT.items()}
    texts["country"] = texts["country"].upper()
    lat, lon = _coordinates(records)
    return Place(**texts, region=_region(records, texts["country"]), lat=lat, lon=lon)


def _first_text(records: Sequence[Mapping[str, Any]], ways: Sequence[Sequence[str]]) -> str:
    values = (_walk(record, way) for record in records for way in ways)
    return next((text for value in values if (text := _text(value))), "")


def _text(value: Any) -> str:
    return str(value) if type(value) is int else text_of(value)  # metro codes are numbers


def _walk(record: Any, way: Sequence[str]) -> Any:
    for step in way:
        if not isinstance(record, dict):
            return None
        record = record.get(step)
    return record


def _region(records: Sequence[Mapping[str, Any]], country: str) -> str:
    """Return the largest part of the country, such as DE-BY."""
    for divisions in _values(records, "subdivisions"):
        code = text_of(_walk(divisions[0], ("iso_code",)), 3) if isinstance(divisions, list) and divisions else ""
        if code and country:
            return f"{country}-{code.upper()}"
    return ""


def _coordinates(records: Sequence[Mapping[str, Any]]) -> tuple[float, float] | tuple[None, None]:
    for location in _values(records, "location"):
        lat, lon = _walk(location, ("latitude",)), _walk(location, ("longitude",))
        if isinstance(lat, float) and isinstance(lon, float) and -90 <= lat <= 90 and -180 <= lon <= 180:
            return round(lat, DECIMALS), round(lon, DECIMALS)
    return None, None


def _values(records: Sequence[Mapping[str, Any]], name: str) -> Iterator[Any]:
    return (record[name] for record in records if name in record)
