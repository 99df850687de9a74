"""Databases of places in MaxMind's format, written by the tests: no file of anybody's is needed."""

from pathlib import Path
from typing import Any

from mmdb_writer import MMDBWriter
from netaddr import IPSet

MUNICH = {
    "country": {"iso_code": "DE", "names": {"en": "Germany"}},
    "subdivisions": [{"iso_code": "BY", "names": {"en": "Bavaria"}}],
    "city": {"names": {"de": "München", "en": "Munich"}},
    "postal": {"code": "80331"},
    "location": {"latitude": 48.13743, "longitude": 11.57549, "time_zone": "Europe/Berlin"},
}
DALLAS = {
    "country": {"iso_code": "US"},
    "subdivisions": [{"iso_code": "TX"}, {"iso_code": "XX"}],
    "city": {"names": {"en": "Dallas"}},
    "location": {"latitude": 32.78, "longitude": -96.81, "time_zone": "America/Chicago", "metro_code": 623},
}
SOMEWHERE = {"country": {"iso_code": "FR"}}
CITIES = {"203.0.113.0/25": MUNICH, "203.0.113.128/25": SOMEWHERE, "198.51.100.0/24": DALLAS, "2001:db8::/32": MUNICH}
NETWORKS = {
    "203.0.113.0/24": {"autonomous_system_number": 64500, "autonomous_system_organization": "Example Telecom"}
}


def write(path: Path, records: dict[str, Any], *, version: int = 6) -> Path:
    """Write a file under another name and rename it, as the publishers' programs do."""
    writer = MMDBWriter(version, "Test-City", ipv4_compatible=version == 6)
    for network, record in records.items():
        writer.insert_network(IPSet([network]), record)
    writer.to_db_file(str(path.with_suffix(".part")))
    return path.with_suffix(".part").rename(path)
