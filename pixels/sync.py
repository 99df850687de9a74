"""What `/setuid` and `/mapuid` say: ids that a partner or the advertiser has for a browser (pixels.md 1.9)."""

import json
from collections.abc import Mapping
from typing import NamedTuple

from audience.identity import BadIdentifier, Key, normalise
from pixels import parsing
from pixels.catalogue import KnownAdvertiser
from pixels.models import OWN_IDS
from pixels.partner_ids import PREFIX
from pixels.reasons import Reason

SETUID, MAPUID = "/setuid", "/mapuid"
SYNC_PARAMETERS = {SETUID: parsing.SETUID_PARAMETERS, MAPUID: parsing.MAPUID_PARAMETERS}
MOST_IDS = 10
LONGEST_ID = 256


class Sync(NamedTuple):
    """The ids of one call, or why there are none that can be kept. `shown` are their actions for the live view."""

    ids: tuple[Key, ...] = ()
    fault: Reason | None = None
    shown: tuple[Mapping[str, object], ...] = ()


def read_sync(path: str, values: Mapping[str, str], owner: KnownAdvertiser | None) -> Sync:
    """Read a call. Without an owner nothing can be said of it."""
    if owner is None:
        return Sync()
    partner = OWN_IDS if path == MAPUID else values.get("partner", "").lower()
    if partner != OWN_IDS and all(partner != known.name for known in owner.partners):
        return Sync(fault=Reason.BAD_PARTNER)
    texts = [text for text in values.get("user", "").split(";") if text]
    if len(texts) > MOST_IDS or any(len(text) > LONGEST_ID for text in texts):
        return Sync(fault=Reason.TOO_LONG)
    try:
        found = dict.fromkeys(normalise(PREFIX + partner, text) for text in texts)
    except BadIdentifier:
        return Sync(fault=Reason.BAD_ENCODING)
    shown: Mapping[str, object] = {"do": "link", "code": partner, "value": None}
    return Sync(tuple(Key(owner.id, PREFIX + partner, value) for value in found), shown=(shown,) * len(found))


def with_ids(actions: str, sync: Sync) -> str:
    """Return the live view's actions with those of the ids before them."""
    return json.dumps([*sync.shown, *json.loads(actions)])
