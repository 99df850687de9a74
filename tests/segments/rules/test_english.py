"""Every rule reads as English: the sentences of rules.md 2.18, of all worked cases, and of what these leave out."""

import pytest

from segments.rules.english import English
from tests.segments.rules.asking import reading_of
from tests.segments.rules.worked import CASES

SHOES = {"property": "category", "equals": "shoes"}
VIEWED_SHOES = {"event": "product_view", "where": [SHOES], "window": {"within": "7d"}, "count": {"at_least": 3}}
OF_THE_SPECIFICATION = [
    (VIEWED_SHOES, "Viewed a product in shoes at least 3 times in the last 7 days"),
    (
        {"event": "purchase", "window": {"within": "30d"}, "count": {"none": True}},
        "Did not purchase in the last 30 days",
    ),
    ({"event": "purchase", "window": {"between_ago": ["7d", "30d"]}}, "Purchased between 7 and 30 days ago"),
    (
        {"event": "purchase", "which": "last", "window": {"more_than_ago": "30d"}},
        "Last purchased more than 30 days ago",
    ),
    (
        {"event": "purchase", "window": {"calendar": "this_month"}, "sum": {"of": "total", "more_than": 500}},
        "Purchases this month add up to more than 500",
    ),
    (
        {
            "sequence": [
                {"event": "product_view"},
                {"event": "purchase", "within": "2d", "without": {"event": "product_return"}},
            ],
            "same": ["product_id"],
        },
        "Viewed a product, then purchased it within 2 days with no return in between",
    ),
    ({"situation": "place.country", "not_equals": "DE"}, "Country is known and is not DE"),
    (
        {"not": {"situation": "place.country", "equals": "DE"}},
        "Not: country is DE (so also where it is unknown)",
    ),
]

OTHERS = [
    ({"event": "login", "distinct": {"of": "$day", "at_least": 1}}, "Logged in on at least 1 different day"),
    ({"event": "login", "distinct": {"of": "$visit", "exactly": 2}}, "Logged in in exactly 2 different visits"),
    ({"event": "login", "count": {"exactly": 1}}, "Logged in exactly once"),
    ({"event": "login", "count": {"none": True}}, "Never logged in"),
    ({"event": "*", "window": {"on": "2026-05-01"}}, "Did anything on 1 May 2026"),
    (
        {"event": "login", "window": {"between_dates": ["2026-05-01", "2026-05-03"]}},
        "Logged in from 1 May 2026 to 3 May 2026",
    ),
    (
        {"event": "login", "window": {"between_times": ["2026-05-01T10:00:00Z", "2026-05-01T10:00:00.5Z"]}},
        "Logged in from 1 May 2026 10:00 UTC until 1 May 2026 10:00:00.5 UTC",
    ),
    ({"event": "login", "window": {"between_ago": ["1h", "7d"]}}, "Logged in between 1 hour and 7 days ago"),
    (
        {"event": "login", "window": {"calendar": {"last": 2, "unit": "month"}}},
        "Logged in this month or in the month before",
    ),
    (
        {"event": "login", "window": {"calendar": "today"}, "zone": "visitor"},
        "Logged in today on the visitor's clock",
    ),
    (
        {"event": "login", "where": [{"not": {"any_of": [SHOES, {"context": "page.path", "like": "/a/*"}]}}]},
        "Logged in where not ((category is shoes or page path is like /a/*))",
    ),
    (
        {"sequence": [{"event": "login"}, {"event": "purchase"}], "same_visit": True, "within": "1h"},
        "Logged in, then purchased, all in one visit, all within 1 hour",
    ),
    (
        {
            "change": "purchase",
            "count": True,
            "from": {"between_ago": ["30d", "60d"]},
            "to": {"within": "30d"},
            "more_than": 10,
        },
        "The number of purchases in the last 30 days, against that between 30 and 60 days ago,"
        " changed by more than 10 percent",
    ),
    (
        {"favourite": "brand", "event": "purchase", "by": {"sum": "total"}, "equals": "Acme"},
        "The favourite brand of purchases, by total, is Acme",
    ),
    ({"attribute": "city", "equals": "New York"}, "City is “New York”"),
    ({"attribute": "tags", "empty": False}, "Tags is not empty"),
    ({"attribute": "tags", "equals": "a", "pick": "last"}, "Tags is a (the last)"),
    (
        {"attribute": "plan", "one_of": ["a", "b", "c", "d", "e", "f", "g"]},
        "Plan is a, b, c, d, e or 2 more",
    ),
    ({"attribute": "ends", "between_ahead": ["3d", "7d"]}, "Ends is between 3 and 7 days ahead"),
    (
        {
            "items": "cart",
            "where": [{"property": "brand", "equals": "Acme"}],
            "distinct": {"of": "id", "at_least": 2},
        },
        "Cart has at least 2 different values of id where brand is Acme",
    ),
    ({"identity": "email", "ends_with": "@example.com"}, "Has an email address that ends with @example.com"),
    ({"identity": "email", "known": False}, "Has no email addresses"),
    ({"identity": "partner:adz", "count": {"at_least": 2}}, "Has at least 2 ids of adz"),
    ({"person": "known"}, "Is known by a customer id, email or phone"),
    ({"person": "anonymous"}, "Is anonymous"),
    ({"consent": "advertising", "known": False}, "Has not decided about advertising"),
    (
        {"situation": "source.campaign", "equals": "spring", "seen": "first"},
        "First campaign is spring",
    ),
    (
        {"near": {"lat": 48, "lon": 11, "km": 2.5}, "seen": "first", "window": {"within": "1d"}},
        "Was first within 2.5 km of 48, 11 seen in the last 24 hours",
    ),
    ({"segment": ["a", "b"], "was_in": {"ever": True}}, "Was ever in a or b"),
    (
        {"segment": "a", "in": True, "last_added": {"within": "1d"}},
        "Is in a last added in the last 24 hours",
    ),
    (
        {"account": {"attribute": "industry", "equals": "retail"}},
        "Belongs to a company for which: industry is retail",
    ),
]


