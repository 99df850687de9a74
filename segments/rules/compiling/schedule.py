"""The clock on the wall: times of the day on days of the week, written out for 32 days (rules.md 2.10)."""

from segments.rules.compiling.scene import Scene, Uncompilable
from segments.rules.compiling.sql import AS_OF_SQL, NEVER, Sql, sql
from segments.rules.tree import WEEKDAYS, TimeCondition

TIME_HORIZON_DAYS = 32
MINUTES_OF_A_DAY = 1440


def time_timeline(node: TimeCondition, scene: Scene) -> Sql:
    """Return when the clock reads such a time. One that runs over midnight belongs to the day on which it starts."""
    minutes = range(MINUTES_OF_A_DAY + 1)
    if not node.days or not set(node.days) <= set(WEEKDAYS) or node.start not in minutes or node.end not in minutes:
        raise Uncompilable("A time has days, and goes from one time of the day to another.")
    clock = scene.clock(node.zone)
    end = node.end if node.start < node.end else node.end + MINUTES_OF_A_DAY
    days = ", ".join(str(1 + WEEKDAYS.index(day)) for day in node.days)
    return sql(
        f"""(SELECT coalesce(range_agg(segments_clock(d.day, {{zone}}, {node.start:d}, {end:d})), {{never}}) FROM (
            SELECT {{today}} + n AS day FROM generate_series(-1, {TIME_HORIZON_DAYS + 1}) n
        ) d WHERE extract(isodow FROM d.day) IN ({days}))""",
        zone=clock.zone,
        never=NEVER,
        today=clock.day(AS_OF_SQL),
    )
