"""The worked cases 39 to 79: clocks, attributes, segments, sequences, visits, companies, and what the engine does."""

from decimal import Decimal
from uuid import UUID

from tests.segments.rules.cases import Case
from tests.segments.rules.cases_of_events import RULE_1, V_AND_FOURTH, V_EVENTS, A, B, V, happened, late
from tests.segments.rules.facts import Company, Consent, Membership, Sighting, World, at, events, person, told

VIEW, BUY = {"event": "view"}, {"event": "buy"}
WORKING_HOURS = {"from": "09:00", "to": "17:00", "days": ["mon", "tue", "wed", "thu", "fri"]}
TODAY = {"event": "view", "window": {"calendar": "today"}}


def joined(*ranges):
    """Return ranges of the days of two months in the words of the cases."""
    return " + ".join(f"[{start}, {end})" for start, end in ranges)


def on_days(days, start, end):
    return joined(*((f"{day} {start}", f"{day} {end}") for day in days))


MAY_AND_JUNE = [f"05-{day:02}" for day in range(4, 30) if day % 7 not in (2, 3)] + ["06-01", "06-02"]
FRIDAYS = [("05-01", "05-02"), ("05-08", "05-09"), ("05-15", "05-16"), ("05-22", "05-23"), ("05-29", "05-30")]
NEW_YORKER = person(*events("v@05-01 03:00"), attributes=told(time_zone="America/New_York"))

CLOCKS = [
    Case("39 New York", TODAY, NEW_YORKER, "ends 05-01 04:00", as_of="05-01 03:00", zone="visitor"),
    Case("39 unknown", TODAY, happened("v@05-01 03:00"), "ends 05-01 22:00", zone="visitor"),
    Case("40", {"time": WORKING_HOURS}, person(), on_days(MAY_AND_JUNE, "07:00", "15:00"), as_of="05-01 16:00"),
    Case(
        "41 in spring",
        {"time": {"from": "02:00", "to": "03:00", "days": ["sun"]}},
        person(),
        on_days(["04-05", "04-12", "04-19", "04-26"], "00:00", "01:00"),
        as_of="03-28",
    ),
    Case(
        "41 in autumn",
        {"time": {"from": "02:00", "to": "03:00", "days": ["sun"]}},
        person(),
        "[10-25 00:00, 10-25 02:00) + " + on_days(["11-01", "11-08", "11-15", "11-22"], "01:00", "02:00"),
        as_of="10-24",
    ),
    Case(
        "42",
        {"time": {"from": "22:00", "to": "06:00", "days": ["fri"]}},
        person(),
        joined(*((f"{friday} 20:00", f"{saturday} 04:00") for friday, saturday in FRIDAYS)),
        as_of="05-01",
    ),
]


def knowing(**values):
    return person(attributes=told(**values))


def attribute(name, **test):
    return {"attribute": name, **test}


TRIAL, RENEWAL = knowing(trial_ends="2026-05-10T12:00:00Z"), knowing(renewal="2026-05-10")
TAGGED, UNTAGGED = knowing(tags=["a", "b"]), knowing(tags=[])
COUNTRY = {"situation": "place.country"}
SHOES_AND_HATS = person(*events("v@05-01 10:00", products=[{"category": "shoes"}, {"category": "hats"}]))


def with_quantity(quantity):
    return person(*events("v@05-01 10:00", qty=quantity))


QTY = {"event": "view", "where": [{"property": "qty", "at_least": 9}]}
VERSION = {"situation": "browser.version", "at_least": "9.1"}
NEW_BROWSER = person(sightings=(Sighting(at("05-01 10:00"), {"browser": {"version": "10.0"}}),))

