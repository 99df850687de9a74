"""The worked cases 1 to 38, and others about events: counts, sums, spans, orders of arrival and calendars."""

from datetime import timedelta
from itertools import permutations
from uuid import UUID

from tests.segments.rules.cases import Case
from tests.segments.rules.facts import Event, World, at, events, person

V_EVENTS = events("v@05-01 10:00, v@05-02 10:00, v@05-03 10:00")
V = person(*V_EVENTS)
V_AND_FOURTH = person(*V_EVENTS, *events("v@05-06 09:00"))
RULE_1 = {"event": "view", "window": {"within": "7d"}, "count": {"at_least": 3}}
A = {"event": "view", "window": {"within": "7d"}}
B = {"event": "buy", "window": {"within": "30d"}}
C = {"event": "buy", "window": {"within": "10d"}}


def views(count, within="7d"):
    return {"event": "view", "window": {"within": within}, "count": count}


def viewed(window):
    return {"event": "view", "window": window}


def bought(**asked):
    return {"event": "buy", "window": {"within": "7d"}, **asked}


def total(**test):
    return {"of": "total", **test}


def happened(text):
    return person(*events(text))


def late(text, arrival):
    """Return events that were applied at another time than they occurred."""
    return tuple(Event(one.name, one.occurred_at, one.properties, received_at=at(arrival)) for one in events(text))


REFUND_FIRST = "b-30@05-01 10:00, b60@05-02 10:00, b50@05-03 10:00"
REFUND_LAST = "b60@05-01 10:00, b50@05-02 10:00"
HATS_AND_SHOES = person(
    *events("v@05-01 10:00", category="shoes", price=50), *events("v@05-01 10:00", category="hats", price=120)
)
CATEGORIES = person(
    *events("v@05-01 10:00", category="shoes"),
    *events("v@05-02 10:00", category="hats"),
    *events("v@05-03 10:00", category="Shoes"),
)
LATE_FIRST = person(*late("v@05-01 10:00", "05-04 12:00"), *V_EVENTS[1:])
OLD_PURCHASE = happened("b60@04-10 10:00, v@05-01 10:00")
LAST_OF_FIRST = events("b60@05-01 10:00, b60@05-06 10:00")
KEPT_400_DAYS = World(retention=timedelta(days=400))
ORDERS = list(permutations((*V_EVENTS, *events("b60@05-02 12:00"))))

COUNTS = [
    Case("1", RULE_1, V, "[05-03 10:00, 05-08 10:00)"),
    Case("1 in two nots", {"not": {"not": RULE_1}}, V, "[05-03 10:00, 05-08 10:00)"),
    Case("1 with two", RULE_1, person(*V_EVENTS[:2]), "{}", as_of="05-03 10:00"),
    Case("2 before", RULE_1, V, "ends 05-08 10:00", as_of="05-08 09:59:59.999999", engine="sweeper stopped"),
    Case("2 after", RULE_1, V, "{}", as_of="05-08 10:00", engine="leave written later, at 05-08 10:00, cause time"),
    Case("3", RULE_1, V_AND_FOURTH, "[05-06 09:00, 05-09 10:00)", engine="starts_at stays, no transition"),
    Case("4 exactly", views({"exactly": 3}), V_AND_FOURTH, "[05-08 10:00, 05-09 10:00)", engine="joins by time"),
    Case("4 at_most", views({"at_most": 2}), V_AND_FOURTH, "[05-09 10:00, ∞)", engine="joins by time"),
    Case("4 between", views({"between": [2, 3]}), V_AND_FOURTH, "[05-08 10:00, 05-10 10:00)"),
    Case("4 none", views({"none": True}), V_AND_FOURTH, "[05-13 09:00, ∞)"),
    Case("5", {**B, "count": {"none": True}}, person(), "[05-01, ∞)", as_of="05-01"),
    Case("6 within", A, happened("v@05-01 10:00"), "{}", as_of="05-08 10:00"),
    Case("6 more", viewed({"more_than_ago": "7d"}), happened("v@05-01 10:00"), "holds", as_of="05-08 10:00"),
    Case(
        "7 one id twice",
        views({"at_least": 2}),
        person(*(Event("view", at("05-01 10:00"), id=UUID(int=7)) for _ in range(2))),
        "{}",
    ),
    Case("7 two ids", views({"at_least": 2}), happened("v@05-01 10:00, v@05-01 10:00"), "ends 05-08 10:00"),
    Case("8", {"event": "view"}, happened("v@05-01 10:00"), "holds"),
    Case("8 kept", {"event": "view"}, happened("v@05-01 10:00"), "ends 2027-06-05 10:00", world=KEPT_400_DAYS),
    Case(
        "8 kept, none",
        {"event": "view", "count": {"none": True}},
        happened("v@05-01 10:00"),
        "[2027-06-05 10:00, ∞)",
        world=KEPT_400_DAYS,
    ),
    Case(
        "9",
        {"event": ["view", "buy"], "window": {"within": "7d"}, "count": {"at_least": 2}},
        happened("v@05-01 10:00, b60@05-02 10:00"),
        "[05-02 10:00, 05-08 10:00)",
    ),
    Case(
        "10",
        {
            "event": "view",
            "where": [{"property": "category", "equals": "shoes"}, {"property": "price", "at_least": 100}],
        },
        HATS_AND_SHOES,
        "{}",
    ),
]

