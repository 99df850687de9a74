"""`manage.py run_export EXPORT`: run an export here and now, and watch it."""

import sys
from argparse import ArgumentParser
from threading import Thread
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db import connection
from tqdm import tqdm

from audience.tenancy import acting_for
from exports.models import Export, Run
from exports.progress import Shown, progress_of
from exports.reasons import Refused
from exports.runs import start_run
from exports.working import work_on

EXIT_CODES = {Run.State.DELIVERED: 0, Run.State.FAILED: 1, Run.State.SKIPPED: 3, Run.State.CANCELLED: 1}
REFUSED = 2
LINE_EVERY_SECONDS = 10


class Command(BaseCommand):
    help = (
        "Runs an export now, in this process, with a progress bar. Exit codes: 0 delivered, 1 failed or cancelled, "
        "2 refused, 3 skipped. Ctrl-C leaves the run to the workers."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("export", help="number or name of the export")
        parser.add_argument("--no-deliver", action="store_true", help="write the files, send nothing; exit code 0")

    def handle(self, *, export: str, no_deliver: bool, **options: Any) -> None:
        chosen = _find(export)
        with acting_for(chosen.advertiser_id):
            try:
                run = start_run(chosen, started_by="manage.py", cause=Run.Cause.COMMAND, is_to_be_sent=not no_deliver)
            except Refused as error:
                raise CommandError(str(error), returncode=REFUSED) from error
            run = self._follow(run)
        self.stdout.write(f"{run.get_state_display()}. {run.error} {_sums(run)}".strip())
        code = 0 if run.reason == "not_sent" else EXIT_CODES[Run.State(run.state)]
        if code:
            raise CommandError(f"Run {run.pk} was not delivered.", returncode=code)

    def _follow(self, run: Run) -> Run:
        """Work on the run whenever something is to be done, and show how far it is, until it ends."""
        watch = _Bar() if sys.stderr.isatty() else _Lines(self.stdout.write)
        while run.is_open:
            worker = Thread(target=_work, args=(run.pk,), daemon=True)
            worker.start()
            worker.join(1)
            while worker.is_alive():
                watch.show(progress_of(Run.objects.get(pk=run.pk)))
                worker.join(1)
            run = Run.objects.get(pk=run.pk)
            watch.show(progress_of(run))
        watch.close()
        return run


class _Bar:
    """A bar on a terminal: rows first, then bytes."""

    def __init__(self) -> None:
        self._bar = tqdm(total=100, unit="%", bar_format="{l_bar}{bar}| {postfix}")

    def show(self, shown: Shown) -> None:
        self._bar.n = round(100 * (shown.share or 0))
        self._bar.set_description_str(shown.label)
        self._bar.set_postfix_str(_words(shown))

    def close(self) -> None:
        self._bar.close()


class _Lines:
    """A line every ten seconds, for logs."""

    def __init__(self, write: Any) -> None:
        self._write, self._waited = write, LINE_EVERY_SECONDS

    def show(self, shown: Shown) -> None:
        self._waited += 1
        if self._waited >= LINE_EVERY_SECONDS:
            self._waited = 0
            self._write(f"{shown.label}: {_words(shown)}")

    def close(self) -> None:
        """Nothing to put away."""


def _find(text: str) -> Export:
    exports = Export.all_advertisers.select_related("destination")
    found = list(exports.filter(pk=int(text)) if text.isdigit() else exports.filter(name=text)[:2])
    if len(found) == 1:
        return found[0]
    what = "several exports are" if found else "no export is"
    raise CommandError(f"{what} called “{text}”. Give its number.".capitalize(), returncode=REFUSED)


def _work(run_id: int) -> None:
    try:
        work_on(run_id)
    finally:
        connection.close()


def _words(shown: Shown) -> str:
    rows = f"{shown.rows_written:,} of about {shown.rows_expected:,} rows" if shown.rows_expected else ""
    sent = f"{shown.bytes_sent / 1e6:,.1f} of {shown.bytes_packed / 1e6:,.1f} MB" if shown.bytes_packed else ""
    left = "" if shown.seconds_left is None else f"{shown.seconds_left} s left"
    waiting = f"next try at {shown.next_try_at:%H:%M:%S} UTC" if shown.next_try_at else ""
    return ", ".join(filter(None, (rows, sent, left, waiting, shown.sentence)))


def _sums(run: Run) -> str:
    return f"{run.rows_written:,} rows, {run.bytes_packed:,} bytes." if run.written_at else ""