ATTRIBUTES = [
    Case(
        "43 next",
        attribute("trial_ends", within_next="3d"),
        TRIAL,
        "[05-07 12:00, 05-10 12:00)",
        as_of="05-01",
    ),
    Case("43 ago", attribute("trial_ends", more_than_ago="7d"), TRIAL, "[05-17 12:00, ∞)", as_of="05-01"),
    Case("44", attribute("renewal", within_next="3d"), RENEWAL, "[05-06 22:00, 05-10 22:00)", as_of="05-01"),
    Case(
        "45 next",
        attribute("birthday", anniversary={"within_next": "7d"}),
        knowing(birthday="1990-05-04"),
        "[05-01, 05-04 22:00) + [2027-04-26 22:00, 2027-05-04 22:00)",
        as_of="05-01",
    ),
    Case(
        "45 leap day",
        attribute("birthday", anniversary="today"),
        knowing(birthday="2000-02-29"),
        "[02-27 23:00, 02-28 23:00) + [2027-02-27 23:00, 2027-02-28 23:00)",
        as_of="02-01",
    ),
    Case(
        "46",
        attribute("plan", equals="gold", for_at_least="30d"),
        person(attributes=told("05-01 10:00", plan="gold")),
        "[05-31 10:00, ∞)",
        as_of="05-10 10:00",
        engine="sent again 05-10 10:00",
    ),
    Case("47 not equals", {**COUNTRY, "not_equals": "DE"}, person(), "{}", as_of="05-01"),
    Case("47 not", {"not": {**COUNTRY, "equals": "DE"}}, person(), "holds", as_of="05-01"),
    Case("47 known", {**COUNTRY, "known": False}, person(), "holds", as_of="05-01"),
    Case("48", attribute("plan", equals="Gold"), knowing(plan="gold"), "holds"),
    Case("48 exact", attribute("plan", equals="Gold", case="exact"), knowing(plan="gold"), "{}"),
    Case("49 text", QTY, with_quantity("10"), "holds"),
    Case("49 comma", QTY, with_quantity("9,5"), "{}"),
    Case("49 word", QTY, with_quantity("ten"), "{}"),
    Case("49 less", QTY, with_quantity(Decimal("8.99")), "{}"),
    Case("49 version", VERSION, NEW_BROWSER, "holds"),
    Case("50 any", attribute("tags", includes_any=["a", "c"]), TAGGED, "holds"),
    Case("50 all", attribute("tags", includes_all=["a", "c"]), TAGGED, "{}"),
    Case("50 none", attribute("tags", includes_none=["c"]), TAGGED, "holds"),
    Case("50 empty any", attribute("tags", includes_any=["a", "c"]), UNTAGGED, "{}"),
    Case("50 empty all", attribute("tags", includes_all=["a", "c"]), UNTAGGED, "{}"),
    Case("50 empty none", attribute("tags", includes_none=["c"]), UNTAGGED, "holds"),
    Case("50 unknown any", attribute("tags", includes_any=["a", "c"]), person(), "{}", as_of="05-01"),
    Case("50 unknown all", attribute("tags", includes_all=["a", "c"]), person(), "{}", as_of="05-01"),
    Case("50 unknown none", attribute("tags", includes_none=["c"]), person(), "{}", as_of="05-01"),
    Case(
        "51",
        {"event": "view", "where": [{"property": "products[].category", "equals": "shoes"}]},
        SHOES_AND_HATS,
        "holds",
    ),
    Case(
        "51 not",
        {"event": "view", "where": [{"property": "products[].category", "not_equals": "shoes"}]},
        SHOES_AND_HATS,
        "{}",
    ),
]

X = {"x": (Membership(at("05-01 10:00"), at("05-31 10:00")),)}
REFIRED = {"x": (Membership(at("05-01 10:00"), at("06-19 10:00"), 3, at("05-20 10:00")),)}
IN_X = {"segment": "x", "in": True}
MEMBER, REFIRED_MEMBER = person(memberships=X), person(memberships=REFIRED)
VIEWING_MEMBER = person(*events("v@05-02 10:00"), memberships=X)
NO_VIEW = Case("A", {**A, "count": {"none": True}}, person(), "")
WITH_A = World(rules={"a": NO_VIEW.read()})

