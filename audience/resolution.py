"""Whose a message is: the table of pixels.md 4.3, as decisions about what is known of identifiers.

Nothing here asks the database. `Resolver` is given what is known, takes message after message, and says in the end
what has to be written. In it a profile that goes into another one leaves a trace to that one (`_find`), so that
messages before a merge and after it come to the same person.
"""

from collections.abc import Mapping
from typing import NamedTuple

from audience.identity import Key
from audience.ids import uuid7_bytes
from audience.instants import Instant, unix_milliseconds
from audience.messages import Message

CUSTOMER = "customer_id"
SHARED = "shared_identifier"


class Standing(NamedTuple):
    """How many identifiers a profile has, and how many of them are customer ids."""

    identifiers: int = 0
    customers: int = 0


class Place(NamedTuple):
    """Where an identifier leads, and when it last proved the customer there."""

    profile_id: bytes
    proved_at: Instant | None = None


class Resolver:
    """Decide message after message whose it is.

    Promise: what nobody proves finds its own profile and gives it free identifiers, and does nothing else. What is
    proven finds, makes and merges profiles; a browser that has proved another customer goes over to the new one and
    takes nothing along. A profile never gets more identifiers than the limit, by a merge neither.
    """

    def __init__(
        self,
        places: Mapping[Key, Place],
        standings: Mapping[bytes, Standing],
        *,
        most_identifiers: int,
    ) -> None:
        self._most = most_identifiers
        self._standings = dict(standings)
        self._into: dict[bytes, bytes] = {}
        self.places = dict(places)
        self.new_profiles: dict[bytes, Instant] = {}
        # In the order in which they came to be: identifiers that were unknown, and those that went over to others.
        self.new_keys: list[Key] = []
        self.moved: dict[Key, bytes] = {}  # whence
        self.proved: set[Key] = set()

    def resolve(self, message: Message) -> tuple[bytes, tuple[str, ...]]:
        """Return the profile of a message, as far as is known now (`find`), and what has to be noted of it."""
        notes: list[str] = []
        person = self._proven(message, notes) if message.proven else self._unproven(message)
        if message.previous is not None:
            person = self._unite(message.previous, person, notes)
        for key in message.linked:
            if key not in self.places:
                self._attach(key, person, notes)
        return person, tuple(dict.fromkeys(notes))

    def find(self, profile: bytes) -> bytes:
        """Return the profile that a profile has gone into; itself where it is still there."""
        while profile in self._into:
            profile = self._into[profile]
        return profile

    def merges(self) -> dict[bytes, bytes]:
        """Return which stored profiles go into which."""
        return {gone: self.find(gone) for gone in self._into if gone not in self.new_profiles}

    def _unproven(self, message: Message) -> bytes:
        if message.own is None:
            raise ValueError("A message has its own identifier or a proven one.")
        return self._owner(message.own) or self._make(message.own, message.received_at)

    def _proven(self, message: Message, notes: list[str]) -> bytes:
        """Return whom a message proves, made or merged where need be, its own identifier included."""
        person = self._whom(message)
        for key in message.proven:
            person = self._unite(key, person, notes)
        own = message.own
        if own is None or own in message.proven:
            return person
        held = self._owner(own)
        if held is None:
            self._attach(own, person, notes)
        elif held != person:
            if self._standings[held].customers and self._standings[person].customers:
                self._move(own, person, message.occurred_at, notes)
            else:
                person = self._unite(own, person, notes)
        if self._owner(own) == person and _proves_a_customer(message):
            self._prove(own, message.occurred_at)
        return person

    def _whom(self, message: Message) -> bytes:
        """Return the profile that the proven identifiers begin with: a known one's, the sender's, or a new one."""
        for key in message.proven:
            if (person := self._owner(key)) is not None:
                return person
        held = self._owner(message.own) if message.own is not None else None
        if held is not None and not (self._standings[held].customers and _proves_a_customer(message)):
            return held
        return self._make(message.proven[0], message.received_at)

    def _owner(self, key: Key) -> bytes | None:
        place = self.places.get(key)
        return None if place is None else self.find(place.profile_id)

    def _make(self, key: Key, at: Instant) -> bytes:
        profile = uuid7_bytes(unix_milliseconds(at))
        self.new_profiles[profile] = at
        self._standings[profile] = Standing()
        self._attach(key, profile, [])
        return profile

    def _attach(self, key: Key, person: bytes, notes: list[str]) -> None:
        """Give a person an identifier that nobody has."""
        if self._take(person, Standing(1, key.kind == CUSTOMER), notes):
            self.places[key] = Place(person)
            self.new_keys.append(key)

    def _unite(self, key: Key, person: bytes, notes: list[str]) -> bytes:
        """Make an identifier and a person one: it is attached where it is free, otherwise profiles are merged."""
        held = self._owner(key)
        if held is None:
            self._attach(key, person, notes)
        elif held != person:
            gone, stays = sorted((held, person), key=self._rank)
            if self._take(stays, self._standings[gone], notes):
                self._into[gone] = stays
                return stays
        return person

    def _rank(self, profile: bytes) -> tuple[bool, bool, int]:
        """Order profiles: the last one stays. A stored one before a new one, a customer's, then the older one."""
        is_stored = profile not in self.new_profiles
        return is_stored, self._standings[profile].customers > 0, -int.from_bytes(profile)

    def _move(self, key: Key, person: bytes, at: Instant, notes: list[str]) -> None:
        """Let a shared device go over to another customer, unless it has proved one later already."""
        whence, proved_at = self.places[key]
        if (proved_at is None or at > proved_at) and self._take(person, Standing(1), notes):
            left = self._standings[self.find(whence)]
            self._standings[self.find(whence)] = left._replace(identifiers=left.identifiers - 1)
            self.moved.setdefault(key, whence)
            self.places[key] = Place(person)

    def _prove(self, key: Key, at: Instant) -> None:
        profile, proved_at = self.places[key]
        if proved_at is None or at > proved_at:
            self.places[key] = Place(profile, at)
            self.proved.add(key)

    def _take(self, person: bytes, more: Standing, notes: list[str]) -> bool:
        """Count what a person gets; say whether there is room for it."""
        has = self._standings[person]
        if has.identifiers + more.identifiers > self._most:
            notes.append(SHARED)
            return False
        self._standings[person] = Standing(has.identifiers + more.identifiers, has.customers + more.customers)
        return True


def _proves_a_customer(message: Message) -> bool:
    return any(key.kind == CUSTOMER for key in message.proven)
