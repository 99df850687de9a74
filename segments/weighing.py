"""What is the case where a condition weighs several things: chains of events, sums, values, segments, people.

As in `segments.actual`, the SQL is that of the compiled condition up to where it compares.
"""

from collections.abc import Callable
from datetime import datetime
from decimal import Decimal
from typing import Any

from segments.rules import phrases
from segments.rules.compiling import others, tallies
from segments.rules.compiling.scene import Scene
from segments.rules.compiling.sequences import steps_reached
from segments.rules.compiling.sql import ALWAYS, AS_OF_SQL, Sql, join, sql, text
from segments.rules.tree import (
    AccountCondition,
    ChangeCondition,
    FavouriteCondition,
    PeopleCondition,
    SegmentCondition,
    SequenceCondition,
)
from segments.telling import Actual, Teller

# More favourites than that are not told apart in a line.
_MOST_TIED = 5


def _sequence(node: SequenceCondition, scene: Scene) -> Sql:
    return steps_reached(node, scene)


def _say_sequence(node: SequenceCondition, fact: Any, teller: Teller) -> Actual:
    whole = len(node.steps)
    if fact is None:
        return Actual(f"0 of {whole} steps")
    return Actual(f"{fact['steps']} of {whole} steps, the last on {teller.instant(_moment(fact['at']))}")


def _change(node: ChangeCondition, scene: Scene) -> Sql:
    return sql(
        "jsonb_build_object('before', {before}, 'now', {now})",
        before=_total(tallies.amounts(node, node.before, scene)),
        now=_total(tallies.amounts(node, node.to, scene)),
    )


def _total(rows: Sql) -> Sql:
    return sql("(SELECT coalesce(sum(q.v), 0) FROM ({rows}) q WHERE q.r @> {as_of})", rows=rows, as_of=AS_OF_SQL)


def _say_change(node: ChangeCondition, fact: Any, teller: Teller) -> Actual:
    before, now = Decimal(str(fact["before"])), Decimal(str(fact["now"]))
    said = f"from {phrases.number(before)} to {phrases.number(now)}"
    if not before:
        return Actual(f"{said}: unknown as a change")
    percent = phrases.number(round((now - before) * 100 / abs(before), 1))
    return Actual(f"{said}: {'' if percent.startswith('-') else '+'}{percent} %")


def _favourite(node: FavouriteCondition, scene: Scene) -> Sql:
    return sql(
        """(SELECT jsonb_build_object('all', sum(t.weight),
                'first', jsonb_agg(jsonb_build_array(t.said, t.weight) ORDER BY t.v) FILTER (WHERE t.place = 1))
            FROM (SELECT f.v, min(f.said #>> '{{}}') AS said, sum(f.w) AS weight,
                    rank() OVER (ORDER BY sum(f.w) DESC) AS place
                FROM ({weights}) f WHERE f.r @> {as_of} GROUP BY f.v) t)""",
        weights=tallies.weights(node, scene),
        as_of=AS_OF_SQL,
    )


def _say_favourite(node: FavouriteCondition, fact: Any, teller: Teller) -> Actual:
    first = fact["first"] or []
    if not first:
        return Actual("unknown")
    share = f"{_number(first[0][1])} of {_number(fact['all'])}"
    if len(first) == 1:
        return Actual(f"favourite is {phrases.value(first[0][0])} ({share})")
    tied = phrases.listed([phrases.value(said) for said, _ in first[:_MOST_TIED]], "and")
    more = f" and {len(first) - _MOST_TIED:,} more" if len(first) > _MOST_TIED else ""
    return Actual(f"favourites are {tied}{more} ({share} each)")


def _segment(node: SegmentCondition, scene: Scene) -> Sql:
    return sql("jsonb_build_array({all})", all=join(", ", [_membership(key, scene) for key in node.segments]))