SEGMENTS = [
    Case("53 in", IN_X, VIEWING_MEMBER, "[05-02 10:00, 05-31 10:00)", as_of="05-02 10:00"),
    Case("53 out", {"segment": "x", "in": False}, VIEWING_MEMBER, "[05-31 10:00, ∞)", as_of="05-02 10:00"),
    Case(
        "53 both",
        {"all_of": [IN_X, {**A, "count": {"none": True}}]},
        VIEWING_MEMBER,
        "[05-09 10:00, 05-31 10:00)",
        as_of="05-02 10:00",
    ),
    Case("54 for", {**IN_X, "for_at_least": "14d"}, MEMBER, "[05-15 10:00, 05-31 10:00)", as_of="05-02"),
    Case(
        "54 joined",
        {"segment": "x", "joined": {"within": "7d"}},
        MEMBER,
        "[05-02, 05-08 10:00)",
        as_of="05-02",
    ),
    Case(
        "54 left",
        {"segment": "x", "left": {"within": "7d"}},
        MEMBER,
        "[05-31 10:00, 06-07 10:00)",
        as_of="05-02",
    ),
    Case(
        "54 was in",
        {"segment": "x", "was_in": {"within": "7d"}},
        MEMBER,
        "[05-02, 06-07 10:00)",
        as_of="05-02",
    ),
    Case("55 for", {**IN_X, "for_at_least": "14d"}, REFIRED_MEMBER, "ends 06-19 10:00", as_of="05-20 10:00"),
    Case(
        "55 value",
        {**IN_X, "value": {"at_least": 5}},
        REFIRED_MEMBER,
        "{}",
        as_of="05-20 10:00",
        engine="leave 05-20 10:00 in that transaction",
    ),
    Case(
        "56",
        {"all_of": [{"segment": "a", "in": True}, B]},
        happened("v@05-01 10:00, b60@05-01 10:00"),
        "[05-08 10:00, 05-31 10:00)",
        world=WITH_A,
        engine="A's join before B's; then A is refused as a cycle",
    ),
]

ADD, REMOVE = {"event": "add"}, {"event": "remove"}


def then(*steps, **more):
    return {"sequence": [ADD, *steps], **more}


ADD_BUY = then({**BUY, "within": "1h"})
UNDISTURBED = then({**BUY, "without": REMOVE})
NOT_BOUGHT = then({**BUY, "within": "1h", "absent": True}, window={"within": "7d"})
ABANDONERS = {
    "sequence": [{**ADD, "which": "last"}, {**BUY, "absent": True}],
    "window": {"between_ago": ["1h", "7d"]},
}
SAME_SKU = {"sequence": [VIEW, BUY], "same": ["sku"]}
SKUS = (*events("v@05-01 10:00", sku=1), *events("b@05-01 10:05", sku=2))

SEQUENCES = [
    Case("57 in time", ADD_BUY, happened("add@05-01 10:00, b@05-01 10:59:59.999999"), "holds"),
    Case("57 too late", ADD_BUY, happened("add@05-01 10:00, b@05-01 11:00"), "{}"),
    Case("58 removed", UNDISTURBED, happened("add@05-01 10:00, remove@05-01 10:05, b@05-01 10:10"), "{}"),
    Case(
        "58 added again",
        UNDISTURBED,
        happened("add@05-01 10:00, remove@05-01 10:05, add@05-01 10:06, b@05-01 10:10"),
        "holds",
    ),
    Case("59", NOT_BOUGHT, happened("add@05-01 10:00"), "[05-01 11:00, 05-08 11:00)"),
    Case("59 bought", NOT_BOUGHT, happened("add@05-01 10:00, b@05-01 10:30"), "{}"),
    Case("59 later", NOT_BOUGHT, happened("add@05-01 10:00, b@05-01 11:30"), "[05-01 11:30, 05-08 11:00)"),
    Case("60", ABANDONERS, happened("add@05-01 10:00, add@05-01 10:50"), "[05-01 11:50, 05-08 10:50)"),
    Case(
        "60 then",
        ABANDONERS,
        happened("add@05-01 10:00, add@05-01 10:50, b@05-02 09:00"),
        "{}",
        engine="leave 05-02 09:00",
    ),
    Case("61", SAME_SKU, person(*SKUS), "{}"),
    Case("61 then", SAME_SKU, person(*SKUS, *events("b@05-01 10:06", sku=1)), "holds"),
]

