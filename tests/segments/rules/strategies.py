"""Random rules, as JSON that an author could have written, about the random facts of `scenes`."""

import json
from typing import Any

from hypothesis import strategies as st

from segments.rules.reading.rules import read
from segments.rules.tree import Of, Rule

ZONES = ["advertiser", "advertiser", "visitor", "America/Havana"]
LENGTHS = ["20min", "6h", "1d", "2d", "3d", "7d", "10d"]
DAY_LENGTHS = ["1d", "2d", "1w"]
WORDS = ["shoes", "Shoes", "hats", "10", "été"]
NUMBERS = [0, 1, 10, -10, 0.1, 0.3, 20]

lengths = st.sampled_from(LENGTHS)
pairs = st.lists(lengths, min_size=2, max_size=2, unique=True).map(lambda pair: sorted(pair, key=LENGTHS.index))
fixed_days = st.sampled_from(["2026-03-28", "2026-03-29", "2026-05-01", "2026-05-02", "2026-05-31", "2026-10-25"])
fixed_times = st.sampled_from([["2026-05-01T10:00:00Z", "2026-05-02T10:00:00+02:00"]])
periods = st.sampled_from(["day", "week", "month", "quarter", "year"])
past_words = st.sampled_from(
    ["today", "yesterday", "this_week", "last_week", "this_month", "last_month", "this_year"]
)
next_words = st.sampled_from(["tomorrow", "next_week", "next_month"])
day_tests = st.sampled_from(["on", "before", "after", "on_or_before", "on_or_after"])


