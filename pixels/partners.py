"""What the door knows of an advertiser's partners and piggyback pixels: those that can fire, read from their rows."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from pixels.hosts import Hosts
from pixels.redirects import Target, read_target

PARTNERS = "SELECT advertiser_id, name, hosts, sync_url FROM pixels_partner ORDER BY id"
PIGGYBACKS = """
    SELECT segment_id, advertiser_id, kind = 'script', url FROM pixels_piggyback ORDER BY segment_id, id
"""


@dataclass(frozen=True, slots=True)
class KnownPartner:
    """A partner; `sync` is where browsers tell it who they are, None where it asks for nothing."""

    name: str
    hosts: tuple[str, ...]
    sync: Target | None


@dataclass(frozen=True, slots=True)
class KnownPiggyback:
    """A partner's pixel that follows a fire."""

    target: Target
    is_script: bool


def partners_of(rows: Iterable[Sequence[Any]]) -> dict[int, tuple[KnownPartner, ...]]:
    """Return each advertiser's partners."""
    found: dict[int, list[KnownPartner]] = defaultdict(list)
    for advertiser_id, name, hosts, sync_url in rows:
        found[advertiser_id].append(KnownPartner(name, tuple(hosts), read_target(sync_url, Hosts(hosts))))
    return {advertiser_id: tuple(partners) for advertiser_id, partners in found.items()}


def piggybacks_of(
    rows: Iterable[Sequence[Any]], redirect_hosts: dict[int, Hosts]
) -> dict[int, tuple[KnownPiggyback, ...]]:
    """Return each segment's piggybacks. One whose host has been taken off the list does not fire."""
    found: dict[int, list[KnownPiggyback]] = defaultdict(list)
    for segment_id, advertiser_id, is_script, url in rows:
        target = read_target(url, redirect_hosts[advertiser_id])
        if target is not None:
            found[segment_id].append(KnownPiggyback(target, is_script))
    return {segment_id: tuple(piggybacks) for segment_id, piggybacks in found.items()}
