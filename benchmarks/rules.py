"""What rules cost at the door: track calls of which each wakes 3 rules, out of 0, 10, 100 and 1,000.

By /v1/track, one event a request, because that is how a page hears what its visitor has joined: the batches are those
that the door makes by itself. Each number of rules is an advertiser of its own behind the same door, so that all are
measured in turn.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from audience.models import Advertiser, WriteKey
from audience.tenancy import acting_for
from audience.writekeys import issue_write_key
from benchmarks import histories, load, stack
from benchmarks.report import Figure, at_least, at_most
from benchmarks.shop import Shop
from segments.models import RuleVersion, Segment, Transition
from segments.versions import save_rule

RULES = (0, 10, 100, 1_000)
WAKES = 3
VISITORS = 10_000
ROUNDS = 5
SECONDS = 6


@dataclass(frozen=True)
class Ruled:
    """An advertiser with so many rules, and what its visitors do: bodies of track calls, one a line."""

    advertiser_id: int
    bodies: Path
    cookie_file: Path


def against_none(shop: Shop) -> list[Figure]:
    """Measure track calls with 10, 100 and 1,000 rules beside none, one after the other, several times."""
    asked = {rules: make_rules(shop, rules) for rules in RULES}
    rates: dict[int, list[float]] = {rules: [] for rules in RULES}
    with stack.door() as url:
        for one in asked.values():
            _warm_up(url, one)
        for _ in range(ROUNDS):
            for rules, one in asked.items():
                rates[rules].append(_tracks(url, one))
            print("  " + "  ".join(f"{rules} rules {some[-1]:,.0f}/s" for rules, some in rates.items()), flush=True)
    _check_joins(asked)
    figures = [Figure(f"rules_{rules}_events_per_s", some, "/s") for rules, some in rates.items()]
    for rules in RULES[1:]:
        shares = [some / none for some, none in zip(rates[rules], rates[0], strict=True)]
        figures.append(Figure(f"rules_{rules}_vs_none", shares, "", at_least(0.5) if rules == 100 else None))
    return figures


def at_half_load(shop: Shop) -> list[Figure]:
    """Measure the time from a track call to its answer at half load with 100 rules.

    The answer leaves after the commit and carries what the visitor has joined: its time is a bound of the join's.
    """
    one = make_rules(shop, 100)
    bodies = one.bodies.read_text().splitlines()
    medians, tails = [], []
    with stack.door() as url:
        _warm_up(url, one)
        most = _tracks(url, one)
        for _ in range(3):
            times = load.at_rate(
                url, "/v1/track", shop.cookies[:VISITORS], per_second=most / 2, seconds=SECONDS, bodies=bodies
            )
            medians.append(load.percentile(times, 50))
            tails.append(load.percentile(times, 99))
            print(f"  at {most / 2:,.0f}/s: p50 {medians[-1]:.1f} ms, p99 {tails[-1]:.1f} ms", flush=True)
    _check_joins({100: one})
    return [Figure("join_p50_ms", medians, "ms"), Figure("join_p99_ms", tails, "ms", at_most(50))]


def make_rules(shop: Shop, rules: int) -> Ruled:
    """Make an advertiser with so many rules, three of them about each name of an event."""
    number = Advertiser.objects.count()
    advertiser = histories.make_advertiser(f"{rules} rules, {number}")
    with acting_for(advertiser.pk):
        _, key = issue_write_key(advertiser, name="Page", kind=WriteKey.Kind.PUBLIC)
    _serve(advertiser.pk, [_node(one) for one in range(rules)])
    bodies = stack.FOLDER / f"rules-{number}.jsonl"
    bodies.write_text("\n".join(_body(key, name) for name in range(max(rules // WAKES, 1))) + "\n")
    cookie_file = stack.FOLDER / "cookies-of-rules.txt"
    cookie_file.write_text("\n".join(shop.cookies[:VISITORS]) + "\n")
    return Ruled(advertiser.pk, bodies, cookie_file)


def make_segment(advertiser_id: int, code: str) -> Segment:
    with acting_for(advertiser_id):
        return Segment.objects.create(name=code, code=code, kind=Segment.Kind.RULE, is_readable_on_page=True)


def save(advertiser_id: int, code: str, node: object, *, at: datetime | None = None) -> Segment:
    segment = make_segment(advertiser_id, code)
    save_rule(segment, json.dumps({"muster_rule": 1, "of": "profile", "rule": node}), at=at)
    return segment


def _serve(advertiser_id: int, nodes: Sequence[object]) -> None:
    """Let rules serve as if they were built: there is nobody yet."""
    for number, node in enumerate(nodes):
        segment = make_segment(advertiser_id, f"rule-{number}")
        text = json.dumps({"muster_rule": 1, "of": "profile", "rule": node})
        RuleVersion.all_advertisers.create(
            advertiser_id=advertiser_id, segment=segment, number=1, rule=text, state=RuleVersion.State.ACTIVE
        )


def _node(number: int) -> object:
    """Return one of three kinds of rules, about an event that has one of each."""
    name = f"did-{number // WAKES}"
    days = 7 + number // WAKES % 20
    return (
        {"event": name, "window": {"within": f"{days}d"}, "count": {"at_least": 2}},
        {"event": name, "window": {"within": f"{days}d"}, "sum": {"of": "total", "at_least": 200}},
        {
            "all_of": [
                {"event": name, "window": {"within": "1d"}, "count": {"at_least": 5}},
                {"event": "purchase", "window": {"within": f"{days}d"}, "count": {"none": True}},
            ]
        },
    )[number % WAKES]


def _body(key: str, name: int) -> str:
    properties = {"total": 65, "currency": "EUR", "products": [{"id": "A-1", "category": "shoes", "price": 59.9}]}
    return json.dumps(
        {"event": f"did-{name}", "properties": properties, "context": {"page": {"path": "/cart"}}, "writeKey": key}
    )


def _warm_up(url: str, one: Ruled) -> None:
    """Let every visitor be known, and the door have prepared its statements."""
    calls = 0.0
    while calls < 4 * VISITORS:
        calls += 3 * load.fastest(url, "/v1/track", one.cookie_file, seconds=3, body=one.bodies)


def _tracks(url: str, one: Ruled) -> float:
    return load.fastest(url, "/v1/track", one.cookie_file, seconds=SECONDS, body=one.bodies)


def _check_joins(asked: dict[int, Ruled]) -> None:
    for rules, one in asked.items():
        joins = Transition.all_advertisers.filter(advertiser_id=one.advertiser_id, change="join").count()
        if (joins > 0) != (rules > 0):
            raise RuntimeError(f"{joins} joins by {rules} rules.")
