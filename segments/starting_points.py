"""Rules to begin with: common segments, copied and freely edited (rules.md 4). A row each."""

import json
from typing import Any, NamedTuple

from segments.rules.reading.rules import read
from segments.rules.tree import Of
from segments.rules.writing import write


class StartingPoint(NamedTuple):
    """`key` stands in addresses."""

    key: str
    title: str
    node: dict[str, Any]
    of: Of = "profile"

    @property
    def text(self) -> str:
        """Return the rule in its saved form."""
        return write(read(json.dumps({"muster_rule": 1, "of": self.of, "rule": self.node})).rule)


def _recently(event: str, window: str = "7d") -> dict[str, Any]:
    return {"event": event, "window": {"within": window}}


_OF_THE_BRAND = {**_recently("product_view", "30d"), "where": [{"property": "brand", "equals": "Acme"}]}

STARTING_POINTS = (
    StartingPoint(
        "cart-abandoners",
        "Cart abandoners",
        {
            "sequence": [{"event": "add_to_cart", "which": "last"}, {"event": "purchase", "absent": True}],
            "window": {"between_ago": ["1h", "7d"]},
        },
    ),
    StartingPoint(
        "cart-under-100",
        "Cart under 100",
        {
            "all_of": [
                {"items": "cart"},
                {"items": "cart", "sum": {"of": "amount", "less_than": 100}},
            ]
        },
    ),
    StartingPoint(
        "big-spenders",
        "Big spenders",
        {**_recently("purchase", "365d"), "sum": {"of": "total", "at_least": 500}},
    ),
    StartingPoint(
        "lapsed", "Lapsed for 30 days", {"event": "$visit", "which": "last", "window": {"more_than_ago": "30d"}}
    ),
    StartingPoint(
        "brand-enthusiasts",
        "Brand enthusiasts",
        {
            "all_of": [
                {**_OF_THE_BRAND, "count": {"at_least": 5}},
                {**_OF_THE_BRAND, "distinct": {"of": "$visit", "at_least": 2}},
            ]
        },
    ),
    StartingPoint("first-time-buyers", "First-time buyers", {"event": "purchase", "count": {"exactly": 1}}),
    StartingPoint("repeat-buyers", "Repeat buyers", {"event": "purchase", "count": {"at_least": 2}}),
    StartingPoint(
        "viewed-not-bought",
        "Viewed, not bought",
        {
            "sequence": [{"event": "product_view"}, {"event": "purchase", "absent": True}],
            "same": ["product_id"],
            "window": {"within": "7d"},
        },
    ),
    StartingPoint(
        "new-subscribers", "New subscribers", {"event": "subscribed", "which": "first", "window": {"within": "7d"}}
    ),
    StartingPoint(
        "opened-not-clicked",
        "Opened, not clicked",
        {"all_of": [_recently("email_opened"), {"not": _recently("email_clicked")}]},
    ),
    StartingPoint("trial-ending", "Trial ending", {"attribute": "trial_ends", "within_next": "3d"}),
    StartingPoint(
        "birthday", "Birthday in the next week", {"attribute": "birthday", "anniversary": {"within_next": "7d"}}
    ),
    StartingPoint("held-out", "Held-out 10 %", {"bucket": [0, 10], "salt": "held-out"}),
    StartingPoint(
        "buying-team", "Buying team", {"people": {"at_least": 3}, "who": _recently("*", "30d")}, of="account"
    ),
)


def starting_point(key: str) -> StartingPoint | None:
    return next((one for one in STARTING_POINTS if one.key == key), None)
