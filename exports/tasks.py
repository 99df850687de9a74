"""The doors of the background work on exports; each takes ids and calls one function."""

from celery import shared_task
from celery.signals import worker_shutdown, worker_shutting_down

from exports import calendar, lease, retention, working


@worker_shutting_down.connect
def give_back_all(**_: object) -> None:
    lease.give_back_all()


@worker_shutdown.connect
def announce_idle(**_: object) -> None:
    """Earlier it would have been this worker that hears of them, and takes the messages with it."""
    calendar.announce_idle()


@shared_task(ignore_result=True)
def tick() -> None:
    calendar.tick()


@shared_task(ignore_result=True)
def work_on_run(run_id: int) -> None:
    working.work_on(run_id)


@shared_task(ignore_result=True)
def drop_kept_files() -> None:
    retention.drop_kept_files()
