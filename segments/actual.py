"""What is the case, condition by condition: how often, how much, which value, and the events that count.

The rows are those that the compiled condition reads, so that what is shown is what decides. Conditions that weigh
several things against each other stand in `segments.weighing`.
"""

import json
from collections.abc import Callable
from datetime import datetime
from decimal import Decimal
from functools import partial
from typing import Any, TypeAlias
from uuid import UUID

from segments import weighing
from segments.rules import phrases
from segments.rules.compiling import asking, events, filters, steps, unread
from segments.rules.compiling.events import X
from segments.rules.compiling.filters import item_of
from segments.rules.compiling.known import attribute_value, items_spans, of_list
from segments.rules.compiling.scene import Scene
from segments.rules.compiling.spans import Span, forgotten_after
from segments.rules.compiling.sql import AS_OF_SQL, FALSE, Sql, bigint, join, sql, text
from segments.rules.tree import (
    AttributeCondition,
    BucketCondition,
    ConsentCondition,
    EventCondition,
    IdentityCondition,
    ItemsCondition,
    NearCondition,
    Node,
    PersonCondition,
    SituationCondition,
    TimeCondition,
)
from segments.rules.values import Aggregate, Amount, Count, Distinct, Name
from segments.telling import Actual, CountedEvent, Teller

EVENTS_SHOWN = 10
LONGEST_VALUE = 200
_COLUMNS = [("at", X), ("id", Sql("e.id")), ("name", Sql("e.name"))]
_MEDIUM = "(e.context #>> '{{source,medium}}')"


def fact_of(node: Node, scene: Scene) -> Sql | None:
    """Return JSON that tells what is the case, for `say`; None where there is nothing to tell."""
    row = _FACTS.get(type(node))
    return row[0](node, scene) if row else None


def say(node: Node, fact: str | None, teller: Teller) -> Actual:
    """Return what JSON of `fact_of` tells."""
    told = None if fact is None else json.loads(fact, parse_float=Decimal)
    said: Actual = _FACTS[type(node)][1](node, told, teller)
    return said


# Makes the spans `r` of all rows that may count, with a value `v`; the value of a name, as it is said or read.
_Rows: TypeAlias = Callable[[Sql], Sql]
_Value: TypeAlias = Callable[[Name], Sql]

# Events.


def _with_value(found: events.Pool, value: Sql) -> Sql:
    return events.spans(found, [("v", value)])


def _events(node: EventCondition, scene: Scene) -> Sql:
    found = events.pool(scene, node.events, node.zone, node.window)
    number, left_out = Sql("NULL::jsonb"), Sql("NULL::jsonb")
    if node.which != "any" and not found.is_dated:
        # The one event decides, whether its span covers the time or not.
        kept = forgotten_after(Span(X), X, scene.surroundings.retention)
        order = "ASC" if node.which == "first" else "DESC"
        rows = events.read(found, _COLUMNS, only=kept.only, order=order, most=1)
    else:
        rows = sql(
            "SELECT * FROM ({rows}) q WHERE q.r @> {as_of}", rows=events.spans(found, _COLUMNS), as_of=AS_OF_SQL
        )
        said, read = partial(events.event_value, found), partial(events.event_number, found)
        number, left_out = (
            of(node.aggregate, partial(_with_value, found), said, read) for of in (_number, _left_out)
        )
    return sql(
        """(SELECT jsonb_build_object('count', count(*), 'number', {number}, 'left_out', {left_out},
            'events', jsonb_agg(
            jsonb_build_object('id', q.id, 'name', q.name, 'at', q.at)) FILTER (WHERE q.place <= {most}))
        FROM (SELECT q.*, row_number() OVER (ORDER BY q.at DESC, q.id DESC) AS place
            FROM ({rows}) q ORDER BY place) q)""",
        number=number,
        left_out=left_out,
        most=bigint(EVENTS_SHOWN),
        rows=rows,
    )


def _number(aggregate: Aggregate, rows: _Rows, said: _Value, read: _Value) -> Sql:
    """Return JSON of what an aggregate comes to, over the rows that count."""
    match aggregate:
        case Amount(kind=kind, of=name):
            chosen, reader, value = f"{kind}(q.v)", "segments_number({value})", read(name)
        case Distinct(of=name):
            chosen, reader, value = "count(DISTINCT q.v)", "segments_key({value})", said(name)
        case Count():
            return Sql("NULL::jsonb")
    values = steps.flat(rows(value), name, reader)
    return sql(
        f"(SELECT to_jsonb({chosen}) FROM ({{values}}) q WHERE q.r @> {{as_of}})", values=values, as_of=AS_OF_SQL
    )


