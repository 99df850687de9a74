"""`manage.py replay_access_log FILE…`: store the fires of the proxy's log that are not stored yet."""

import asyncio
import sys
from argparse import ArgumentParser
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from tqdm import tqdm

from audience.context.place import places_of_installation
from pixels.accesslog import LogFile, Reader, UnreadableLog
from pixels.catalogue import Catalogue
from pixels.commits import Commits, DatabaseAway
from pixels.endpoint import Endpoint
from pixels.intake import cookies_of_installation, database_conninfo, limits_of_installation
from pixels.logreplay import LogReplay, Look
from pixels.replay import Replay

# Visitors of a few minutes of the log; the door remembers those of a day.
REMEMBERED_IDENTIFIERS = 10_000
AWAY = "The database is away. Nothing is lost: run the same again when it is back."


class Command(BaseCommand):
    help = (
        "Stores the fires in the proxy's access log (docs/nginx.conf) that are not stored yet, each with the time at "
        "which it came. Whatever is stored already is left alone, so it can be run twice, beside live traffic, and "
        "again after it was broken off. Exits 1 where the database is away or a file cannot be read."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("files", nargs="+", metavar="FILE", help="a log, packed by gzip or not; - is stdin")
        parser.add_argument("--dry-run", action="store_true", help="say what would be done and store nothing")

    def handle(self, *, files: Sequence[str], dry_run: bool, **options: Any) -> None:
        logs = [LogFile(name) for name in files]
        catalogue = Catalogue(database_conninfo())
        try:
            if not catalogue.start():
                raise CommandError(AWAY)
            unread = asyncio.run(self._bring(logs, catalogue, dry_run=dry_run))
        except DatabaseAway as error:
            raise CommandError(AWAY) from error
        finally:
            catalogue.stop()
        if unread:
            raise CommandError("\n".join(map(str, unread)))

    async def _bring(self, logs: Sequence[LogFile], catalogue: Catalogue, *, dry_run: bool) -> list[UnreadableLog]:
        """Bring in log after log and print the report, whatever happens; return which cannot be read."""
        reader = Reader(endpoint_of(catalogue))
        unread: list[UnreadableLog] = []
        with closing(sink_of(catalogue, dry_run=dry_run)) as sink:
            replay = LogReplay(reader, sink)
            try:
                with progress_of(logs) as watch:
                    replay.watch = watch
                    for log in logs:
                        try:
                            await replay.bring(log)
                        except UnreadableLog as error:
                            unread.append(error)
            finally:
                if dry_run:
                    self.stdout.write("Nothing is stored: this is what would be.")
                self.stdout.write("\n".join(replay.report.text()))
        return unread


def endpoint_of(catalogue: Catalogue) -> Endpoint:
    replay = Replay(settings.MUSTER_REPLAY_KEY)
    places = places_of_installation()
    return Endpoint(catalogue, cookies_of_installation(), limits_of_installation(), replay, places)


def sink_of(catalogue: Catalogue, *, dry_run: bool) -> Commits | Look:
    conninfo = database_conninfo()
    if dry_run:
        return Look(conninfo)
    return Commits(conninfo, catalogue.day_of, name="muster log replay", remembered=REMEMBERED_IDENTIFIERS)


@contextmanager
def progress_of(logs: Sequence[LogFile]) -> Iterator[Callable[[], None]]:
    """Yield what shows how much is read, where somebody sits at the terminal and watches."""
    total = sum(Path(log.name).stat().st_size for log in logs if Path(log.name).is_file())
    with tqdm(total=total or None, unit="B", unit_scale=True, disable=not sys.stderr.isatty()) as bar:

        def show() -> None:
            bar.update(sum(log.bytes_read for log in logs) - bar.n)

        yield show
        show()
