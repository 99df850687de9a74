"""A doubtful rule is refused as a whole: with the place of each fault in it, and the remedy (rules.md 2.17)."""

import json

import pytest

from segments.rules.limits import Limits
from segments.rules.reading.rules import read
from segments.rules.refusals import RuleRefused
from tests.segments.rules.asking import Known, problems_of, reading_of, rule_text

PLAN = {("plan",): "text", ("renewal",): "day", ("tags",): "list", ("spent",): "number"}
SHOP = Known(
    kept_days=90,
    events={"purchase": 12_331, "view": 5},
    attributes_of_profiles=PLAN,
    used={"vip": ["buyers"], "buyers": ["vip"], "fans": []},
)

# The node, the place of the fault below `rule`, the message.
REFUSED = [
    ({"all_of": []}, ".all_of", "This group has no conditions. Add one or remove the group."),
    ({"any_of": [{"any_of": []}]}, ".any_of[0].any_of", "This group has no conditions. Add one or remove the group."),
    (
        {"attribute": "plan", "one_of": []},
        ".one_of",
        "This list is empty. Name a value; an empty list does not mean all.",
    ),
    ({"event": []}, ".event", "This list is empty. Name a value; an empty list does not mean all."),
    (
        {"event": "view", "count": {"at_leats": 3}},
        ".count.at_leats",
        "'at_leats' is no test on numbers. Did you mean 'at_least'?",
    ),
    (
        {"attribute": "spent", "at_leats": 3},
        ".at_leats",
        "'at_leats' is no test on numbers. Did you mean 'at_least'?",
    ),
    ({"evnt": "view"}, "", "This asks nothing. Did you mean 'event'?"),
    ({"event": "view", "wher": []}, ".wher", "'wher' means nothing here. Did you mean 'where'?"),
    (
        {"attribute": "plan", "equals": "gold", "one_of": ["silver"]},
        "",
        "This condition asks two things. Put the second into its own.",
    ),
    (
        {"attribute": "plan", "equals": "gold", "event": "view"},
        "",
        "This condition asks two things. Put the second into its own.",
    ),
    (
        {"event": "view", "count": {"at_least": 3, "at_most": 5}},
        ".count",
        "This condition asks two things. Put the second into its own.",
    ),
    (
        {"attribute": "plan", "at_least": 3},
        ".at_least",
        "'plan' is text; 'at_least' needs a number. Use 'equals' or another attribute.",
    ),
    (
        {"attribute": "spent", "equals": "3"},
        ".equals",
        "'equals' needs a number: 'spent' is numbers.",
    ),
    ({"attribute": "renewal", "within": "2h"}, ".within", "'renewal' has days, no times. Use days, such as '2d'."),
    (
        {"event": "view", "window": {"within": "1 month"}},
        ".window.within",
        "'1 month' has no fixed length. Use '30d', or calendar 'this_month'.",
    ),
    (
        {"event": "view", "window": {"within": "7 days"}},
        ".window.within",
        "'7 days' is no duration. Write a whole number and min, h, d or w, such as '7d'. Did you mean '7d'?",
    ),
    (
        {"event": "view", "window": {"between_ago": ["30d", "7d"]}},
        ".window.between_ago",
        "Nearest first: ['7d', '30d'].",
    ),
    ({"event": "view", "zone": "Berlin"}, ".zone", "No time zone 'Berlin'. Did you mean 'Europe/Berlin'?"),
    (
        {"event": "view", "window": {"within": "120d"}},
        ".window.within",
        "Events are kept for 90 days; 120 days cannot be answered. Use 90d or less.",
    ),
    (
        {"sequence": [{"event": "view"}, {"event": "purchase", "within": "120d"}]},
        ".sequence[1].within",
        "Events are kept for 90 days; 120 days cannot be answered. Use 90d or less.",
    ),
    (
        {"event": "view", "window": {"within_next": "3d"}},
        ".window.within_next",
        "'within_next' asks about dates, not about events.",
    ),
    (
        {"attribute": "spent", "equals": True},
        ".equals",
        "'equals' needs a number: 'spent' is numbers.",
    ),
    (
        {"attribute": "spent", "one_of": []},
        ".one_of",
        "This list is empty. Name a value; an empty list does not mean all.",
    ),
    ({"attribute": "plan", "contains": 5}, ".contains", "'contains' needs a text."),
    ({"attribute": "plan", "contains_any": [5]}, ".contains_any[0]", "'contains_any' needs a text."),
    (
        {"attribute": "plan", "includes_any": ["a"]},
        ".includes_any",
        "'plan' is text; 'includes_any' needs a list. Use 'equals' or another attribute.",
    ),
    ({"attribute": "tags", "includes_any": ["a", 5]}, ".includes_any[1]", "'includes_any' needs texts or numbers."),
    ({"segment": "vipp", "in": True}, ".segment", "There is no segment 'vipp'. Closest: 'vip'."),
    (
        {"segment": "fans", "in": False, "value": {"at_least": 5}},
        ".value",
        "'value' means nothing here. It stands beside 'in': true.",
    ),
    (
        {"event": "view", "which": "last", "count": {"at_least": 2}},
        ".count",
        "The last event is one: it has no count. Leave out 'which' or 'count'.",
    ),
    (
        {"situation": "place.contry", "equals": "DE"},
        ".situation",
        "There is no field 'place.contry'. Did you mean 'place.country'?",
    ),
    (
        {"context": "page.path", "like": "/shoes/*"},
        "",
        "This asks nothing. 'context' stands in the 'where' of an event.",
    ),
    (
        {"attribute": "plan", "matches": "(?=x)"},
        ".matches",
        "'(?=x)' cannot be read from '(?=x)' on. Allowed are letters, . [] () | * + ? {2,5} ^ $ and \\d \\w \\s.",
    ),
    (
        {"attribute": "plan", "equals": " "},
        ".equals",
        "A blank text is never known, so 'equals' would find nobody. Use 'known': false.",
    ),
    ({"people": "any"}, "", "'people' has no meaning in a rule about profiles."),
    (
        {"account": {"people": "any", "who": {"account": {"attribute": "size", "at_least": 3}}}},
        ".account.who.account",
        "A rule goes from people to their companies, or back, once. Take out this 'account'.",
    ),
    (
        {"account": {"person": "known"}},
        ".account",
        "'person' has no meaning in a rule about accounts. Put it into 'who' of a 'people' condition.",
    ),
    ({"sequence": [{"event": "view"}]}, ".sequence", "Steps of a sequence: at least 2."),
    ({"bucket": [0, 25.001]}, ".bucket", "'bucket' needs two percents of up to two decimals, such as [0, 25]."),
    (
        {"time": {"from": "9:00"}},
        ".time.from",
        "'9:00' is no time of day. Write it as '09:00', from '00:00' to '24:00'.",
    ),
]


