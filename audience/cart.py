"""The attribute `cart` of a profile: the lines of its cart, by the events that tell of it (rules.md 1.4).

Which events there are decides, not their order: with each of them the cart is made anew, from the last one that tells
it whole and those since. What is late, or came to a profile by a merge, counts at its own time. Where messages tell
an attribute of this name, the newer telling counts, as of every attribute.

An addition or a removal that names no product tells nothing, nor does a `cart_updated` without products and total.
With a total alone the cart is one line of that price: pixels know no more.

A page may tell an addition and, at once, the whole cart. Each message is dated by its receipt and its sender's clock,
and so by how long it was on its way: the addition can seem to be the later one. One that came before a whole cart,
and seems to have happened less than `ON_ITS_WAY` after it, is in it already; so is one of the same instant.
"""

import json
from collections.abc import Collection, Iterable, Mapping
from decimal import Decimal
from itertools import groupby
from operator import itemgetter
from typing import Any

from audience.attributes import OF_PROFILES, Told, states_of, write, write_value
from audience.columns import texts, uuids
from audience.events import Fact
from audience.instants import SECOND
from audience.products import LISTS, MONEY, NUMBER, TOTALS, Product, listed, priced, product_of, whole
from audience.talk import Talk, reads
from audience.values import Object

NAME = "cart"
UPDATED, ADDED, REMOVED, BOUGHT = "cart_updated", "add_to_cart", "remove_from_cart", "purchase"
EVENTS = frozenset({UPDATED, ADDED, REMOVED, BOUGHT})
# Lines of a cart (rules.md 1.6), and events of one name since it was told whole: the newest count.
MOST = 1_000
ON_ITS_WAY = 10 * SECOND

# As `products.whole` reads it: a `cart_updated` without all that leaves the cart as it was.
_IS_WHOLE = " OR ".join(
    [f"jsonb_typeof(e.properties -> '{name}') = 'array'" for name in LISTS]
    + [f"e.properties ->> '{name}' ~ '^{NUMBER}$'" for name in TOTALS]
)
_NEWEST = "ORDER BY e.occurred_at DESC, e.received_at DESC, e.id DESC LIMIT"
# Each name is a descent of the index `event_of_profile`, from its newest entry to the last whole cart.
_READ = reads(
    f"""
    SELECT p.profile_id, e.name, e.occurred_at, e.received_at, e.id, e.properties::text
    FROM unnest(%s::uuid[]) AS p(profile_id)
    CROSS JOIN LATERAL (SELECT greatest(
        (SELECT e.occurred_at FROM audience_event e
            WHERE e.profile_id = p.profile_id AND e.name = '{BOUGHT}' {_NEWEST} 1),
        (SELECT e.occurred_at FROM audience_event e
            WHERE e.profile_id = p.profile_id AND e.name = '{UPDATED}' AND ({_IS_WHOLE}) {_NEWEST} 1)
    ) AS at) AS whole
    CROSS JOIN unnest('{{{",".join(sorted(EVENTS))}}}'::text[]) AS n(name)
    CROSS JOIN LATERAL (
        SELECT * FROM audience_event e
        WHERE e.profile_id = p.profile_id AND e.name = n.name
            AND e.occurred_at >= coalesce(whole.at, '-infinity') {_NEWEST} {MOST}
    ) e
    ORDER BY p.profile_id, e.occurred_at, e.received_at, e.id
    """  # noqa: S608  # names of ours only
)

# By what a product is called; a line without a name of its own by its place.
Lines = dict[str | int, Product]


def touched(facts: Iterable[Fact]) -> dict[bytes, int]:
    """Return the profiles of whose carts facts tell, with their advertisers."""
    return {fact.profile_id: fact.message.advertiser_id for fact in facts if fact.message.event in EVENTS}


def keep(profiles: Mapping[bytes, int]) -> Talk[None]:
    """Keep the carts of profiles; beside each stands its advertiser.

    The caller holds the locks of the profiles, and has appended their events.
    """
    if not profiles:
        return
    ids = sorted(profiles)
    rows, attributes = yield [_READ(uuids(ids)), OF_PROFILES.read(uuids(ids), texts([NAME] * len(ids)))]
    stored = states_of(attributes)
    carts = {(profile, NAME): _told([row[1:] for row in some]) for profile, some in groupby(rows, itemgetter(0))}
    states = {
        key: cart
        for key, cart in carts.items()
        if cart is not None and (key not in stored or stored[key].seen_at <= cart.seen_at)
    }
    yield from write(states, {key: profiles[key[0]] for key in states}, OF_PROFILES)


def _told(events: Collection[tuple[Any, ...]]) -> Told | None:
    """Return what events come to, the oldest first; None where they tell nothing."""
    lines: Lines = {}
    last = None
    whole_at = whole_came_at = 0
    for name, at, came_at, fact_id, properties in events:
        is_whole = name in (UPDATED, BOUGHT)
        is_in_it = at == whole_at or (came_at < whole_came_at and at < whole_at + ON_ITS_WAY)
        if is_in_it and not is_whole:
            continue
        after = _after(lines, name, json.loads(properties))
        if after is not None:
            lines, last = after, (at, fact_id)
            if is_whole:
                whole_at, whole_came_at = at, came_at
    if last is None:
        return None
    at, fact_id = last
    value = [line | {"quantity": _plain(line["quantity"])} for line in lines.values()]
    return Told(write_value(value), at, at, fact_id, None, None, "track")


def _after(lines: Lines, name: str, told: Object) -> Lines | None:
    """Return the lines after an event; None where it tells nothing of them."""
    if name == BOUGHT:
        return {}
    if name == UPDATED:
        products = whole(told)
        return None if products is None else _all([priced(one, told) for one in products])
    named = [(key, one) for one in listed(told) or [product_of(told)] if (key := _called(one))]
    if not named:
        return None
    change = _add if name == ADDED else _remove
    lines = dict(lines)
    for key, product in named:
        change(lines, key, priced(product, told))
    return lines


def _all(products: Iterable[Product]) -> Lines:
    """Return the lines of a whole cart. Of one product there may be several, at several prices."""
    lines: Lines = {}
    for product in products:
        key = _called(product)
        place = key if key and key not in lines else len(lines)
        _put(lines, place, {"quantity": Decimal(1)} | product)
    return lines


def _add(lines: Lines, key: str, product: Product) -> None:
    before = lines.get(key, {"quantity": Decimal(0)})
    if "price" in product:  # it is in what this event says
        before = {name: value for name, value in before.items() if name not in MONEY}
    _put(lines, key, before | product | {"quantity": before["quantity"] + product.get("quantity", Decimal(1))})


def _remove(lines: Lines, key: str, product: Product) -> None:
    """Take so many of a product out; all of it where the event does not say how many."""
    if (line := lines.get(key)) is not None:
        quantity = line["quantity"]
        _put(lines, key, line | {"quantity": quantity - product.get("quantity", quantity)})


def _put(lines: Lines, key: str | int, line: Product) -> None:
    if line["quantity"] <= 0:
        lines.pop(key, None)
    elif key in lines or len(lines) < MOST:
        lines[key] = line


def _called(product: Product) -> str:
    return str(product.get("id") or product.get("name") or "")


def _plain(number: Decimal) -> int | float:
    return int(number) if number == number.to_integral_value() else float(number)
