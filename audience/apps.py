"""The app that knows who people are."""

from django.apps import AppConfig
from django.core import checks
from django.db.models.signals import post_migrate

from audience.partitions import make_partitions


class AudienceConfig(AppConfig):
    name = "audience"
    verbose_name = "Audience"

    def ready(self) -> None:
        post_migrate.connect(_make_partitions, sender=self)
        checks.register(_check_tenancy, checks.Tags.security)


def _make_partitions(**_: object) -> None:
    make_partitions()


def _check_tenancy(**_: object) -> list[checks.CheckMessage]:
    # Not at the top: the checks read models, which are not there yet when this module is.
    from audience.checks import check_tenancy  # noqa: PLC0415

    return check_tenancy()
