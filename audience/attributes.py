"""What is known of profiles and accounts: of each attribute the value that was told for the newest time.

Which messages were told decides, not their order: `combine` takes two states of one attribute to one, and a message
is such a state itself. One thing is not kept, the times at which a value was merely repeated: where another value
comes late and falls between three tellings of the same one, `since` is the last of these, never too early.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from audience.columns import bigints, instants, texts, uuids
from audience.instants import Instant
from audience.talk import Talk, Template, reads, writes

# The owner, a profile or an account, and the name. Batches write in their order.
AttributeKey = tuple[bytes, str]


class Told(NamedTuple):
    """The state of an attribute, as `Attribute` keeps it; `value` is as `write_value` makes it."""

    value: str
    since: Instant
    seen_at: Instant
    fact_id: bytes
    other_at: Instant | None
    source_id: int | None
    source_kind: str


def combine(one: Told | None, other: Told) -> Told:
    """Return what two states of an attribute come to: the newest value, by time, then by fact id."""
    if one is None:
        return other
    older, newest = sorted((one, other), key=lambda told: (told.seen_at, told.fact_id))
    tellings = [newest.since, newest.seen_at]
    others = [newest.other_at]
    if older.value == newest.value:
        tellings += [older.since, older.seen_at]
        others.append(older.other_at)
    else:
        others.append(older.seen_at)
    other_at = max((at for at in others if at is not None), default=None)
    since = min((at for at in tellings if other_at is None or at > other_at), default=newest.seen_at)
    return newest._replace(since=since, other_at=other_at)


def write_value(value: Any) -> str:
    """Return a value as JSON in one form: equal values are equal texts."""
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
        value = int(value)  # 10.0 is 10
    return json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":"))


def read_traits(traits: str) -> dict[str, str]:
    """Return a message's attributes by name, each in the form of `write_value`."""
    return {name: write_value(value) for name, value in json.loads(traits).items()}


class Table(NamedTuple):
    """Whose attributes: of profiles or of accounts."""

    of: str
    read: Template
    write: Template
    drop: Template


def _table(of: str, name: str, owner: str) -> Table:
    # Names of ours only. The read is one index descent per key: `tests/segments/test_plans.py`.
    columns = "name, value, since, seen_at, fact_id, other_at, source_id, source_kind"
    changing = columns.split(", ")[1:]
    return Table(
        of=of,
        read=reads(
            f"""
            SELECT t.{owner}, t.name, t.value::text, t.since, t.seen_at, t.fact_id, t.other_at, t.source_id,
                t.source_kind
            FROM unnest(%s::uuid[], %s::text[]) AS k({owner}, name) JOIN {name} t USING ({owner}, name)
            """  # noqa: S608
        ),
        write=writes(
            f"""
            INSERT INTO {name} (advertiser_id, {owner}, {columns})
            SELECT advertiser_id, owner, name, value::jsonb, since, seen_at, fact_id, other_at, source_id, source_kind
            FROM unnest(%s::bigint[], %s::uuid[], %s::text[], %s::text[], %s::timestamptz[], %s::timestamptz[],
                %s::uuid[], %s::timestamptz[], %s::bigint[], %s::text[])
                t (advertiser_id, owner, name, value, since, seen_at, fact_id, other_at, source_id, source_kind)
            ON CONFLICT ({owner}, name) DO UPDATE
            SET {", ".join(f"{column} = excluded.{column}" for column in changing)}
            """  # noqa: S608
        ),
        drop=writes(f"DELETE FROM {name} WHERE {owner} = ANY(%s::uuid[])"),  # noqa: S608
    )


OF_PROFILES = _table("profile", "audience_attribute", "profile_id")
OF_ACCOUNTS = _table("account", "audience_accountattribute", "account_id")
_ALL_OF_PROFILES = reads(
    """
    SELECT t.profile_id, t.name, t.value::text, t.since, t.seen_at, t.fact_id, t.other_at, t.source_id, t.source_kind
    FROM audience_attribute t WHERE t.profile_id = ANY(%s::uuid[])
    """
)

States = dict[AttributeKey, Told]


class Telling(NamedTuple):
    """An attribute that a message tells of a profile or an account."""

    advertiser_id: int
    key: AttributeKey
    told: Told


class Replaced(NamedTuple):
    """A known value, as `write_value` makes it, and the telling of another one that is newer."""

    value: str
    telling: Telling


def put(tellings: Sequence[Telling], table: Table) -> Talk[list[Replaced]]:
    """Keep what messages tell; return which values they have replaced.

    The caller holds the locks of the profiles, or those of the accounts.
    """
    if not tellings:
        return []
    owners = {telling.key: telling.advertiser_id for telling in tellings}
    profiles, names = zip(*sorted(owners), strict=True)
    (rows,) = yield [table.read(uuids(profiles), texts(names))]
    stored = states_of(rows)
    states = dict(stored)
    replaced: list[Replaced] = []
    for telling in tellings:
        known = states.get(telling.key)
        state = states[telling.key] = combine(known, telling.told)
        if known is not None and known.value != state.value:
            replaced.append(Replaced(known.value, telling))
    changed = {key: told for key, told in states.items() if told != stored.get(key)}
    yield from write(changed, owners, table)
    return replaced


def move(whither: Mapping[bytes, bytes], owners: Mapping[bytes, int]) -> Talk[None]:
    """Move the attributes of profiles to those that they are merged into; `owners` are the latter's advertisers."""
    (rows,) = yield [_ALL_OF_PROFILES(uuids(sorted({*whither, *whither.values()})))]
    states: States = {}
    changed: set[AttributeKey] = set()
    for (profile, name), told in states_of(rows).items():
        key = whither.get(profile, profile), name
        states[key] = combine(states.get(key), told)
        if profile in whither:
            changed.add(key)
    moved = {key: states[key] for key in changed}
    yield [OF_PROFILES.drop(uuids(sorted(whither)))]
    yield from write(moved, {key: owners[key[0]] for key in moved}, OF_PROFILES)


def states_of(rows: Iterable[tuple[Any, ...]]) -> States:
    """Return the states in rows of `Table.read`."""
    return {(owner, name): Told(write_value(json.loads(value)), *rest) for owner, name, value, *rest in rows}


def write(states: States, owners: Mapping[AttributeKey, int], table: Table) -> Talk[None]:
    """Write states; `owners` are their advertisers."""
    if not states:
        return
    keys = sorted(states)
    profiles, names = zip(*keys, strict=True)
    values, since, seen, facts, others, sources, kinds = zip(*[states[key] for key in keys], strict=True)
    yield [
        table.write(
            bigints([owners[key] for key in keys]),
            uuids(profiles),
            texts(names),
            texts(values),
            instants(since),
            instants(seen),
            uuids(facts),
            instants(others),
            bigints(sources),
            texts(kinds),
        )
    ]