def _left_out(aggregate: Aggregate, rows: _Rows, said: _Value, read: _Value) -> Sql:
    """Return JSON of how many rows that count an amount leaves out, by the reasons of `_LEFT_OUT`."""
    if not isinstance(aggregate, Amount):
        return Sql("NULL::jsonb")
    value = said(aggregate.of)
    reason = sql(
        "(CASE WHEN {no_number} THEN 'no_number'"
        " WHEN segments_is_known({said}) AND {read} IS NULL THEN 'other_currency' END)",
        no_number=unread.is_no_amount(value, value, aggregate.of),
        said=value,
        read=read(aggregate.of),
    )
    return sql(
        """(SELECT jsonb_object_agg(q.v, q.rows) FROM (SELECT q.v, count(*) AS rows FROM ({rows}) q
            WHERE q.r @> {as_of} AND q.v IS NOT NULL GROUP BY q.v) q)""",
        rows=rows(reason),
        as_of=AS_OF_SQL,
    )


_OF_AMOUNTS = {"sum": "adds up to", "avg": "on average", "min": "at the lowest", "max": "at the highest"}
_LEFT_OUT = {"no_number": "for being no number", "other_currency": "for being in another currency"}


def _say_events(node: EventCondition, fact: Any, teller: Teller) -> Actual:
    found = tuple(
        CountedEvent(UUID(one["id"]), one["name"], datetime.fromisoformat(one["at"])) for one in fact["events"] or ()
    )
    if not found:
        return Actual("never" if node.which != "any" else "not once")
    newest = teller.instant(found[0].occurred_at)
    if node.which != "any":
        first = teller.instant(found[-1].occurred_at)
        return Actual(f"the first {first}" if node.which == "first" else f"the last {newest}", found)
    times = "once" if fact["count"] == 1 else f"{fact['count']:,} times"
    counted = f"{times}, newest {newest}"
    return Actual("; ".join([*_comes_to(node.aggregate, fact), counted]), found)


def _comes_to(aggregate: Aggregate, fact: Any) -> list[str]:
    """Return the parts of a sentence about an aggregate and what it leaves out."""
    number = fact["number"]
    match aggregate:
        case Distinct():
            return [f"{number:,} different"]
        case Amount(kind=kind):
            if number is None and kind == "sum":  # over none it is 0, the others are unknown
                number = 0
            amount = "unknown" if number is None else f"{_OF_AMOUNTS[kind]} {_decimal(number)}"
            left_out = sorted((fact["left_out"] or {}).items())
            return [amount, *(f"{many:,} left out {_LEFT_OUT[reason]}" for reason, many in left_out)]
    return []


def _decimal(number: Any) -> str:
    """Return a number to at most four decimals: an average has as many as PostgreSQL likes."""
    return phrases.number(round(Decimal(str(number)), 4))


# What is known.


def _attribute(node: AttributeCondition, scene: Scene) -> Sql:
    return sql(
        "(SELECT jsonb_build_object('value', {value}, 'no_number', {no_number}))",
        value=attribute_value(node.attribute, scene),
        no_number=join(" OR ", unread.unread(node, scene).values() or (FALSE,)),
    )


def _say_attribute(node: AttributeCondition, fact: Any, teller: Teller) -> Actual:
    said = _say_value(node, fact["value"], teller)
    return Actual(f"{said.says}, which is no number") if fact["no_number"] else said


def _items(node: ItemsCondition, scene: Scene) -> Sql:
    item, rows = item_of(scene), partial(items_spans, node, scene)
    said, read = partial(filters.value_at, item), partial(filters.number_at, item)
    number, left_out = (of(node.aggregate, rows, said, read) for of in (_number, _left_out))
    found = sql(
        """(SELECT jsonb_build_object('lines', jsonb_array_length(l.v), 'count', count(*), 'number', {number},
            'left_out', {left_out}) FROM ({rows}) q WHERE q.r @> {as_of})""",
        number=number,
        left_out=left_out,
        rows=rows(None),
        as_of=AS_OF_SQL,
    )
    return of_list(node, scene, found, Sql("NULL::jsonb"))


def _say_items(node: ItemsCondition, fact: Any, teller: Teller) -> Actual:
    if fact is None:
        return Actual("unknown")
    lines = f"{fact['lines']:,} {'line' if fact['lines'] == 1 else 'lines'}"
    counted = f"{fact['count']:,} of {lines}" if node.where else lines
    return Actual("; ".join([*_comes_to(node.aggregate, fact), counted]))


def _say_value(node: Any, fact: Any, teller: Teller) -> Actual:
    if fact is None or (isinstance(fact, str) and not fact.strip()):
        return Actual("unknown")
    if fact == []:
        return Actual("an empty list")
    said = ", ".join(map(str, fact)) if isinstance(fact, list) else phrases.value(fact)
    return Actual(said if len(said) <= LONGEST_VALUE else f"{said[:LONGEST_VALUE]}…")


