"""What follows a fire for partners (pixels.md 3.6): the piggyback pixels of segments it added to, and id-syncs.

Promise: the body of a script is written from saved settings alone. It fills the consent macros itself, from the
address it was loaded from; an address that names the browser is called by way of `/getuid`, which knows the cookie.
"""

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from pixels.catalogue import KnownAdvertiser, KnownSegment
from pixels.facts import IdSyncs
from pixels.redirects import Target

# The script up to its arguments: a list of images, then one of scripts.
_SCRIPT = Path(__file__).with_name("followers.js").read_text().rstrip("\n")


@dataclass(frozen=True, slots=True)
class Followers:
    """What may follow a fire from one tag on one host."""

    owner: KnownAdvertiser
    images: tuple[Target, ...]
    scripts: tuple[Target, ...]
    syncs: Mapping[str, Target]  # by partner
    most_syncs: int

    @property
    def id_syncs(self) -> IdSyncs | None:
        return IdSyncs(self.most_syncs, tuple(self.syncs)) if self.most_syncs and self.syncs else None

    def location(self, values: Mapping[str, str], browser: str) -> str | None:
        """Return where an image tag is sent on to: the first image."""
        return filled(self.images[0], self.owner, values, browser) if self.images else None

    def body(self, synced: Collection[str]) -> bytes | None:
        """Return the script that fires all of it and these partners' id-syncs; None where there is nothing."""
        images = [self._address(target) for target in self.images]
        images += [_by_getuid(self.owner.id, self.syncs[name]) for name in synced]
        scripts = [self._address(target) for target in self.scripts]
        if not images and not scripts:
            return None
        lists = [_literal(images), *([_literal(scripts)] if scripts else [])]
        return f"{_SCRIPT}{','.join(lists)});".encode()

    def _address(self, target: Target) -> str:
        if target.names_browser and self.owner.partner_hosts.allow(target.host):
            return _by_getuid(self.owner.id, target)
        return target.template()


def followers_of(added: Sequence[KnownSegment], owner: KnownAdvertiser) -> Followers | None:
    """Return what follows a fire that adds to these segments, each address once; None where nothing does."""
    piggybacks = dict.fromkeys(one for segment in added for one in segment.piggybacks)
    most_syncs = min((segment.id_syncs_per_fire for segment in added), default=0)
    if not piggybacks and not most_syncs:
        return None
    return Followers(
        owner,
        tuple(one.target for one in piggybacks if not one.is_script),
        tuple(one.target for one in piggybacks if one.is_script),
        {partner.name: partner.sync for partner in owner.partners if partner.sync is not None},
        most_syncs,
    )


def filled(target: Target, owner: KnownAdvertiser, values: Mapping[str, str], browser: str) -> str | None:
    """Return where a browser goes; only a partner is told its id."""
    if owner.partner_hosts.allow(target.host):
        return target.location(values, browser)
    return target.location(values)


def _by_getuid(member: int, target: Target) -> str:
    return f"/getuid?member={member}&url={quote(target.template(keeps_id=True), safe='')}"


def _literal(addresses: Iterable[str]) -> str:
    """Return a list for JavaScript. Addresses are ASCII already; a `<` could end the script of a page."""
    return json.dumps(list(dict.fromkeys(addresses)), separators=(",", ":")).replace("<", "\\u003c")
