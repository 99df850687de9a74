"""A changed attribute of a profile is an event, `$attribute_changed` (rules.md 1.4): which it is, from what, to what.

A first value changes nothing. Nor does a telling that comes late, when a newer value is known: what is in between was
never the profile's value here. A merge tells nothing, and the cart has events of its own.
"""

import hashlib
import json
from collections.abc import Iterable

from audience import cart
from audience.attributes import Replaced
from audience.events import Fact

NAME = "$attribute_changed"


def changes_of(replaced: Iterable[Replaced], facts: Iterable[Fact]) -> list[Fact]:
    """Return the events of values that messages have replaced; `facts` are those messages."""
    by_id = {fact.message.id: fact for fact in facts}
    return [_change(by_id[one.telling.told.fact_id], one) for one in replaced if one.telling.key[1] != cart.NAME]


def _change(fact: Fact, replaced: Replaced) -> Fact:
    _, name = replaced.telling.key
    # The same message, whenever it comes again, is the same change.
    id_ = hashlib.sha256(fact.message.id + name.encode()).digest()[:16]
    properties = f'{{"attribute":{json.dumps(name)},"from":{replaced.value},"to":{replaced.telling.told.value}}}'
    message = fact.message._replace(id=id_, event=NAME, properties=properties, context="{}", traits="{}")
    return fact._replace(message=message)
