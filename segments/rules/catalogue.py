"""What a rule's words are checked against: what one advertiser has. The database's side implements it."""

from collections.abc import Collection, Mapping
from typing import Protocol

from segments.rules.fields import AttributeType
from segments.rules.tree import Of
from segments.rules.values import Name


class Catalogue(Protocol):
    """One advertiser's names. Where an answer is None it is not known, and nothing is refused because of it."""

    def retention_days(self) -> int | None:
        """Return for how long events are kept; None is for ever."""

    def event_counts(self) -> Mapping[str, int] | None:
        """Return how often each event came in the last 90 days."""

    def attributes(self, of: Of) -> Mapping[Name, AttributeType | None] | None:
        """Return the attributes that anybody has; the type is None where values have several."""

    def segments(self, of: Of) -> Collection[str] | None:
        """Return the keys of the segments of profiles or of accounts."""

    def segments_used_by(self, key: str) -> Collection[str]:
        """Return the keys of the segments that a segment's rule names."""


class Anything:
    """A catalogue that knows nothing, for reading a rule without its advertiser."""

    def retention_days(self) -> int | None:
        return None

    def event_counts(self) -> Mapping[str, int] | None:
        return None

    def attributes(self, of: Of) -> Mapping[Name, AttributeType | None] | None:
        return None

    def segments(self, of: Of) -> Collection[str] | None:
        return None

    def segments_used_by(self, key: str) -> Collection[str]:
        return ()