def _identity(node: IdentityCondition, scene: Scene) -> Sql:
    return sql(
        f"""(SELECT to_jsonb(count(*)) FROM audience_identifier d
        WHERE d.profile_id = {scene.id} AND d.kind = {{kind}})""",
        kind=text(node.kind),
    )


def _say_identity(node: IdentityCondition, fact: Any, teller: Teller) -> Actual:
    return Actual(f"{fact:,} of this kind" if fact else "none of this kind")


def _person(node: PersonCondition, scene: Scene) -> Sql:
    return Sql(
        f"""(SELECT jsonb_agg(DISTINCT replace(d.kind, '_', ' ')) FROM audience_identifier d
        WHERE d.profile_id = {scene.id} AND d.kind IN ('customer_id', 'email', 'phone'))"""
    )


def _say_person(node: PersonCondition, fact: Any, teller: Teller) -> Actual:
    return Actual(f"known by {phrases.listed(fact, 'and')}" if fact else "neither customer id nor email nor phone")


def _consent(node: ConsentCondition, scene: Scene) -> Sql:
    return sql(
        f"""(SELECT jsonb_build_object('state', c.state, 'since', c.since, 'until', c.until)
        FROM audience_consent c WHERE c.profile_id = {scene.id} AND c.purpose = {{purpose}})""",
        purpose=text(node.purpose),
    )


def _say_consent(node: ConsentCondition, fact: Any, teller: Teller) -> Actual:
    if fact is None:
        return Actual("unknown")
    until = f" until {teller.instant(datetime.fromisoformat(fact['until']))}" if fact["until"] else ""
    return Actual(f"{fact['state']} since {teller.instant(datetime.fromisoformat(fact['since']))}{until}")


def _situation(node: SituationCondition, scene: Scene) -> Sql:
    return _seen(asking.value_at("e.context", node.field), node.field, node.seen == "first", scene)


def _near(node: NearCondition, scene: Scene) -> Sql:
    lat, lon = (asking.value_at("e.context", ("place", name)) for name in ("lat", "lon"))
    return _seen(
        sql("(nullif(jsonb_build_array({lat}, {lon}), '[null, null]'))", lat=lat, lon=lon),
        ("place",),
        node.seen == "first",
        scene,
    )


def _seen(value: Sql, field: Name, is_first: bool, scene: Scene) -> Sql:
    """Return the first or the last known value; a step within the site is no source, a direct visit the last one."""
    also, before = "", ""
    if field[0] == "source":
        also = f" AND {_MEDIUM} IS DISTINCT FROM 'internal'"
        before = "" if is_first else f"{_MEDIUM} IS NOT DISTINCT FROM 'direct', "
    return sql(
        f"""(SELECT jsonb_build_object('value', {{value}}, 'at', e.occurred_at) FROM audience_event e
        WHERE e.profile_id = {scene.id} AND segments_is_known({{value}}){also}
        ORDER BY {before}e.occurred_at {"ASC" if is_first else "DESC"} LIMIT 1)""",
        value=value,
    )


def _say_seen(node: SituationCondition | NearCondition, fact: Any, teller: Teller) -> Actual:
    if fact is None:
        return Actual("unknown")
    value = _say_value(node, fact["value"], teller).says
    return Actual(f"{value}, seen {teller.instant(datetime.fromisoformat(fact['at']))}")


# The clock and chance.


def _time(node: TimeCondition, scene: Scene) -> Sql:
    return sql(
        "to_jsonb(to_char({as_of} AT TIME ZONE {zone}, 'FMDay HH24:MI'))",
        as_of=AS_OF_SQL,
        zone=scene.zone_of(node.zone),
    )


def _bucket(node: BucketCondition, scene: Scene) -> Sql:
    salt = scene.surroundings.key if node.salt is None else node.salt
    return sql(
        f"""to_jsonb(((('x' || substr(encode(sha256(convert_to({{salt}} || '/' || {scene.id}::text, 'UTF8')), 'hex'),
        1, 12))::bit(48)::bigint * 10000) >> 48)::numeric / 100)""",
        salt=text(salt),
    )


def _say_bucket(node: BucketCondition, fact: Any, teller: Teller) -> Actual:
    return Actual(f"its share number is {Decimal(str(fact)):.2f}")


_FACTS: dict[type[Any], tuple[Callable[[Any, Scene], Sql], Callable[[Any, Any, Teller], Actual]]] = {
    **weighing.FACTS,
    EventCondition: (_events, _say_events),
    AttributeCondition: (_attribute, _say_attribute),
    ItemsCondition: (_items, _say_items),
    IdentityCondition: (_identity, _say_identity),
    PersonCondition: (_person, _say_person),
    ConsentCondition: (_consent, _say_consent),
    SituationCondition: (_situation, _say_seen),
    NearCondition: (_near, _say_seen),
    TimeCondition: (_time, _say_value),
    BucketCondition: (_bucket, _say_bucket),
}
