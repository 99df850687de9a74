"""Conditions about where and how somebody was seen: the first or last known value of a field (rules.md 1.5).

The values are those of events. A step within the site is no source, and a direct visit is the last one only where
there is no other.
"""

from dataclasses import replace

from segments.rules.compiling import asking, events
from segments.rules.compiling.events import Pool
from segments.rules.compiling.scene import Scene, Uncompilable
from segments.rules.compiling.sql import TRUE, Sql, duration, opposite, sql
from segments.rules.compiling.visits import end_of_visit, gap_of, start_of_visit
from segments.rules.fields import WEATHER_VALID_HOURS
from segments.rules.tree import ANY_EVENT, Events, NearCondition, Seen, SituationCondition
from segments.rules.values import Name
from segments.rules.windows import EVER, MICROSECONDS, Window

EARTH_RADIUS_KM = "6371.0088"
_MEDIUM = "(e.context #>> '{{source,medium}}')"


def situation_timeline(node: SituationCondition, scene: Scene) -> Sql:
    if node.test.operator == "known":
        seen = seen_where(node, TRUE, scene)
        return seen if node.test.operand else opposite(seen)
    return seen_where(node, asking.claim(field_value(node), node.test), scene)


def field_value(node: SituationCondition) -> Sql:
    """Return the value of the field in an event `e`."""
    return asking.value_at("e.context", node.field)


def seen_where(node: SituationCondition, passes: Sql, scene: Scene) -> Sql:
    """Return when a claim is true of the event that decides."""
    known = sql("segments_is_known({value})", value=field_value(node))
    return _seen(node.field, node.seen, node.window, known, passes, node.zone, scene)


def near_timeline(node: NearCondition, scene: Scene) -> Sql:
    lat, lon = (
        sql("segments_number({v})", v=asking.value_at("e.context", ("place", name))) for name in ("lat", "lon")
    )
    known = sql("({lat} BETWEEN -90 AND 90 AND {lon} BETWEEN -180 AND 180)", lat=lat, lon=lon)
    haversine = sql(
        """power(sin(radians({lat} - {to_lat}) / 2), 2)
        + cos(radians({lat})) * cos(radians({to_lat})) * power(sin(radians({lon} - {to_lon}) / 2), 2)""",
        lat=sql("{lat}::float8", lat=lat),
        lon=sql("{lon}::float8", lon=lon),
        to_lat=Sql("%s::float8", (str(node.lat),)),
        to_lon=Sql("%s::float8", (str(node.lon),)),
    )
    is_near = sql(
        f"CASE WHEN {{known}} THEN 2 * {EARTH_RADIUS_KM} * asin(sqrt(least(1, {{haversine}}))) <= {{km}} END",
        known=known,
        haversine=haversine,
        km=Sql("%s::float8", (str(node.km),)),
    )
    return _seen(("place",), node.seen, node.window, known, is_near, node.zone, scene)


def _seen(field: Name, seen: Seen, window: Window, known: Sql, passes: Sql, zone: str | None, scene: Scene) -> Sql:
    """Return when the first or the last event that knows a field passes."""
    if scene.of != "profile":
        raise Uncompilable("A situation is a profile's. In a rule about accounts it stands in “who”.")
    if seen not in ("first", "last", "this_visit"):
        raise Uncompilable(f"“{seen}” is not when something can be seen.")
    found = events.pool(scene, Events(ANY_EVENT), zone, window)._replace(also=(known,))
    if seen == "this_visit":
        found = _in_this_visit(found)
    if field[0] == "weather":
        valid = sql("e.occurred_at + {hours}", hours=duration(WEATHER_VALID_HOURS * MICROSECONDS["h"]))
        found = _ending(found, valid)
    if field[0] == "source":
        return _source(found, passes, is_first=seen == "first")
    return events.one_of(found, is_first=seen == "first", passes=passes)


def _in_this_visit(found: Pool) -> Pool:
    gap = gap_of(found.scene.surroundings.visit_gap)
    begin = sql("e.occurred_at >= {start}", start=start_of_visit(found.owner, None, gap))
    return _ending(found, end_of_visit(found.owner, gap))._replace(also=(*found.also, begin))


def _ending(found: Pool, end: Sql) -> Pool:
    high = end if found.span.high is None else sql("least({high}, {end})", high=found.span.high, end=end)
    return found._replace(span=replace(found.span, high=high))


def _source(found: Pool, passes: Sql, *, is_first: bool) -> Sql:
    sources = found._replace(also=(*found.also, sql(f"{_MEDIUM} IS DISTINCT FROM 'internal'")))
    if is_first:
        return events.one_of(sources, is_first=True, passes=passes)
    others = sources._replace(also=(*sources.also, sql(f"{_MEDIUM} IS DISTINCT FROM 'direct'")))
    direct = sources._replace(also=(*sources.also, sql(f"{_MEDIUM} = 'direct'")))
    any_other = others._replace(span=events.pool(found.scene, found.events, None, EVER).span)
    return sql(
        "({others} + ({direct} - {any_other}))",
        others=events.one_of(others, is_first=False, passes=passes),
        direct=events.one_of(direct, is_first=False, passes=passes),
        any_other=events.at_least(any_other, 1),
    )
