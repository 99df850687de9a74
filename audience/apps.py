"""The app that knows who people are."""

from django.apps import AppConfig
from django.db.models.signals import post_migrate

from audience.partitions import make_partitions


class AudienceConfig(AppConfig):
    name = "audience"
    verbose_name = "Audience"

    def ready(self) -> None:
        post_migrate.connect(_make_partitions, sender=self)


def _make_partitions(**_: object) -> None:
    make_partitions()