THIS_VISIT = {"event": "view", "window": {"this_visit": True}}
FAVOURITE = {"favourite": "category", "event": "view", "window": {"within": "7d"}, "equals": "shoes"}
CHANGE = {
    "change": "buy",
    "sum": "total",
    "from": {"between_ago": ["30d", "60d"]},
    "to": {"within": "30d"},
    "at_most": -50,
}
LOGINS = events("v@05-01 10:00, login@05-01 10:20")
LATER_LOGIN = events("login@05-01 10:50")
SHOPPER = person(
    *events("v@05-01 10:00, v@05-01 11:00, v@05-01 12:00", category="shoes"),
    *events("v@05-02 10:00, v@05-02 11:00", category="hats"),
)
CART_UNDER_100 = {
    "all_of": [
        {"items": "cart", "count": {"at_least": 1}},
        {"items": "cart", "sum": {"of": "amount", "less_than": 100}},
    ]
}
CARTS = [
    ("10:00", 80, "holds"),
    ("10:05", 120, "{}"),
    ("10:07", Decimal("99.99"), "holds"),
    ("10:08", 100, "{}"),
    ("10:09", 90, "holds"),
    ("10:10", None, "{}"),
]


def cart(clock, amount):
    lines = [] if amount is None else [{"id": "1", "price": amount, "quantity": 1, "amount": amount}]
    return person(attributes=told(f"05-01 {clock}", cart=lines))


BEHAVIOUR = [
    Case("62", THIS_VISIT, person(*LOGINS), "ends 05-01 10:50"),
    Case("62 then", THIS_VISIT, person(*LOGINS, *LATER_LOGIN), "{}"),
    Case(
        "62 then late",
        THIS_VISIT,
        person(*LOGINS, *LATER_LOGIN, *late("login@05-01 10:25", "05-01 10:55")),
        "[05-01 10:55, 05-01 11:20)",
    ),
    *(
        Case(
            f"63 at {clock}", CART_UNDER_100, cart(clock, amount), expected, engine="in the answer to that very fact"
        )
        for clock, amount, expected in CARTS
    ),
    Case("64", FAVOURITE, SHOPPER, "[05-02 11:00, 05-08 11:00)"),
    Case(
        "65",
        CHANGE,
        happened("b100@05-01 10:00, b40@06-05 10:00"),
        "[06-05 10:00, 06-30 10:00) + [07-05 10:00, 08-04 10:00)",
    ),
]

RAINED_ON = person(sightings=(Sighting(at("05-01 10:00"), {"weather": {"condition": "rain"}}),))
GRANTED = {"consent": "advertising", "equals": "granted"}
FOUND = person(sightings=(Sighting(at("05-01 10:00"), {"place": {"lat": 48.354, "lon": 11.786}}),))
SHARES = [
    ("000000000001", "holds", "{}"),
    ("000000014237", "holds", "{}"),
    ("000000000101", "{}", "holds"),
    ("000000000003", "{}", "holds"),
]


def near(km):
    return {"near": {"lat": 48.137, "lon": 11.575, "km": km}}


def of_id(digits):
    return person(id=UUID(f"00000000-0000-0000-0000-{digits}"))


