"""What a transaction has changed about people and companies, told to the rooms above before it ends."""

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Literal, NamedTuple

from audience.events import Fact
from audience.instants import Instant
from audience.talk import Talk


class Changed(NamedTuple):
    """What is known of a profile or an account has changed, beside what messages say.

    Names of attributes, kinds of identifiers that it has got or lost, purposes of consents. `is_new`: nobody knew of
    it. `belongs`: the profile belongs to other accounts, or other profiles to the account.
    """

    advertiser_id: int
    id: bytes
    of: Literal["profile", "account"] = "profile"
    attributes: Collection[str] = ()
    kinds: Collection[str] = ()
    purposes: Collection[str] = ()
    is_new: bool = False
    belongs: bool = False


class Happened(NamedTuple):
    """What has changed, all of it stored, under the locks of the profiles or, of accounts, of those.

    `merged` are profiles that others have gone into, with their advertisers.
    """

    at: Instant  # nothing of it came later
    facts: Sequence[Fact] = ()
    changed: Sequence[Changed] = ()
    merged: Mapping[bytes, int] = {}


class Moves(NamedTuple):
    """The segments, by number, that a profile has joined and left by what a batch told."""

    joined: tuple[int, ...] = ()
    left: tuple[int, ...] = ()


NO_MOVES = Moves()

# What a room above does with news; it says which profiles have moved by that.
Step = Callable[[Happened], Talk[Mapping[bytes, Moves]]]
_steps: list[Step] = []


def on_news(step: Step) -> None:
    """Register what a room above does with news, in the transaction that brings them."""
    if step not in _steps:
        _steps.append(step)


def tell(happened: Happened) -> Talk[dict[bytes, Moves]]:
    """Tell the rooms above what has changed, once in a transaction; return which profiles have moved by that."""
    moves: dict[bytes, Moves] = {}
    for step in _steps:
        moves |= yield from step(happened)
    return moves