def _membership(key: str, scene: Scene) -> Sql:
    other = scene.surroundings.segments[key]
    return sql(
        """jsonb_build_object('key', {key}, 'ranges', (SELECT jsonb_agg(
            jsonb_build_array(lower(r.r), upper(r.r)) ORDER BY r.r) FROM unnest({history}) r(r)),
            'value', {value}, 'added', {added})""",
        key=text(key),
        history=others.history(key, other, scene),
        value=others.of_row("m.value", other, scene),
        added=others.of_row("m.last_added_at", other, scene),
    )


def _say_segment(node: SegmentCondition, fact: Any, teller: Teller) -> Actual:
    said = [(one["key"], _say_membership(node, one, teller)) for one in fact]
    if len(said) == 1:
        return Actual(said[0][1])
    return Actual("; ".join(f"{key}: {words}" for key, words in said))


def _say_membership(node: SegmentCondition, fact: Any, teller: Teller) -> str:
    ranges = [(_moment(low), _moment(high) if high else None) for low, high in fact["ranges"] or ()]
    for low, high in ranges:
        if low <= teller.as_of and (high is None or teller.as_of < high):
            return _say_present(node, fact, low, high, teller)
    past = [(low, high) for low, high in ranges if high is not None and high <= teller.as_of]
    coming = [low for low, _ in ranges if low > teller.as_of]
    said = f"not in, since {teller.instant(past[-1][1])}" if past else "not in"
    return f"{said}; joins on {teller.instant(coming[0])}" if coming else said


def _say_present(node: SegmentCondition, fact: Any, low: datetime, high: datetime | None, teller: Teller) -> str:
    said = "in" if low == teller.as_of else f"in since {teller.instant(low)}"
    said += f", until {teller.instant(high)}" if high else ""
    asks = node.asks
    if getattr(asks, "value", None) is not None:
        said += f", with the value {fact['value']}" if fact["value"] is not None else ", without a value"
    if getattr(asks, "last_added", None) is not None and fact["added"]:
        said += f", last added {teller.instant(_moment(fact['added']))}"
    return said


def _account(node: AccountCondition, scene: Scene) -> Sql:
    account = f"a{scene.depth}"
    passes = scene.of_other("account", f"{account}.account_id").timeline(node.account)
    return _how_many(sql(f"audience_accountmember {account} WHERE {account}.profile_id = {scene.id}"), passes)


def _people(node: PeopleCondition, scene: Scene) -> Sql:
    person = f"p{scene.depth}"
    inner = scene.of_other("profile", f"{person}.profile_id")
    passes = ALWAYS if node.who is None else inner.timeline(node.who)
    return _how_many(sql(f"audience_accountmember {person} WHERE {person}.account_id = {scene.id}"), passes)


def _how_many(relation: Sql, passes: Sql) -> Sql:
    return sql(
        "(SELECT jsonb_build_object('all', count(*), 'pass', count(*) FILTER (WHERE {passes} @> {as_of}))"
        " FROM {relation})",
        passes=passes,
        as_of=AS_OF_SQL,
        relation=relation,
    )


def _say_account(node: AccountCondition, fact: Any, teller: Teller) -> Actual:
    return Actual(_of_all(fact, "company", "companies"))


def _say_people(node: PeopleCondition, fact: Any, teller: Teller) -> Actual:
    if node.who is None:
        return Actual(f"{fact['all']:,} {'person' if fact['all'] == 1 else 'people'}")
    return Actual(_of_all(fact, "person", "people"))


def _of_all(fact: Any, one: str, many: str) -> str:
    if not fact["all"]:
        return f"no {many}"
    return f"{fact['pass']:,} of {fact['all']:,} {one if fact['all'] == 1 else many}"


def _number(number: Any) -> str:
    return phrases.number(Decimal(str(number)))


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(text)


FACTS: dict[type[Any], tuple[Callable[[Any, Scene], Sql], Callable[[Any, Any, Teller], Actual]]] = {
    SequenceCondition: (_sequence, _say_sequence),
    ChangeCondition: (_change, _say_change),
    FavouriteCondition: (_favourite, _say_favourite),
    SegmentCondition: (_segment, _say_segment),
    AccountCondition: (_account, _say_account),
    PeopleCondition: (_people, _say_people),
}
