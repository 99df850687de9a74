"""Conditions about other segments, and across from profiles to accounts and back (rules.md 2.11 and 3)."""

from dataclasses import replace

from segments.rules.compiling import asking, steps
from segments.rules.compiling.scene import OtherSegment, RuledSegment, Scene, Uncompilable
from segments.rules.compiling.spans import Span, span_of
from segments.rules.compiling.sql import (
    ALWAYS,
    AS_OF_SQL,
    NEVER,
    TRUE,
    Sql,
    bigint,
    duration,
    join,
    opposite,
    sql,
    where_true,
)
from segments.rules.limits import Limits
from segments.rules.tree import AccountCondition, IsMember, Joined, Left, PeopleCondition, SegmentCondition, WasIn
from segments.rules.values import CountTest
from segments.rules.windows import Ever, ThisVisit, Window, Within

# A membership without an end is stored with one that no calendar of ours reaches.
INTERVAL = Sql("tstzrange(m.starts_at, CASE WHEN m.expires_at < '9999-01-01Z' THEN m.expires_at END)")


def segment_timeline(node: SegmentCondition, scene: Scene) -> Sql:
    """Return when what is asked is true of any of the segments."""
    if not node.segments:
        raise Uncompilable("This list is empty. Name a segment; an empty list does not mean all.")
    if isinstance(node.asks, IsMember) and not node.asks.is_in:
        return opposite(segment_timeline(replace(node, asks=IsMember(is_in=True)), scene))
    return sql("({any})", any=join(" + ", [_of_one(key, node, scene) for key in node.segments]))


def _of_one(key: str, node: SegmentCondition, scene: Scene) -> Sql:
    other = scene.surroundings.segments.get(key)
    if other is None:
        raise Uncompilable(f"There is no segment '{key}'.")
    members = _members(key, other, scene)
    match node.asks:
        case IsMember():
            return _is_member(node, node.asks, other, members, scene)
        case Joined(window=window):
            span = _span(window, "lower(r.r)", node, scene)
            return _each(other, members, scene, sql("r.r * {span}", span=span.range), span.only)
        case Left(window=window):
            span = _span(window, "l.at", node, scene)
            left = _each_leave(other, members, scene, span.range, span.only)
            return sql("({left} - {members})", left=left, members=members)
        case WasIn(window=Ever()):
            since = _each(other, members, scene, Sql("tstzrange(lower(r.r), NULL)"))
            before = _each_leave(other, members, scene, Sql("tstzrange(l.at, NULL)"))
            return sql("({since} + {before})", since=since, before=before)
        case WasIn(window=Within(length=length)):
            longer = sql("tstzrange(l.at, l.at + {length})", length=duration(length.microseconds))
            left = _each_leave(other, members, scene, longer)
            return sql("({members} + {left})", members=members, left=left)
        case _:
            raise Uncompilable("This cannot be asked about a segment.")


def _members(key: str, other: OtherSegment, scene: Scene) -> Sql:
    """Return when somebody is in a segment: by its rule, compiled in place, else by its row."""
    of = other.rule.of if isinstance(other, RuledSegment) else other.of
    if of != scene.of:
        raise Uncompilable(f"'{key}' is no segment of {scene.of}s.")
    if not isinstance(other, RuledSegment):
        row = _row(sql("tstzmultirange({interval})", interval=INTERVAL), other, scene)
        return sql("coalesce({row}, {never})", row=row, never=NEVER)
    if key in scene.within or len(scene.within) >= Limits().segment_depth:
        raise Uncompilable(f"'{key}' uses segments that use it, or too many one after the other.")
    inner = replace(
        scene,
        zone=other.rule.zone,
        surroundings=replace(scene.surroundings, key=other.key),
        within=(*scene.within, key),
    )
    return sql("({root} * {always})", root=inner.timeline(other.rule.root), always=ALWAYS)