ARRIVALS = [
    Case("11", RULE_1, LATE_FIRST, "[05-04 12:00, 05-08 10:00)", engine="join at 05-04 12:00"),
    Case("12", A, person(*late("v@04-20 10:00", "05-04 12:00")), "{}", engine="no transition"),
    Case("13 before", A, happened("v@05-01 10:00"), "[05-01 10:00, 05-08 10:00)"),
    Case(
        "13 late",
        A,
        person(*events("v@05-01 10:00"), *late("v@05-03 10:00", "05-09 08:00")),
        "[05-09 08:00, 05-10 10:00)",
        engine="left at 05-08 10:00, join 05-09 08:00",
    ),
    Case(
        "14",
        viewed({"within": "1h"}),
        happened("v@05-05 10:00"),
        "[05-05 10:00, 05-05 11:00)",
        engine="said to be at 10:10, received 10:00",
    ),
    Case(
        "15",
        {**B, "count": {"none": True}},
        person(*late("b60@05-01 12:00", "05-10 12:00")),
        "[05-31 12:00, ∞)",
        engine="member since 05-01 leaves 05-10 12:00",
    ),
    *(
        Case(
            f"16 order {index}",
            {"all_of": [RULE_1, {"event": "buy", "window": {"within": "2d"}}]},
            person(*order),
            "[05-03 10:00, 05-04 12:00)",
            engine="the orders of arrival",
        )
        for index, order in enumerate(ORDERS)
    ),
]

SPANS = [
    Case(
        "17",
        viewed({"between_ago": ["7d", "30d"]}),
        happened("v@05-01 10:00"),
        "[05-08 10:00, 05-31 10:00)",
    ),
    Case(
        "17 none",
        {**viewed({"between_ago": ["7d", "30d"]}), "count": {"none": True}},
        happened("v@05-01 10:00"),
        "[05-01 10:00, 05-08 10:00) + [05-31 10:00, ∞)",
    ),
    Case(
        "18",
        viewed({"between_ago": ["7d", "30d"]}),
        happened("v@05-01 10:00, v@05-31 10:00"),
        "[06-07 10:00, 06-30 10:00)",
    ),
    Case(
        "19",
        {**viewed({"between_ago": ["1d", "3d"]}), "count": {"at_least": 2}},
        happened("v@05-01 10:00, v@05-02 10:00"),
        "[05-03 10:00, 05-04 10:00)",
    ),
    Case(
        "20 last",
        {"event": "buy", "which": "last", "window": {"more_than_ago": "30d"}},
        happened("b60@05-01 10:00, b60@05-20 10:00"),
        "[06-19 10:00, ∞)",
    ),
    Case(
        "20 any",
        {"event": "buy", "window": {"more_than_ago": "30d"}},
        happened("b60@05-01 10:00, b60@05-20 10:00"),
        "[05-31 10:00, ∞)",
    ),
    Case("21", bought(which="first"), person(*LAST_OF_FIRST), "[05-06 10:00, 05-08 10:00)"),
    Case(
        "21 then",
        bought(which="first"),
        person(*LAST_OF_FIRST, *late("b60@04-01 10:00", "05-07 10:00")),
        "{}",
        engine="leave 05-07 10:00",
    ),
]

