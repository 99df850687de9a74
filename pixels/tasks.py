"""The doors of the background work on pixels."""

from celery import shared_task

from pixels import counts
from pixels.messages import counts as message_counts


@shared_task(ignore_result=True)
def merge_counts() -> None:
    counts.merge_deltas()
    message_counts.merge_deltas()


@shared_task(ignore_result=True)
def forget_pages() -> None:
    counts.forget_pages()