def _row(chosen: Sql, other: OtherSegment, scene: Scene, claim: Sql = TRUE) -> Sql:
    """Return something of the row `m` of a membership, NULL where there is none.

    Of a segment by a rule it is the row that serves, also for what is built with the next version of that rule.
    """
    table = {"profile": "segments_membership", "account": "segments_accountmembership"}[scene.of]
    if isinstance(other, RuledSegment):
        version = sql("(SELECT g.active_version FROM segments_segment g WHERE g.id = {id})", id=bigint(other.id))
    else:
        version = bigint(other.version)
    return sql(
        f"""(SELECT {{chosen}} FROM {table} m WHERE m.{scene.of}_id = {scene.id}
        AND m.segment_id = {{segment}} AND m.version = {{version}} AND m.starts_at < m.expires_at AND {{claim}})""",
        chosen=chosen,
        segment=bigint(other.id),
        version=version,
        claim=claim,
    )


def history(key: str, other: OtherSegment, scene: Scene) -> Sql:
    """Return the ranges of a membership in another segment, past ones as far as they are kept."""
    return _history(other, _members(key, other, scene), scene)


def of_row(column: str, other: OtherSegment, scene: Scene) -> Sql:
    """Return a column of the row of a membership; NULL where there is none, and of accounts, who have no rows."""
    return Sql("NULL") if scene.of != "profile" else _row(Sql(column), other, scene)


def _history(other: OtherSegment, members: Sql, scene: Scene) -> Sql:
    """Return the ranges of a membership with the one that is running from its stored start, and what has ended since
    its leaves were published.
    """
    if not isinstance(other, RuledSegment):
        return members
    ranges = sql("tstzmultirange({interval}) + coalesce(m.upcoming, {never})", interval=INTERVAL, never=NEVER)
    past = sql(
        "coalesce({row} * tstzmultirange(tstzrange(NULL, {as_of})), {never})",
        row=_row(ranges, other, scene),
        as_of=AS_OF_SQL,
        never=NEVER,
    )
    return sql("({past} + {members})", past=past, members=members)


def _each(other: OtherSegment, members: Sql, scene: Scene, chosen: Sql, only: tuple[Sql, ...] = ()) -> Sql:
    """Return what is chosen of each range `r.r` of the membership's history, all together."""
    return sql(
        "(SELECT coalesce(range_agg({chosen}) FILTER (WHERE {only}), {never}) FROM unnest({history}) r(r))",
        chosen=chosen,
        only=join(" AND ", only or (TRUE,)),
        never=NEVER,
        history=_history(other, members, scene),
    )


def _each_leave(other: OtherSegment, members: Sql, scene: Scene, chosen: Sql, only: tuple[Sql, ...] = ()) -> Sql:
    """Return what is chosen of each end `l.at` of the membership's history, all together; past ones as published."""
    ends = sql(
        "SELECT upper(r.r) AS at FROM unnest({history}) r(r) WHERE upper(r.r) IS NOT NULL",
        history=_history(other, members, scene),
    )
    if scene.of == "profile":
        ends = sql("{ends} UNION ALL {published}", ends=ends, published=_published_leaves(other, scene))
    return sql(
        "(SELECT coalesce(range_agg({chosen}) FILTER (WHERE {only}), {never}) FROM ({ends}) l)",
        chosen=chosen,
        only=join(" AND ", only or (TRUE,)),
        never=NEVER,
        ends=ends,
    )


def _published_leaves(other: OtherSegment, scene: Scene) -> Sql:
    """Return the instants `at` at which somebody has left a segment, as everybody was told: rules.md 2.11 asks about
    served history, whatever the version.

    Who is two people's joins and leaves, after a merge, has left when neither is in. A leave whose join is forgotten
    is one all the same; a join at the very instant of a leave takes it back. Read by the range of one key.
    """
    return sql(
        f"""SELECT d.at FROM (
            SELECT n.at, n.change, n.open - least(0, min(n.open) OVER (ORDER BY n.at, n.change)) AS open FROM (
                SELECT t.at, t.change, sum(CASE t.change WHEN 'join' THEN 1 ELSE -1 END)
                    OVER (ORDER BY t.at, t.change) AS open
                FROM segments_transition t WHERE t.profile_id = {scene.id} AND t.segment_id = {{segment}}
                    AND t.at <= {{as_of}}
            ) n
        ) d WHERE d.change = 'leave' AND d.open = 0""",
        segment=bigint(other.id),
        as_of=AS_OF_SQL,
    )


