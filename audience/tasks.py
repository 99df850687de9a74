"""The doors of the background work on the audience."""

from celery import shared_task

from audience import merging, partitions
from audience.context import weather


@shared_task(ignore_result=True)
def make_partitions() -> None:
    partitions.make_partitions()


@shared_task(ignore_result=True)
def drop_old_partitions() -> None:
    partitions.drop_old_partitions()


@shared_task(ignore_result=True)
def fetch_weather() -> None:
    weather.fetch_for_installation()


@shared_task(ignore_result=True)
def forget_merges() -> None:
    merging.forget_merges()
