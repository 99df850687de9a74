"""What a process knows of rows in the database, so that it need not ask for each: the last ones that it met."""

from collections.abc import Collection, Hashable, Mapping
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class Memory(Generic[K, V]):
    """A dictionary that forgets.

    Only what is committed may be kept. Entries may be out of date, because another process has changed the row: who
    uses them has to find that out.
    """

    def __init__(self, most: int) -> None:
        # Two generations: the old one is thrown away whole, and who is met again moves to the young one.
        self._half = most // 2
        self._young: dict[K, V] = {}
        self._old: dict[K, V] = {}

    def recall(self, keys: Collection[K]) -> dict[K, V]:
        """Return what is known of the keys."""
        young, old = self._young, self._old
        found = {}
        for key in keys:
            known = young.get(key)
            if known is None and (known := old.get(key)) is not None:
                self._put(key, known)
            if known is not None:
                found[key] = known
        return found

    def keep(self, entries: Mapping[K, V]) -> None:
        for key, known in entries.items():
            self._put(key, known)

    def forget(self, keys: Collection[K]) -> None:
        for key in keys:
            self._young.pop(key, None)
            self._old.pop(key, None)

    def clear(self) -> None:
        self._young, self._old = {}, {}

    def _put(self, key: K, known: V) -> None:
        if key not in self._young:
            if len(self._young) >= self._half:
                self._old, self._young = self._young, {}
            self._old.pop(key, None)  # nobody is kept twice
        self._young[key] = known
