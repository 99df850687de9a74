"""Rules asked about people: those of one shape by one statement, with what they differ in as columns of it.

A batch wakes many rules about one or two people each, and to begin a statement about events costs as much as to ask
it about ten people, because of the partitions.
"""

from collections import defaultdict
from collections.abc import Sequence
from functools import lru_cache, partial
from typing import NamedTuple
from uuid import UUID

from audience.columns import Uuids, integers, texts, uuids
from audience.instants import Instant, moment
from audience.talk import Statement, Talk, Template, Value, reads, writes
from segments.rules.compiling.sql import Shape
from segments.rules.timeline import Compiled, Crowded, values_of
from segments.rules.tree import Of

# `asked` is a rule: its place in the question, its part of the profiles, and its values as the shape names them.
_ASK = """
    SELECT asked.number, s.{of}_id, ({timeline})::text
    FROM unnest(%s::int[], %s::int[], %s::int[]{arrays}) AS asked(number, first, last{columns})
    CROSS JOIN LATERAL unnest((%s::uuid[])[asked.first:asked.last]) AS s({of}_id)
"""
# OFFSET 0 has each profile answered once.
_CROWD = "SELECT s.profile_id, {timeline} AS ranges FROM unnest(%s::uuid[]) AS s(profile_id){joins} OFFSET 0"
# The plan is made for each crowd, by how many it is. What is known of a column of UUIDs does not tell how many lie in
# a small range; now and then the answer is one, and each of 10,000 profiles is looked for among all: a chunk then
# takes fifty times as long. Other statements keep their plans: those behind foreign keys are run for each row.
_SET_PLANNER = writes("SELECT set_config('plan_cache_mode', %s, TRUE), set_config('enable_nestloop', %s, TRUE)")


class Question(NamedTuple):
    """A version of a rule, and about whom it is asked."""

    segment_id: int
    version: int
    compiled: Compiled
    about: Sequence[bytes]


class Answer(NamedTuple):
    """What the rule of a question, by its place among them, says of somebody: a `tstzmultirange` as text."""

    number: int
    id: bytes
    ranges: str


class Crowd(NamedTuple):
    """A relation of `profile_id` and `ranges` (a `tstzmultirange`), its values, and the bounds of its ids."""

    text: str
    values: Sequence[Value]
    first: str
    last: str


def ask(questions: Sequence[Question], at: Instant) -> Talk[list[Answer]]:
    """Ask rules, each about its own people."""
    alike: dict[tuple[Of, Shape, tuple[str, ...]], list[int]] = defaultdict(list)
    for number, question in enumerate(questions):
        compiled = question.compiled
        alike[compiled.of, compiled.shaped.shape, compiled.shaped.lists].append(number)
    as_of = moment(at).isoformat()
    answers = yield [_statement(numbers, questions, as_of) for numbers in alike.values()]
    return [Answer(*row) for rows in answers for row in rows]


def _statement(numbers: Sequence[int], questions: Sequence[Question], as_of: str) -> Statement:
    """Return the statement of rules of one shape, with the same lists."""
    compiled = questions[numbers[0]].compiled
    lists = iter(compiled.shaped.lists)
    about: list[bytes] = []
    firsts, lasts = [], []
    for number in numbers:
        firsts.append(len(about) + 1)
        about += sorted(questions[number].about)
        lasts.append(len(about))
    columns = zip(*[questions[number].compiled.shaped.columns for number in numbers], strict=True)
    return _template(compiled.of, compiled.shaped.shape)(
        *[as_of if slot == "as_of" else next(lists) for slot in compiled.shaped.shape.slots],
        integers(numbers),
        integers(firsts),
        integers(lasts),
        *[texts(column) for column in columns],
        uuids(about),
    )


@lru_cache(8192)
def _template(of: Of, shape: Shape) -> Template:
    names = [f", v{number}" for number in range(1, shape.width + 1)]
    arrays = ", %s::text[]" * shape.width
    return reads(_ASK.format(of=of, timeline=shape.text, arrays=arrays, columns="".join(names)))


def crowd(crowded: Crowded, ids: Uuids, at: Instant) -> Crowd:
    """Return a rule's answers about all profiles of a range of ids as a relation; `ids` are all of these, in order.

    The events of a range are read in one walk along the index: where people have few, that takes a fifth of the time.
    """
    first, last = str(UUID(bytes=ids.first)), str(UUID(bytes=ids.last))
    values = partial(values_of, as_of=moment(at), first=first, last=last)
    text = _CROWD.format(timeline=crowded.expression.text, joins=crowded.joins.text)
    return Crowd(text, [*values(crowded.expression), ids, *values(crowded.joins)], first, last)


def as_a_whole(statement: Statement) -> list[Statement]:
    """Return a statement about a crowd with what lets it be planned as one."""
    return [_SET_PLANNER("force_custom_plan", "off"), statement, _SET_PLANNER("auto", "on")]
