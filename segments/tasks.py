"""The doors of the background work on segments."""

from celery import shared_task

from segments import building, counts, event_counts, recount, retention, sweeper, waiting


@shared_task(ignore_result=True)
def sweep() -> None:
    sweeper.sweep()


@shared_task(ignore_result=True)
def ask_waiting() -> None:
    waiting.ask_waiting()


@shared_task(ignore_result=True)
def merge_counts() -> None:
    counts.merge_deltas()
    event_counts.merge_deltas()


@shared_task(ignore_result=True)
def forget_passers_by() -> None:
    retention.forget_passers_by()


@shared_task(ignore_result=True)
def check_counts() -> None:
    recount.report_differences()


@shared_task(ignore_result=True)
def build_rules() -> None:
    building.build()


@shared_task(ignore_result=True)
def drop_superseded() -> None:
    building.drop_superseded()


@shared_task(ignore_result=True)
def forget_event_counts() -> None:
    event_counts.forget()