AMOUNTS = [
    Case("22", bought(sum=total(at_least=100)), happened(REFUND_LAST), "[05-02 10:00, 05-08 10:00)"),
    Case(
        "22 then",
        bought(sum=total(at_least=100)),
        happened(f"{REFUND_LAST}, b-30@05-03 10:00"),
        "{}",
        engine="leave 05-03 10:00",
    ),
    Case("23", bought(sum=total(at_least=100)), happened(REFUND_FIRST), "[05-08 10:00, 05-09 10:00)"),
    Case(
        "24",
        bought(sum=total(at_least=0)),
        happened("b60@05-01 10:00, b-60@05-02 10:00"),
        "[05-02 10:00, 05-08 10:00) + [05-09 10:00, ∞)",
    ),
    Case(
        "25",
        bought(sum=total(between=[0.3, 0.3])),
        happened("b0.1@05-01 10:00, b0.2@05-01 11:00"),
        "[05-01 11:00, 05-08 10:00)",
    ),
    Case("26 sum", bought(sum=total(at_most=50)), person(), "[05-01, ∞)", as_of="05-01"),
    Case("26 avg", bought(avg=total(at_most=50)), person(), "{}", as_of="05-01"),
    Case(
        "27",
        bought(avg=total(at_least=40)),
        happened("b20@05-01 10:00, b60@05-02 10:00"),
        "[05-02 10:00, 05-09 10:00)",
    ),
    Case(
        "28",
        bought(max=total(at_most=50)),
        happened("b80@05-01 10:00, b30@05-02 10:00"),
        "[05-08 10:00, 05-09 10:00)",
    ),
    Case(
        "28 not",
        {"not": bought(max=total(at_most=50))},
        happened("b80@05-01 10:00, b30@05-02 10:00"),
        "[05-02 10:00, 05-08 10:00) + [05-09 10:00, ∞)",
    ),
    Case(
        "29",
        {**A, "distinct": {"of": "category", "at_least": 2}},
        CATEGORIES,
        "[05-03 10:00, 05-09 10:00)",
    ),
]

GROUPS = [
    Case(
        "30",
        {"all_of": [RULE_1, {**B, "count": {"none": True}}]},
        person(*V_EVENTS, *events("b60@04-04 12:00")),
        "[05-04 12:00, 05-08 10:00)",
        engine="joins and leaves by time",
    ),
    Case("31 not any", {"not": {"any_of": [A, B]}}, OLD_PURCHASE, "[05-10 10:00, ∞)", as_of="05-02"),
    Case("31 all not", {"all_of": [{"not": A}, {"not": B}]}, OLD_PURCHASE, "[05-10 10:00, ∞)", as_of="05-02"),
    Case("31 not all", {"not": {"all_of": [A, B]}}, OLD_PURCHASE, "[05-08 10:00, ∞)", as_of="05-02"),
    Case(
        "32",
        {"all_of": [A, {"not": {"all_of": [B, {"not": C}]}}]},
        happened("b60@04-22 10:00, v@05-01 10:00"),
        "[05-01 10:00, 05-02 10:00)",
    ),
    Case(
        "33 apart",
        {"any_of": [viewed({"within": "1d"}), viewed({"between_ago": ["2d", "3d"]})]},
        happened("v@05-01 10:00"),
        "[05-01 10:00, 05-02 10:00) + [05-03 10:00, 05-04 10:00)",
    ),
    Case(
        "33 touching",
        {"any_of": [viewed({"within": "1d"}), viewed({"between_ago": ["1d", "2d"]})]},
        happened("v@05-01 10:00"),
        "[05-01 10:00, 05-03 10:00)",
        engine="no transition at 05-02 10:00",
    ),
]

TODAY, YESTERDAY = viewed({"calendar": "today"}), viewed({"calendar": "yesterday"})
HAVANA = "America/Havana"
CALENDARS = [
    Case("34 in May", TODAY, happened("v@05-01 21:30"), "ends 05-01 22:00"),
    Case("34 of 23 hours", TODAY, happened("v@03-29 00:30"), "ends 03-29 22:00"),
    Case("34 of 25 hours", TODAY, happened("v@10-25 00:30"), "ends 10-25 23:00"),
    Case("35 in spring", viewed({"within": "1d"}), happened("v@03-28 12:00"), "ends 03-29 12:00"),
    Case("35 in autumn", viewed({"within": "1d"}), happened("v@10-24 12:00"), "ends 10-25 12:00"),
    Case("36 yesterday", YESTERDAY, happened("v@10-24 20:00"), "[10-24 22:00, 10-25 23:00)"),
    Case(
        "36 last days",
        viewed({"calendar": {"last": 7, "unit": "day"}}),
        happened("v@05-01 10:00"),
        "[05-01 10:00, 05-07 22:00)",
    ),
    Case("37 in May", viewed({"calendar": "this_month"}), happened("v@05-31 21:59"), "ends 05-31 22:00"),
    Case("37 in June", viewed({"calendar": "this_month"}), happened("v@05-31 22:00"), "ends 06-30 22:00"),
    Case("38 today", TODAY, happened("v@11-01 04:30"), "ends 11-02 05:00", zone=HAVANA),
    Case("38 yesterday", YESTERDAY, happened("v@10-31 20:00"), "[11-01 04:00, 11-02 05:00)", zone=HAVANA),
]

CASES = [*COUNTS, *ARRIVALS, *SPANS, *AMOUNTS, *GROUPS, *CALENDARS]