def _span(window: Window, x: str, node: SegmentCondition, scene: Scene) -> Span:
    if isinstance(window, ThisVisit):
        raise Uncompilable("A membership has no visit.")
    return span_of(window, Sql(x), scene.clock(node.zone))


def _is_member(node: SegmentCondition, asks: IsMember, other: OtherSegment, members: Sql, scene: Scene) -> Sql:
    parts = [members]
    if asks.for_at_least is not None:
        length = duration(asks.for_at_least.microseconds)
        old = sql("tstzrange(lower(r.r) + {length}, NULL) * r.r", length=length)
        parts.append(_each(other, members, scene, old))
    if asks.value is not None:
        passes = asking.claim(Sql("to_jsonb(m.value)"), asks.value)
        parts.append(where_true(sql("{found} IS NOT NULL", found=_row(Sql("1"), other, scene, passes))))
    if asks.last_added is not None:
        span = _span(asks.last_added, "m.last_added_at", node, scene)
        claim = join(" AND ", (Sql("m.last_added_at IS NOT NULL"), *span.only))
        added = _row(sql("tstzmultirange({span})", span=span.range), other, scene, claim)
        parts.append(sql("coalesce({added}, {never})", added=added, never=NEVER))
    return sql("({all})", all=join(" * ", parts))


def account_timeline(node: AccountCondition, scene: Scene) -> Sql:
    """Return when some account of the profile satisfies the node."""
    inner, accounts = accounts_of(scene)
    return _together("range_agg(o.passes)", inner.timeline(node.account), accounts)


def accounts_of(scene: Scene) -> tuple[Scene, Sql]:
    """Return the scene on the other side, and the relation of a profile's accounts up to its WHERE."""
    if scene.of != "profile" or scene.depth >= 2:
        raise Uncompilable("Accounts are asked about from a rule about profiles, one crossing each way.")
    account = f"a{scene.depth}"
    accounts = Sql(f"audience_accountmember {account} WHERE {account}.profile_id = {scene.id}")
    return scene.of_other("account", f"{account}.account_id"), accounts


def people_timeline(node: PeopleCondition, scene: Scene) -> Sql:
    """Return when so many people of the account satisfy the node. Without people only a count can be true."""
    inner, people = people_of(scene)
    passes = ALWAYS if node.who is None else inner.timeline(node.who)
    if isinstance(node.people, CountTest):
        spans = sql("SELECT unnest({passes}) AS r FROM {people}", passes=passes, people=people)
        return steps.walk(spans, steps.of_count(node.people))
    if node.people not in _PEOPLE:
        raise Uncompilable(f"“{node.people}” is no number of people.")
    return _together(_PEOPLE[node.people], passes, people)


def people_of(scene: Scene) -> tuple[Scene, Sql]:
    """Return the scene on the other side, and the relation of an account's people up to its WHERE."""
    if scene.of != "account" or scene.depth >= 2:
        raise Uncompilable("People are asked about from a rule about accounts, one crossing each way.")
    person = f"p{scene.depth}"
    people = Sql(f"audience_accountmember {person} WHERE {person}.account_id = {scene.id}")
    return scene.of_other("profile", f"{person}.profile_id"), people


_PEOPLE = {
    "any": "range_agg(o.passes)",
    "all": "range_intersect_agg(o.passes)",
    "none": "{always} - range_agg(o.passes)",
}


def _together(aggregate: str, passes: Sql, others: Sql) -> Sql:
    """Return the aggregate of when the others pass; of no others, never.

    A timeline may name nobody, such as one of the clock. Written as its argument, it would make PostgreSQL take the
    aggregate for one of the query around.
    """
    # Over no rows an aggregate is NULL, and so is what is taken from it.
    return sql(
        f"coalesce((SELECT {aggregate} FROM (SELECT {{passes}} AS passes FROM {{others}}) o), {{never}})",
        passes=passes,
        others=others,
        always=ALWAYS,
        never=NEVER,
    )