@pytest.mark.parametrize(("node", "place", "message"), REFUSED)
def test_a_fault_is_named_with_its_place_and_remedy(node, place, message):
    (problem,) = problems_of(rule_text(node), SHOP)
    assert (problem.place, problem.message) == (f"rule{place}", message)


def test_all_faults_of_a_rule_are_told_at_once():
    node = {"all_of": [{"all_of": []}, {"event": "view", "wher": []}, {"attribute": "plan", "one_of": []}]}
    places = [problem.place for problem in problems_of(rule_text(node))]
    assert places == ["rule.all_of[0].all_of", "rule.all_of[1].wher", "rule.all_of[2].one_of"]


def test_an_unknown_version_is_refused():
    (problem,) = problems_of('{"muster_rule": 2, "of": "profile", "rule": {"event": "view"}}')
    assert problem.message == "muster_rule 2 is not known. This Muster reads version 1."


@pytest.mark.parametrize("text", ["", "[", '{"muster_rule": NaN}', "[" * 100_000, '{"a": 1e999999999999999999999}'])
def test_a_text_that_is_no_rule_is_refused(text):
    assert problems_of(text)


def test_a_repeated_key_is_refused():
    text = '{"muster_rule": 1, "of": "profile", "rule": {"event": "view", "event": "purchase"}}'
    (problem,) = problems_of(text)
    assert (problem.place, problem.message) == ("rule.event", "'event' stands here twice. Remove one.")


@pytest.mark.parametrize("said", ["a\0b", "\ud800"])
def test_a_text_that_cannot_be_stored_is_refused(said):
    (problem,) = problems_of(json.dumps({"muster_rule": 1, "of": "profile", "rule": {"event": said}}))
    assert problem.code == "bad_text"


