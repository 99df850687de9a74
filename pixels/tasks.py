"""The doors of the background work on pixels."""

from celery import shared_task

from pixels import counts, idsyncs, partner_ids
from pixels.messages import counts as message_counts


@shared_task(ignore_result=True)
def merge_counts() -> None:
    counts.merge_deltas()
    message_counts.merge_deltas()


@shared_task(ignore_result=True)
def forget_pages() -> None:
    counts.forget_pages()


@shared_task(ignore_result=True)
def forget_partner_ids() -> None:
    partner_ids.forget_partner_ids()


@shared_task(ignore_result=True)
def forget_id_syncs() -> None:
    idsyncs.forget_id_syncs()