SITUATIONS = [
    Case("66 rain", {"situation": "weather.condition", "equals": "rain"}, RAINED_ON, "[05-01 10:00, 05-01 13:00)"),
    Case(
        "66 granted",
        GRANTED,
        person(consents={"advertising": Consent("granted", at("05-31 10:00"))}),
        "ends 05-31 10:00",
        as_of="05-01 10:00",
    ),
    Case(
        "66 withdrawn",
        GRANTED,
        person(consents={"advertising": Consent("denied")}),
        "{}",
        as_of="05-10 10:00",
        engine="leave 05-10 10:00, cause consent",
    ),
    *(
        Case(f"67 low {id_}", {"bucket": [0, 25], "salt": "spring"}, of_id(id_), low, "05-01")
        for id_, low, _ in SHARES
    ),
    *(
        Case(f"67 high {id_}", {"bucket": [25, 50], "salt": "spring"}, of_id(id_), high, "05-01")
        for id_, _, high in SHARES
    ),
    Case("77 near", near(25), FOUND, "{}"),
    Case("77 farther", near(30), FOUND, "holds"),
]

U1 = person(*events("b60@05-01 10:00"), number=1)
U2 = person(*events("b60@05-06 10:00"), number=2)
COMPANY, NO_PEOPLE = Company(people=(U1, U2)), Company()
POOLED = Company(people=(U1, person(*events("b50@05-02 10:00"), number=2)))
QUANTIFIERS = [
    ("any", "ends 06-05 10:00"),
    ("all", "ends 05-31 10:00"),
    ({"at_least": 2}, "ends 05-31 10:00"),
    ("none", "[06-05 10:00, ∞)"),
]

COMPANIES = [
    *(
        Case(f"68 {people}", {"people": people, "who": B}, COMPANY, expected, of="account")
        for people, expected in QUANTIFIERS
    ),
    *(
        Case(
            f"68 {people} of nobody", {"people": people, "who": B}, NO_PEOPLE, "{}", as_of="05-06 10:00", of="account"
        )
        for people, _ in QUANTIFIERS
    ),
    Case(
        "69",
        {"event": "buy", "window": {"within": "7d"}, "sum": {"of": "total", "at_least": 100}},
        POOLED,
        "[05-02 10:00, 05-08 10:00)",
        of="account",
    ),
]

TWO_VIEWS = {**RULE_1, "count": {"at_least": 2}}
ENGINE = [
    Case("70", RULE_1, V, "ends 05-08 10:00", as_of="05-04 12:00", engine="Q merges into P, cause merge"),
    Case("71 P", TWO_VIEWS, V, "ends 05-09 10:00", as_of="05-03 12:00", engine="edit: keeps starts_at 05-03 10:00"),
    Case(
        "71 Q", TWO_VIEWS, person(*V_EVENTS[1:]), "ends 05-09 10:00", as_of="05-03 12:00", engine="joins, cause edit"
    ),
    Case(
        "72",
        {**RULE_1, "window": {"within": "1d"}},
        V,
        "{}",
        as_of="05-03 12:00",
        engine="in until the switch; leaves then, cause edit; a new label alone recomputes nothing",
    ),
    Case("73", RULE_1, V, "ends 05-08 10:00", as_of="05-06 12:00", engine="first saved then, and starts_at"),
    Case("74", RULE_1, V_AND_FOURTH, "ends 05-09 10:00", as_of="05-08 12:00", engine="paused 05-04, resumed then"),
    Case("75 before", TODAY, happened("v@05-01 10:00"), "ends 05-01 22:00", as_of="05-01 21:59:59"),
    Case(
        "75 after", TODAY, happened("v@05-01 10:00"), "{}", as_of="05-01 22:00", engine="a million leaves, at 22:00"
    ),
    Case("76", IN_X, person(), "{}", as_of="05-01", engine="added and removed in one batch: no transition"),
    Case(
        "78",
        {"event": "*", "window": {"within": "7d"}, "count": {"at_least": 2}},
        happened("v@05-01 10:00"),
        "{}",
        engine="the join of another segment is no event",
    ),
    Case("79", RULE_1, person(), "{}", as_of="05-04", engine="erased: leave, cause erasure; then nothing comes in"),
]

CASES = [*CLOCKS, *ATTRIBUTES, *SEGMENTS, *SEQUENCES, *BEHAVIOUR, *SITUATIONS, *COMPANIES, *ENGINE]
