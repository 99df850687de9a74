"""Append events, many at once."""

from collections.abc import Sequence
from typing import NamedTuple

from audience.columns import bigints, instants, texts, uuids
from audience.messages import Message
from audience.talk import Talk, writes


class Fact(NamedTuple):
    """A message that is an event, and whose it is."""

    profile_id: bytes
    message: Message


# In the order of the key. An id that the memory of messages has forgotten meets its own event here.
_PUT = writes(
    """
    INSERT INTO audience_event (id, advertiser_id, profile_id, name, occurred_at, received_at, properties, context)
    SELECT id, advertiser_id, profile_id, name, occurred_at, received_at, properties::jsonb, context::jsonb
    FROM unnest(%s::uuid[], %s::bigint[], %s::uuid[], %s::text[], %s::timestamptz[], %s::timestamptz[], %s::text[],
        %s::text[]) e (id, advertiser_id, profile_id, name, occurred_at, received_at, properties, context)
    ON CONFLICT DO NOTHING
    """
)


def append(facts: Sequence[Fact]) -> Talk[None]:
    """Append events. The caller holds the locks of their profiles."""
    if not facts:
        return
    facts = sorted(facts, key=lambda fact: (fact.profile_id, fact.message.occurred_at, fact.message.id))
    messages = [fact.message for fact in facts]
    yield [
        _PUT(
            uuids([message.id for message in messages]),
            bigints([message.advertiser_id for message in messages]),
            uuids([fact.profile_id for fact in facts]),
            texts([message.event for message in messages]),
            instants([message.occurred_at for message in messages]),
            instants([message.received_at for message in messages]),
            texts([message.properties for message in messages]),
            texts([message.context for message in messages]),
        )
    ]
