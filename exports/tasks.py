"""The doors of the background work on exports; each takes ids and calls one function."""

from celery import shared_task

from exports import calendar, retention, working


@shared_task(ignore_result=True)
def tick() -> None:
    calendar.tick()


@shared_task(ignore_result=True)
def work_on_run(run_id: int) -> None:
    working.work_on(run_id)


@shared_task(ignore_result=True)
def drop_kept_files() -> None:
    retention.drop_kept_files()
