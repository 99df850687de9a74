"""The products that an event tells of, under the several names that shops and tag managers have for one thing."""

import re
from decimal import Decimal
from typing import Any

from audience.attributes import write_value
from audience.values import LONGEST_NAME, Object

# What a product is, in the words of rules.md 1.4. `quantity` is a Decimal; what cannot be read is left out.
Product = dict[str, Any]

LISTS, TOTALS = ("products", "items"), ("total", "value")
# What a price is in, beside it: of the event, where that says so.
MONEY = ("currency", "exchange_rate")
# Ours first, then those of Segment's e-commerce events and of Google's.
_TEXTS = {
    "id": ("product_id", "id", "sku", "item_id"),
    "name": ("name", "item_name"),
    "category": ("category", "item_category"),
    "brand": ("brand", "item_brand"),
}
# For PostgreSQL as well.
NUMBER = "-?[0-9]{1,15}([.][0-9]{1,15})?"
_NUMBER = re.compile(NUMBER)
LARGEST = 10**15


def listed(told: Object) -> list[Product] | None:
    """Return the products that an event lists; None where it lists none, not even an empty list."""
    found = next((told[name] for name in LISTS if isinstance(told.get(name), list)), None)
    return None if found is None else [product for one in found if (product := product_of(one))]


def product_of(told: Any) -> Product:
    """Return the product that properties, or an element of a list, describe; a bare text is its id."""
    if not isinstance(told, dict):
        told = {"id": told}
    product: Product = {}
    for key, names in _TEXTS.items():
        if text := next((text for name in names if (text := _text(told.get(name)))), ""):
            product[key] = text
    if number_of(told.get("price")) is not None:
        product["price"] = told["price"]
    if (quantity := number_of(told.get("quantity"))) is not None:
        product["quantity"] = quantity
    return product


def priced(product: Product, told: Object) -> Product:
    """Return a product with what its price is in, as its event says."""
    if "price" not in product:
        return product
    currency, rate = _text(told.get("currency")), told.get("exchange_rate")
    beside = {"currency": currency} if currency else {}
    return product | beside | ({} if number_of(rate) is None else {"exchange_rate": rate})


def whole(told: Object) -> list[Product] | None:
    """Return all that an event says to be there; None where it says neither products nor a total.

    A total alone is a product without a name, of that price.
    """
    if (products := listed(told)) is not None:
        return products
    for name in TOTALS:
        if (total := number_of(told.get(name))) is not None:
            return [{"price": told[name]}] if total > 0 else []
    return None


def number_of(value: Any) -> Decimal | None:
    """Return a number, or the one that a text is, as rules read it."""
    if isinstance(value, str) and _NUMBER.fullmatch(value):
        return Decimal(value)
    if isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= LARGEST:
        return Decimal(str(value))
    return None


def _text(value: Any) -> str:
    """Return a text, or the digits of a number; nothing where it is none, or so long that it is no name."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        value = write_value(value)
    return value.strip() if isinstance(value, str) and len(value) <= LONGEST_NAME else ""
