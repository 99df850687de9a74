"""How workers hear of a run. A message says “look at this row” and nothing more: losing it only costs time.

`tick` finds every run that nobody works on, so a broker that is away or was emptied loses nothing.
"""

from collections.abc import Iterable

import structlog
from celery import current_app
from django.db import transaction

WORK_ON_RUN = "exports.tasks.work_on_run"

log = structlog.get_logger(__name__)


def announce(run_ids: Iterable[int]) -> None:
    """Tell the workers about runs, after the commit of the transaction under way."""
    for run_id in list(run_ids):
        transaction.on_commit(lambda run_id=run_id: _send(run_id))  # type: ignore[misc]


def _send(run_id: int) -> None:
    try:
        current_app.send_task(WORK_ON_RUN, args=[run_id], ignore_result=True)
    except Exception as error:  # each transport has errors of its own, psycopg's and socket's among them
        log.warning("The broker is away; the next tick announces the run", run=run_id, error=type(error).__name__)
