"""Visits, which follow from the times of events alone (rules.md 2.7).

A visit is a run of events, each less than a gap after the one before; it ends a gap after its last. What a server
sends about somebody is no visit.
"""

from datetime import timedelta

from segments.rules.compiling.spans import MICROSECOND
from segments.rules.compiling.sql import Sql, duration, sql
from segments.rules.tree import ATTRIBUTE_CHANGED, VISIT


def gap_of(gap: timedelta) -> Sql:
    return duration(gap // MICROSECOND)


def start_of_visit(owner: str, x: Sql | None, gap: Sql) -> Sql:
    """Return when the last visit of a profile began, or the last that began at or before `x`: NULL without any."""
    until = sql("AND v.occurred_at <= {x}", x=x) if x else Sql("")
    return sql(
        f"""(SELECT v.occurred_at FROM audience_event v
        WHERE v.profile_id = {owner} AND {is_of_visit("v")} {{until}} AND NOT EXISTS (
            SELECT FROM audience_event w WHERE w.profile_id = {owner} AND {is_of_visit("w")}
            AND w.occurred_at < v.occurred_at AND w.occurred_at > v.occurred_at - {{gap}}
        ) ORDER BY v.occurred_at DESC LIMIT 1)""",
        until=until,
        gap=gap,
    )


def end_of_visit(owner: str, gap: Sql) -> Sql:
    """Return when the last visit of a profile ends or has ended."""
    return sql(
        f"""(SELECT max(v.occurred_at) + {{gap}} FROM audience_event v
        WHERE v.profile_id = {owner} AND {is_of_visit("v")})""",
        gap=gap,
    )


def visits(owner: str, since: Sql | None, gap: Sql) -> Sql:
    """Return the visits of a profile as events named $visit at their starts, complete from an instant on.

    One gap more is read: where the run of a visit begins within it, it may have begun before.
    """
    read = sql("AND t.occurred_at >= {since} - {gap}", since=since, gap=gap) if since else Sql("")
    order = "r.occurred_at, r.received_at, r.id"
    newest = "r.occurred_at DESC, r.received_at DESC, r.id DESC"
    return sql(
        f"""(SELECT min(r.occurred_at) AS occurred_at, (array_agg(r.received_at ORDER BY {order}))[1] AS received_at,
            (array_agg(r.id ORDER BY {order}))[1] AS id, (array_agg(r.context ORDER BY {order}))[1] AS context,
            '{VISIT}' AS name, jsonb_strip_nulls(jsonb_build_object(
                'seconds', floor(extract(epoch FROM max(r.occurred_at) - min(r.occurred_at))),
                'pages', count(r.page),
                'landing_page', (array_agg(r.page ORDER BY {order}) FILTER (WHERE r.page IS NOT NULL))[1],
                'exit_page', (array_agg(r.page ORDER BY {newest}) FILTER (WHERE r.page IS NOT NULL))[1]
            )) AS properties
        FROM (
            SELECT g.*, count(*) FILTER (WHERE g.is_start) OVER (ORDER BY g.occurred_at) AS visit
            FROM (
                SELECT t.occurred_at, t.received_at, t.id, t.context,
                    segments_text(t.context #> '{{{{page,url}}}}') AS page,
                    (t.occurred_at - lag(t.occurred_at) OVER (ORDER BY t.occurred_at) < {{gap}})
                        IS NOT TRUE AS is_start
                FROM audience_event t WHERE t.profile_id = {owner} AND {is_of_visit("t")} {{read}}
            ) g
        ) r GROUP BY r.visit)""",
        gap=gap,
        read=read,
    )


def is_of_visit(alias: str) -> str:
    """Return that an event belongs to a visit."""
    return f"({alias}.name <> '{ATTRIBUTE_CHANGED}' AND ({alias}.context ->> 'channel') IS DISTINCT FROM 'server')"
