"""The app that knows which people belong together."""

from importlib import import_module

from django.apps import AppConfig
from django.db.models.signals import post_migrate

from audience.merging import on_merge
from audience.news import on_news
from segments.positions import begin_era


class SegmentsConfig(AppConfig):
    name = "segments"
    verbose_name = "Segments"

    def ready(self) -> None:
        post_migrate.connect(_begin_era, sender=self)
        # Models can be imported only now.
        on_merge(import_module("segments.merging").merge_memberships)
        on_news(import_module("segments.waking").wake)
        on_news(import_module("segments.event_counts").count_events)


def _begin_era(**_: object) -> None:
    begin_era()
