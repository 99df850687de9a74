"""The app that knows which people belong together."""

from importlib import import_module

from django.apps import AppConfig

from audience.merging import on_merge
from audience.news import on_news


class SegmentsConfig(AppConfig):
    name = "segments"
    verbose_name = "Segments"

    def ready(self) -> None:
        # Models can be imported only now.
        on_merge(import_module("segments.merging").merge_memberships)
        on_news(import_module("segments.waking").wake)
        on_news(import_module("segments.event_counts").count_events)