@pytest.mark.parametrize(("node", "sentence"), [*OF_THE_SPECIFICATION, *OTHERS])
def test_a_condition_reads_as_english(node, sentence):
    assert English().sentence(reading_of(node).rule) == sentence


def test_an_event_is_called_by_its_display_name():
    english = English(display_names={"film": "Watched a film"})
    assert english.sentence(reading_of({"event": "film"}).rule) == "Watched a film"
    never = {"event": "film", "window": {"within": "1h"}, "count": {"none": True}}
    assert english.sentence(reading_of(never).rule) == "Has not watched a film in the last hour"


def test_ever_says_for_how_long_events_are_kept():
    assert (
        English(retention_days=400).sentence(reading_of({"event": "login"}).rule) == "Logged in in the last 400 days"
    )


SENTENCES = [
    ("1", "Did `view` at least 3 times in the last 7 days"),
    ("1 in two nots", "Not: (not: did `view` at least 3 times in the last 7 days)"),
    ("4 exactly", "Did `view` exactly 3 times in the last 7 days"),
    ("4 at_most", "Did `view` at most 2 times in the last 7 days"),
    ("4 between", "Did `view` between 2 and 3 times in the last 7 days"),
    ("4 none", "Did not do `view` in the last 7 days"),
    ("5", "Did not do `buy` in the last 30 days"),
    ("6 within", "Did `view` in the last 7 days"),
    ("6 more", "Did `view` more than 7 days ago"),
    ("7 one id twice", "Did `view` at least 2 times in the last 7 days"),
    ("8", "Did `view`"),
    ("8 kept, none", "Never did `view`"),
    ("9", "Did `view` or did `buy` at least 2 times in the last 7 days"),
    ("10", "Did `view` in shoes where price is at least 100"),
    ("14", "Did `view` in the last hour"),
    ("16 order 0", "Did `view` at least 3 times in the last 7 days and did `buy` in the last 2 days"),
    ("17", "Did `view` between 7 and 30 days ago"),
    ("17 none", "Did not do `view` between 7 and 30 days ago"),
    ("19", "Did `view` at least 2 times between 1 and 3 days ago"),
    ("20 last", "Last did `buy` more than 30 days ago"),
    ("20 any", "Did `buy` more than 30 days ago"),
    ("21", "First did `buy` in the last 7 days"),
    ("22", "`buy` events in the last 7 days add up to at least 100"),
    ("24", "`buy` events in the last 7 days add up to at least 0"),
    ("25", "`buy` events in the last 7 days add up to between 0.3 and 0.3"),
    ("26 sum", "`buy` events in the last 7 days add up to at most 50"),
    ("26 avg", "The average total of `buy` events in the last 7 days is at most 50"),
    ("27", "The average total of `buy` events in the last 7 days is at least 40"),
    ("28", "The highest total of `buy` events in the last 7 days is at most 50"),
    ("28 not", "Not: the highest total of `buy` events in the last 7 days is at most 50"),
    ("29", "Did `view` with at least 2 different values of category in the last 7 days"),
    ("30", "Did `view` at least 3 times in the last 7 days and did not do `buy` in the last 30 days"),
    ("31 not any", "Not: (did `view` in the last 7 days or did `buy` in the last 30 days)"),
    ("31 all not", "(not: did `view` in the last 7 days) and (not: did `buy` in the last 30 days)"),
    ("31 not all", "Not: (did `view` in the last 7 days and did `buy` in the last 30 days)"),
    (
        "32",
        "Did `view` in the last 7 days"
        " and (not: (did `buy` in the last 30 days and (not: did `buy` in the last 10 days)))",
    ),
    ("33 apart", "Did `view` in the last 24 hours or did `view` between 2 and 3 days ago"),
    ("33 touching", "Did `view` in the last 24 hours or did `view` between 1 and 2 days ago"),
    ("34 in May", "Did `view` today"),
    ("35 in spring", "Did `view` in the last 24 hours"),
    ("36 yesterday", "Did `view` yesterday"),
    ("36 last days", "Did `view` today or in the 6 days before"),
    ("37 in May", "Did `view` this month"),
    ("40", "It is between 09:00 and 17:00 on Mon, Tue, Wed, Thu and Fri"),
    ("41 in spring", "It is between 02:00 and 03:00 on Sun"),
    ("42", "It is between 22:00 and 06:00 on Fri"),
    ("43 next", "Trial ends is in the next 3 days"),
    ("43 ago", "Trial ends was more than 7 days ago"),
    ("44", "Renewal is in the next 3 days"),
    ("45 next", "Birthday has its anniversary in the next 7 days"),
    ("45 leap day", "Birthday has its anniversary today"),
    ("46", "Plan is gold for at least 30 days"),
    ("47 not equals", "Country is known and is not DE"),
    ("47 not", "Not: country is DE (so also where it is unknown)"),
    ("47 known", "Country is not known"),
    ("48", "Plan is Gold"),
    ("48 exact", "Plan is Gold (heeding case)"),
    ("49 text", "Did `view` where qty is at least 9"),
    ("49 version", "Browser version is at least 9.1"),
    ("50 any", "Tags includes a or c"),
    ("50 all", "Tags includes all of a and c"),
    ("50 none", "Tags is known and includes none of c"),
    ("51", "Did `view` where products category is shoes"),
    ("51 not", "Did `view` where products category is known and is not shoes"),
    ("53 in", "Is in x"),
    ("53 out", "Is not in x"),
    ("53 both", "Is in x and did not do `view` in the last 7 days"),
    ("54 for", "Has been in x for at least 14 days"),
    ("54 joined", "Joined x in the last 7 days"),
    ("54 left", "Left x in the last 7 days"),
    ("54 was in", "Was in x in the last 7 days"),
    ("55 value", "Is in x with a value that is at least 5"),
    ("56", "Is in a and did `buy` in the last 30 days"),
    ("57 in time", "Did `add`, then did `buy` within 1 hour"),
    ("58 removed", "Did `add`, then did `buy` with no `remove` in between"),
    ("59", "Did `add`, then did not do `buy` within 1 hour, completed in the last 7 days"),
    ("60", "Last did `add`, but did not do `buy` since, completed between 1 hour and 7 days ago"),
    ("61", "Did `view`, then did `buy`, with the same sku"),
    ("62", "Did `view` in this visit"),
    ("63 at 10:00", "Cart has at least 1 line and the sum of amount in cart is less than 100"),
    ("64", "The favourite category of `view` events in the last 7 days is shoes"),
    (
        "65",
        "The sum of total of `buy` events in the last 30 days, against that between 30 and 60 days ago,"
        " changed by at most -50 percent",
    ),
    ("66 rain", "Weather is rain"),
    ("66 granted", "Has granted advertising"),
    ("67 low 000000000001", "Is in the share from 0 to 25 percent, drawn by spring"),
    ("67 high 000000000001", "Is in the share from 25 to 50 percent, drawn by spring"),
    ("68 any", "Of its people, for some: did `buy` in the last 30 days"),
    ("68 all", "Of its people, for all: did `buy` in the last 30 days"),
    ("68 {'at_least': 2}", "Has at least 2 people for whom: did `buy` in the last 30 days"),
    ("68 none", "Of its people, for none: did `buy` in the last 30 days"),
    ("72", "Did `view` at least 3 times in the last 24 hours"),
    ("77 near", "Was last within 25 km of 48.137, 11.575"),
    ("77 farther", "Was last within 30 km of 48.137, 11.575"),
    ("78", "Did anything at least 2 times in the last 7 days"),
]


@pytest.mark.parametrize(("name", "sentence"), SENTENCES)
def test_a_worked_case_reads_as_english(name, sentence):
    (case,) = [case for case in CASES if case.name == name]
    assert English().sentence(case.read()) == sentence


def test_every_worked_case_has_its_sentence():
    known = {sentence for _, sentence in SENTENCES}
    assert all(English().sentence(case.read()) in known for case in CASES)
