"""What one message of the HTTP API says (pixels.md 4.2), as the audience takes it: who sends it, and what is new.

The door parses and checks; what stands here is good. Times are `audience.instants.Instant`, ids are 16 bytes.
"""

from typing import Literal, NamedTuple

from audience.identity import Key
from audience.instants import Instant

Kind = Literal["track", "identify", "page", "screen", "group", "alias"]
# Whence an attribute comes that another system has written (`audience.upserts`); no door takes such a message.
API: Literal["api"] = "api"


class Message(NamedTuple):
    """One message, parsed, frozen.

    `id` is made from the advertiser and the `messageId`, so that the same one is the same fact; without a messageId
    it is a new one. `own` is whom the sender is without any proof: the browser id of its cookie or SDK id, otherwise
    its `anonymousId` (kind `device`, `a:` before it), otherwise, with a server key, the first of `proven`. `linked`
    are identifiers that go to the same profile where they are free and are never moved. `proven` are those that the
    sender may speak for (a server key, or a valid hash): they find, make and merge profiles. Everything that a public
    key only claims stands in `traits` as an attribute and in none of these.
    """

    id: bytes
    kind: Kind | Literal["api"]
    advertiser_id: int
    received_at: Instant
    occurred_at: Instant
    own: Key | None
    linked: tuple[Key, ...] = ()
    proven: tuple[Key, ...] = ()
    event: str = ""  # the event's name; empty where the message is none (identify, group, alias)
    properties: str = "{}"  # JSON of an object
    context: str = "{}"  # JSON of the fields of rules.md 1.5 that are known
    traits: str = "{}"  # JSON of an object: attributes of the profile; of the account where `account` is set
    account: str = ""  # the account's key that a group message proves
    previous: Key | None = None  # alias: the identifier whose profile goes into that of `proven`
    source_id: int | None = None  # the write key's row: whence an attribute comes
    is_named: bool = True  # the id is of a messageId; what has none cannot be sent again as the same
