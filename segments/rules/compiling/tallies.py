"""Conditions that compare sums: of two windows, and of the values of a property (rules.md 1.4)."""

from segments.rules.compiling import asking, events, steps
from segments.rules.compiling.asking import compare
from segments.rules.compiling.events import Pool
from segments.rules.compiling.scene import Scene, Uncompilable
from segments.rules.compiling.sql import AS_OF_SQL, NEVER, Sql, sql
from segments.rules.compiling.steps import Claim
from segments.rules.operators import OPERATORS
from segments.rules.tree import ChangeCondition, FavouriteCondition
from segments.rules.values import EACH, Name
from segments.rules.windows import Window


def change_timeline(node: ChangeCondition, scene: Scene) -> Sql:
    """Return when the change passes: `(to - before) * 100` is tested beside `abs(before)`, so nothing is rounded."""
    row = OPERATORS.get(node.test.operator)
    if row is None or node.test.reads != "number" or node.test.operator == "known":
        raise Uncompilable("A change is tested by a number of percent.")
    positive = OPERATORS[row.negates] if row.negates else row
    passes = compare(Sql("(p.c2 - p.c1) * 100"), positive, node.test, times=Sql("abs(p.c1)"))
    passes = sql("NOT {passes}", passes=passes) if row.negates else passes
    spans = sql(
        "SELECT q.r, q.v AS before, 0 AS now FROM ({before}) q UNION ALL SELECT q.r, 0, q.v FROM ({now}) q",
        before=amounts(node, node.before, scene),
        now=amounts(node, node.to, scene),
    )
    return steps.walk(spans, Claim((Sql("q.before"), Sql("q.now")), sql("(p.c1 <> 0 AND {passes})", passes=passes)))


def amounts(node: ChangeCondition, window: Window, scene: Scene) -> Sql:
    """Return the spans `r` of what is added up in a window, with its amount `v`."""
    found = events.pool(scene, node.events, node.zone, window)
    if node.sum is None:
        return events.spans(found, [("v", Sql("1::numeric"))])
    values = events.spans(found, [("v", events.event_number(found, node.sum))])
    return steps.flat(values, node.sum, "segments_number({value})")


def favourite_timeline(node: FavouriteCondition, scene: Scene) -> Sql:
    """Return when a value with the highest count or sum passes; tied values are favourites all of them."""
    return _favourites(weights(node, scene), asking.claim(Sql("f.said"), node.test))


def weights(node: FavouriteCondition, scene: Scene) -> Sql:
    """Return the spans `r` of the values, each with a key `v`, as it was `said`, and its weight `w`."""
    found = events.pool(scene, node.events, node.zone, node.window)
    rows = events.spans(found, [("v", events.event_value(found, node.property)), ("w", _weight(found, node.sum))])
    # Of a name without EACH a list is no value that could be told from others.
    all_values = asking.elements("q.v") if EACH in node.property else Sql("(SELECT q.v)")
    return sql(
        "SELECT q.r, segments_key(l.v) AS v, l.v AS said, q.w FROM ({rows}) q"
        " CROSS JOIN LATERAL {all_values} l(v) WHERE segments_key(l.v) IS NOT NULL",
        rows=rows,
        all_values=all_values,
    )


def _weight(found: Pool, name: Name | None) -> Sql:
    """Return what an event adds to its value: one, or the numbers of a name, nothing where there is none."""
    if name is None:
        return Sql("1::numeric")
    return sql(
        "(SELECT coalesce(sum(segments_number(l.n)), 0) FROM (SELECT {value} AS v OFFSET 0) o"
        " CROSS JOIN LATERAL {numbers} l(n))",
        value=events.event_number(found, name),
        numbers=asking.elements("o.v") if EACH in name else Sql("(SELECT o.v)"),
    )


def _favourites(values: Sql, passes: Sql) -> Sql:
    """Walk through the ends of spans, and at each rank the values whose spans cover it."""
    return sql(
        """(WITH f AS ({values}) SELECT coalesce(range_agg(tstzrange(b.at, b.until)), {never}) FROM (
            SELECT b.at, lead(b.at) OVER (ORDER BY b.at) AS until FROM (
                SELECT {as_of} AS at UNION SELECT lower(f.r) FROM f UNION SELECT upper(f.r) FROM f
            ) b WHERE b.at >= {as_of}
        ) b WHERE EXISTS (
            SELECT FROM (
                SELECT bool_or({passes}) AS passes, rank() OVER (ORDER BY sum(f.w) DESC) AS place
                FROM f WHERE f.r @> b.at GROUP BY f.v
            ) t WHERE t.place = 1 AND t.passes
        ))""",
        values=values,
        never=NEVER,
        as_of=AS_OF_SQL,
        passes=passes,
    )
