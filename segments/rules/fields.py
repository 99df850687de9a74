"""The fields of an event's context and of a profile's situation, and the attributes that Muster keeps itself
(rules.md 1.4 and 1.5)."""

from typing import Literal, NamedTuple

from segments.rules.values import Name, Reads

# `records` is a list of objects. Attributes of no known type have whichever the test reads.
AttributeType = Literal["text", "number", "boolean", "date", "day", "list", "records"]


class Field(NamedTuple):
    """One field: its steps joined by dots, what its value is, and what people call it."""

    key: str
    reads: Reads
    label: str


_ROWS = (
    Field("place.country", "text", "country"),
    Field("place.region", "text", "region"),
    Field("place.city", "text", "city"),
    Field("place.postcode", "text", "postcode"),
    Field("place.metro", "text", "metro area"),
    Field("place.network", "text", "network"),
    Field("time_zone", "text", "time zone"),
    Field("device.type", "text", "device"),
    Field("device.brand", "text", "device brand"),
    Field("device.model", "text", "device model"),
    Field("browser.name", "text", "browser"),
    Field("browser.version", "version", "browser version"),
    Field("os.name", "text", "operating system"),
    Field("os.version", "version", "operating system version"),
    Field("screen.width", "number", "screen width"),
    Field("screen.height", "number", "screen height"),
    Field("language", "language", "language"),
    Field("channel", "text", "channel"),
    Field("source.medium", "text", "medium"),
    Field("source.name", "text", "source"),
    Field("source.campaign", "text", "campaign"),
    Field("source.term", "text", "search term"),
    Field("source.content", "text", "ad content"),
    Field("source.referrer", "text", "referrer"),
    Field("source.referrer_domain", "text", "referrer domain"),
    Field("source.click_id", "text", "click id"),
    Field("page.url", "text", "page address"),
    Field("page.host", "text", "page host"),
    Field("page.path", "text", "page path"),
    Field("page.title", "text", "page title"),
    Field("page.type", "text", "page type"),
    Field("landing.url", "text", "landing page"),
    Field("landing.path", "text", "landing path"),
    Field("weather.condition", "text", "weather"),
    Field("weather.temperature", "number", "temperature"),
)
FIELDS: dict[Name, Field] = {tuple(row.key.split(".")): row for row in _ROWS}

WEATHER_VALID_HOURS = 3

# `amount` of a line is price times quantity.
CART_KEYS = ("id", "name", "category", "brand", "price", "quantity", "amount")
BUILT_IN_ATTRIBUTES: dict[Name, AttributeType] = {("cart",): "records", ("cart", "updated_at"): "date"}


def field_of(name: Name) -> Field | None:
    """Return the field of a name, or None. `page.query.NAME` is one for every NAME."""
    if name[:2] == ("page", "query") and len(name) == 3:
        return Field(".".join(name), "text", f"page parameter {name[2]}")
    return FIELDS.get(name)