def either(**parts: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    """Return objects with exactly one of these keys."""
    return st.one_of([part.map(lambda value, key=key: {key: value}) for key, part in parts.items()])


def both(*parts: st.SearchStrategy[dict[str, Any]]) -> st.SearchStrategy[dict[str, Any]]:
    """Return objects with the keys of all."""

    # A function without arguments: Hypothesis writes out a strategy with all that it was made of.
    @st.composite
    def all_keys(draw: st.DrawFn) -> dict[str, Any]:
        return {key: value for part in parts for key, value in draw(part).items()}

    return all_keys()


def choose(*parts: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Return one of them, each as often as it stands here; `one_of` would weigh the parts of its parts."""

    @st.composite
    def chosen(draw: st.DrawFn) -> Any:
        return draw(draw(st.sampled_from(parts)))

    return chosen()


def maybe(part: st.SearchStrategy[dict[str, Any]]) -> st.SearchStrategy[dict[str, Any]]:
    return choose(st.just({}), part)


def last_periods() -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries({"last": st.integers(1, 3), "unit": periods})


fixed = st.one_of(
    st.tuples(day_tests, fixed_days).map(lambda pair: {pair[0]: pair[1]}),
    either(
        between_dates=st.lists(fixed_days, min_size=2, max_size=2).map(sorted),
        between_times=fixed_times,
    ),
)
windows = st.one_of(
    either(within=lengths, between_ago=pairs, more_than_ago=lengths),
    either(within=lengths, between_ago=pairs, this_visit=st.just(True)),
    either(within=lengths, calendar=st.one_of(past_words, last_periods())),
    fixed,
)
some_window = windows.map(lambda found: {"window": found})
window = choose(st.just({}), some_window, some_window, some_window)
date_tests = st.one_of(
    either(within=lengths, between_ago=pairs, more_than_ago=lengths, within_next=lengths, more_than_ahead=lengths),
    either(between_ahead=pairs, calendar=st.one_of(past_words, next_words, last_periods())),
    fixed,
)
anniversaries = either(
    anniversary=st.one_of(
        st.just("today"), either(within=st.sampled_from(DAY_LENGTHS), within_next=st.sampled_from(DAY_LENGTHS))
    )
)
counts = st.one_of(
    either(exactly=st.integers(0, 3), at_least=st.integers(0, 3), at_most=st.integers(0, 3), none=st.just(True)),
    either(between=st.lists(st.integers(0, 3), min_size=2, max_size=2).map(sorted)),
)
numbers = st.sampled_from(NUMBERS)
computed_tests = st.one_of(
    either(
        equals=numbers, not_equals=numbers, less_than=numbers, at_most=numbers, more_than=numbers, at_least=numbers
    ),
    either(
        between=st.lists(numbers, min_size=2, max_size=2).map(sorted),
        one_of=st.lists(numbers, min_size=1, max_size=2),
        none_of=st.lists(numbers, min_size=1, max_size=2),
    ),
)
picks = maybe(either(pick=st.sampled_from(["any", "all", "first", "last", "none"])))
number_tests = both(computed_tests, picks)
words = st.sampled_from(WORDS)
few_words = st.lists(words, min_size=1, max_size=2)
text_tests = both(
    st.one_of(
        either(equals=words, not_equals=words, one_of=few_words, none_of=few_words),
        either(
            contains=st.sampled_from(["o", "HOE", "t"]), contains_any=few_words, starts_with=words, ends_with=words
        ),
        either(not_contains=words, like=st.sampled_from(["s*", "?ats", "*"]), not_like=st.just("*s")),
        either(matches=st.sampled_from(["^s", "a|oe", r"\d+$", "S.{2}e"]), not_matches=st.just("t.?$")),
    ),
    maybe(st.just({"case": "exact"})),
)
known_tests = either(known=st.booleans())


def values_tests(*others: st.SearchStrategy[dict[str, Any]]) -> st.SearchStrategy[dict[str, Any]]:
    return st.one_of(both(text_tests, picks), number_tests, known_tests, *others)


property_filters = st.one_of(
    both(either(property=st.just("category")), values_tests()),
    both(either(property=st.just("total")), values_tests()),
    both(either(property=st.just("lines[].name")), values_tests()),
    both(either(property=st.just("due")), date_tests),
    both(either(property=st.just("gift")), either(equals=st.booleans())),
)
context_filters = st.one_of(
    both(either(context=st.just("device.type")), text_tests),
    both(either(context=st.just("browser.version")), either(at_least=st.just("9.1"), equals=st.just("10"))),
    both(either(context=st.just("language")), either(equals=st.just("de"), not_equals=st.just("de"))),
)


def groups_of(part: st.SearchStrategy[Any], most: int = 3) -> st.SearchStrategy[dict[str, Any]]:
    several = st.lists(part, min_size=1, max_size=most)
    return st.one_of(either(all_of=several, any_of=several), part.map(lambda one: {"not": one}))


def where_of(one: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.one_of(
        st.just({}),
        st.just({}),
        either(where=st.lists(st.one_of(one, one, groups_of(one, 2)), min_size=1, max_size=2)),
    )


where = where_of(choose(property_filters, property_filters, context_filters))
names = choose(st.sampled_from(["view", "buy", "*"]), st.just(["view", "buy"]))
named = st.sampled_from(["view", "buy", "add"])
sums = st.sampled_from(["total", "total", "lines[].price"])


def aggregates(*distinct: str) -> st.SearchStrategy[dict[str, Any]]:
    amounts = both(either(of=sums), computed_tests)
    different = both(either(of=st.sampled_from(["category", "total", *distinct])), counts)
    return st.one_of(
        either(count=counts),
        either(count=counts, sum=amounts, avg=amounts, min=amounts, max=amounts, distinct=different),
    )


zones = maybe(either(zone=st.sampled_from(ZONES)))
event_conditions = choose(
    both(either(event=names), where, window, maybe(aggregates("$day", "$visit")), zones),
    both(either(event=names), where, window, either(which=st.sampled_from(["first", "last"])), zones),
    both(either(event=st.just("$visit")), window, maybe(either(count=counts))),
)


@st.composite
def sequences(draw: st.DrawFn) -> dict[str, Any]:
    steps = draw(st.lists(both(either(event=named), where_of(property_filters)), min_size=2, max_size=3))
    if draw(st.booleans()):
        steps[0]["which"] = "last"
    for step in steps[1:]:
        step.update(draw(maybe(either(within=lengths))))
        step.update(draw(maybe(either(without=either(event=named)))))
    if draw(st.booleans()):
        steps[-1].pop("without", None)
        steps[-1]["absent"] = True
    more = both(
        maybe(either(same=st.just(["category"]))),
        maybe(either(same_visit=st.just(True))),
        maybe(either(within=lengths)),
        window,
    )
    return {"sequence": steps, **draw(more)}


timed_windows = windows.filter(lambda found: "this_visit" not in found)
changes = both(
    either(change=named), either(sum=st.just("total"), count=st.just(True)), either(**{"from": timed_windows}),
    either(to=timed_windows), either(at_most=st.sampled_from([-50, 0, 50]), more_than=st.sampled_from([-50, 0, 50])),
)  # fmt: skip
favourites = both(
    either(favourite=st.sampled_from(["category", "lines[].name"])), either(event=names),
    maybe(either(by=st.just({"sum": "total"}))), window, text_tests,
)  # fmt: skip
list_tests = either(
    includes_any=few_words, includes_all=few_words, includes_none=few_words, empty=st.booleans(), known=st.booleans()
)
attribute_conditions = st.one_of(
    both(either(attribute=st.just("plan")), values_tests(), maybe(either(for_at_least=lengths))),
    both(either(attribute=st.just("tags")), st.one_of(list_tests, both(text_tests, picks))),
    both(either(attribute=st.sampled_from(["trial_ends", "renewal"])), date_tests, zones),
    both(either(attribute=st.sampled_from(["trial_ends", "renewal"])), anniversaries),
    both(either(attribute=st.just("age")), values_tests()),
)
item_filters = st.one_of(both(either(property=st.just("name")), values_tests()))
items_conditions = both(
    either(items=st.just("lines")),
    where_of(item_filters),
    st.one_of(
        st.just({}),
        either(count=counts),
        either(**{kind: both(either(of=st.just("price")), computed_tests) for kind in ("sum", "avg", "min", "max")}),
        either(distinct=both(either(of=st.just("name")), counts)),
    ),
)
consent_tests = either(equals=st.sampled_from(["granted", "denied"]), known=st.booleans())
people_conditions = st.one_of(
    both(
        either(identity=st.sampled_from(["email", "browser"])),
        st.one_of(text_tests, known_tests, either(count=counts)),
    ),
    either(person=st.sampled_from(["known", "anonymous"])),
    both(either(consent=st.just("advertising")), consent_tests),
)
seen = both(maybe(either(seen=st.sampled_from(["last", "first", "this_visit"]))), window)
situation_conditions = st.one_of(
    both(either(situation=st.sampled_from(["place.country", "source.campaign"])), text_tests, seen),
    both(either(situation=st.just("weather.condition")), either(equals=st.just("rain"), known=st.booleans()), seen),
    both(st.just({"near": {"lat": 48, "lon": 11, "km": 30}}), seen),
)
segment_windows = timed_windows.filter(lambda found: "this_visit" not in found)
segment_conditions = st.one_of(
    both(
        either(segment=st.just("x")),
        st.just({"in": True}),
        maybe(either(for_at_least=lengths)),
        maybe(either(value=computed_tests)),
        maybe(either(last_added=segment_windows)),
    ),
    both(
        either(segment=st.sampled_from(["x", "r", ["x", "r"]])),
        st.one_of(st.just({"in": True}), st.just({"in": False})),
    ),
    both(either(segment=st.just("x")), either(joined=segment_windows, left=segment_windows)),
    both(either(segment=st.just("x")), either(was_in=st.one_of(either(within=lengths), st.just({"ever": True})))),
)
times = st.just({"time": {"from": "22:00", "to": "02:30", "days": ["fri", "sun"]}, "zone": "Europe/Berlin"})
buckets = both(st.just({"bucket": [0, 50]}), either(salt=st.sampled_from(["a", "b"])))
own_conditions = choose(
    event_conditions, event_conditions, sequences(), changes, favourites, attribute_conditions, items_conditions,
    people_conditions, situation_conditions, segment_conditions, buckets, times,
)  # fmt: skip
shared_conditions = choose(event_conditions, sequences(), changes, attribute_conditions, items_conditions, buckets)
profile_nodes = st.recursive(own_conditions, groups_of, max_leaves=4)
account_nodes = st.recursive(
    st.one_of(
        shared_conditions,
        both(
            either(people=st.one_of(st.sampled_from(["any", "all", "none"]), counts)),
            maybe(either(who=st.one_of(own_conditions, groups_of(own_conditions, 2)))),
        ),
    ),
    groups_of,
    max_leaves=3,
)
nodes_of_profiles = choose(
    profile_nodes, profile_nodes, profile_nodes, shared_conditions.map(lambda node: {"account": node})
)


def rule_texts(of: Of) -> st.SearchStrategy[str]:
    nodes = nodes_of_profiles if of == "profile" else account_nodes
    envelope = both(
        st.just({"muster_rule": 1, "of": of}), maybe(either(zone=st.sampled_from(ZONES))), either(rule=nodes)
    )
    return envelope.map(lambda rule: json.dumps(rule, ensure_ascii=False))


def rules(of: Of = "profile") -> st.SearchStrategy[Rule]:
    return rule_texts(of).map(lambda text: read(text).rule)