@pytest.mark.parametrize(
    ("own_key", "used", "message"),
    [
        ("vip", "buyers", "'vip' uses 'buyers', which uses 'vip'. Remove one of the two."),
        ("fans", "fans", "'fans' uses 'fans'. Remove one of the two."),
    ],
)
def test_a_cycle_is_refused(own_key, used, message):
    (problem,) = problems_of(rule_text({"segment": used, "in": True}), SHOP, own_key=own_key)
    assert problem.message == message


def _deep(levels: int) -> dict[str, object]:
    node: dict[str, object] = {"event": "view"}
    for _ in range(levels - 1):
        node = {"not": node}
    return node


VIEW = {"event": "view"}


@pytest.mark.parametrize(
    ("fits", "is_too_much", "message"),
    [
        (
            {"any_of": [VIEW] * 9},
            {"any_of": [VIEW] * 10},
            "11 conditions; 10 are allowed. A list of values can replace many.",
        ),
        (_deep(10), _deep(11), "11 levels; 10 are allowed."),
        (
            {"event": "view", "where": [{"property": "a", "equals": 1}] * 3},
            {"event": "view", "where": [{"property": "a", "equals": 1}] * 4},
            "4 filters; 3 are allowed.",
        ),
        (
            {"attribute": "a", "one_of": ["x"] * 4},
            {"attribute": "a", "one_of": ["x"] * 5},
            "5 values; 4 are allowed.",
        ),
        (
            {"attribute": "a", "equals": "x" * 2_000},
            {"attribute": "a", "equals": "x" * 2_001},
            "2,001 characters; 2,000 are allowed.",
        ),
        (
            {"attribute": "a", "matches": "x" * 200},
            {"attribute": "a", "matches": "x" * 201},
            "201 characters; 200 are allowed.",
        ),
        (
            {"event": "view", "window": {"within": "3660d"}},
            {"event": "view", "window": {"within": "3661d"}},
            "3661d is too long. A window has at most 3,660 days.",
        ),
        ({"sequence": [VIEW] * 10}, {"sequence": [VIEW] * 11}, "11 steps; 10 are allowed."),
        (
            {"segment": ["x"] * 5, "in": True},
            {"segment": ["x"] * 6, "in": True},
            "6 segments; 5 are allowed.",
        ),
    ],
)
def test_limits(fits, is_too_much, message):
    limits = Limits(nodes=10, filters=3, list_values=4, segments=5)
    if "sequence" in fits or "not" in fits:
        limits = Limits()
    read(rule_text(fits), limits=limits)
    with pytest.raises(RuleRefused) as refused:
        read(rule_text(is_too_much), limits=limits)
    assert [problem.message for problem in refused.value.problems] == [message]


@pytest.mark.parametrize(
    ("node", "message"),
    [
        (
            {"event": "Purchase"},
            "No event 'Purchase' in the last 90 days; 'purchase' came 12,331 times. Names heed case.",
        ),
        ({"event": "film"}, "No event 'film' in the last 90 days."),
        ({"attribute": "plam", "equals": "x"}, "Nobody has an attribute 'plam' yet. Did you mean 'plan'?"),
        (
            {"all_of": [{"event": "view", "count": {"at_least": 5}}, {"event": "view", "count": {"at_most": 3}}]},
            "'at least 5' and 'at most 3' stand in one ALL group: nobody can match.",
        ),
        (
            {"all_of": [{"event": "view"}, {"not": {"event": "view"}}]},
            "A condition and its opposite stand in one ALL group: nobody can match.",
        ),
    ],
)
def test_what_may_be_meant_is_noted(node, message):
    assert [note.message for note in reading_of(node, SHOP).notes] == [message]


@pytest.mark.parametrize(
    "node",
    [
        {"event": "purchase", "window": {"within": "90d"}},
        {"all_of": [{"event": "view", "count": {"at_least": 3}}, {"event": "view", "count": {"at_most": 3}}]},
        {"attribute": "tags", "includes_any": ["a"]},
        {"attribute": "cart.updated_at", "within": "2h"},
    ],
)
def test_what_is_plain_has_no_note(node):
    assert reading_of(node, SHOP).notes == ()
