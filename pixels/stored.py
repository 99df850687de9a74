"""A fire on its way through a batch, and how it ended."""

from collections.abc import Sequence
from dataclasses import dataclass

from pixels.facts import Fire
from pixels.reasons import Outcome, Reason
from segments.membership import Step


@dataclass(slots=True)
class Stored:
    """A fire on its way through the batch; once that is committed, how it ended."""

    fire: Fire
    outcome: Outcome
    reason: Reason | None
    notes: tuple[str, ...] = ()
    profile_id: bytes | None = None
    is_repeat: bool = False
    # The segments that a server's fire made its profile join and leave, by number.
    joined: tuple[int, ...] = ()
    left: tuple[int, ...] = ()
    # The partners that are told by this fire who its browser is.
    synced: Sequence[str] = ()

    def tell(self, segment_id: int, steps: Sequence[Step]) -> None:
        """Note what became of a membership; of several steps the last one counts."""
        if steps[-1].change == "join":
            self.joined += (segment_id,)
        else:
            self.left += (segment_id,)
