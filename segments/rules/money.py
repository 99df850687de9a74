"""Which values are amounts of money, and in which currency they count (rules.md 2.6).

The names are those of the e-commerce events that clients send in the Segment form. An event, or a record of a list,
says its currency by `currency` (ISO 4217); without it, that is the advertiser's. Amounts in another one count
converted where it says by `exchange_rate` how much one unit of it is in the advertiser's; otherwise they are unknown.
"""

from segments.rules.values import EACH, Name

AMOUNTS = frozenset({"amount", "discount", "price", "revenue", "shipping", "subtotal", "tax", "total", "value"})


def is_money(name: Name) -> bool:
    """Say whether the values of a name are amounts: `total`, `products[].price`."""
    steps = [step for step in name if step != EACH]
    return bool(steps) and steps[-1] in AMOUNTS
