"""Which files at a destination are ours, and which name a new one takes.

Promise: a file is ours when a run recorded its name and size and had it uploaded to this very address: this run, the
one it retries, and with the policy `replace` any earlier run of the export. Every other file is left alone.
"""

from collections.abc import Iterator
from itertools import count

from django.db.models import QuerySet

from exports.destinations.connection import Connection
from exports.file_names import numbered, part_name
from exports.models import Export, Run, RunFile
from exports.plan import Plan
from exports.reasons import DeliveryError

HIGHEST_NUMBER = 999
State = RunFile.State


class OwnFiles:
    """What a run and its forerunners wrote at the run's destination."""

    def __init__(self, run: Run, plan: Plan) -> None:
        self._run, self._plan = run, plan
        self._chain = list(_chain(run))

    def wrote(self, name: str, size: int | None) -> bool:
        """Say whether a file of this name and size may be replaced."""
        if size is None:
            return False
        return any(self._is_of_us(file.run) for file in self._recorded().filter(name=name, bytes=size))

    def began(self, name: str) -> bool:
        """Say whether a `.part` of this name was begun by this run or one that it retries."""
        return RunFile.objects.filter(run__in=self._chain, part_name=name).exists()

    def generation(self) -> int:
        """Return how many times this run has written its files: bytes written anew never mix with earlier ones."""
        return max(1, RunFile.objects.filter(run=self._run).values("claim").distinct().count())

    def _recorded(self) -> "QuerySet[RunFile]":
        files = RunFile.objects.filter(state__in=(State.UPLOADED, State.PUBLISHED, State.CONFIRMED))
        # What this run is about to rename is not there yet: a file of that name is a stranger's.
        files = files.exclude(run=self._run, claim=self._run.files_claim, state=State.UPLOADED).select_related("run")
        if self._plan.name_taken == Export.NameTaken.REPLACE:
            return files.filter(run__export=self._run.export_id, run__destination=self._run.destination_id)
        return files.filter(run__in=self._chain)

    def _is_of_us(self, run: Run) -> bool:
        return bool(run.recorded.get("address") == self._plan.address)


def free_name(connection: Connection, own: OwnFiles, wanted: str, policy: str, used: set[str]) -> str:
    """Return the name that a file takes: the wanted one, a numbered one, or an own file's to be replaced.

    `used` are the names of the set so far, in lower case. Raises `DeliveryError` name_taken.
    """
    for number in range(1, HIGHEST_NUMBER + 1):
        name = numbered(wanted, number)
        if name.lower() in used:
            continue
        size = connection.size(name)
        if size is None or own.wrote(name, size):
            return name
        if policy != Export.NameTaken.NUMBER:
            break
    raise DeliveryError("name_taken", name=wanted)


def free_part_name(connection: Connection, own: OwnFiles, name: str) -> str:
    """Return what a file is called while it is under way; a stranger's `.part` is left alone."""
    candidates = (part_name(name, generation) for generation in count(own.generation()))
    return next(part for part in candidates if own.began(part) or connection.size(part) is None)


def _chain(run: Run) -> Iterator[Run]:
    """Yield a run and the ones it retries."""
    link: Run | None = run
    while link is not None:
        yield link
        link = link.retry_of
