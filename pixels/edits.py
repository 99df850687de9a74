"""Which edits the door must hear of: saving or deleting one of these rows tells every process."""

from typing import Any

from django.db.models.signals import post_delete, post_save

from audience.models import Advertiser, IdentitySecret, WriteKey
from pixels.catalogue import announce
from pixels.direct import make_direct_pixels
from pixels.models import Partner, Piggyback, Pixel, PixelAction
from segments.models import RuleVersion, Segment

HEARD_OF = (Advertiser, Segment, RuleVersion, Pixel, PixelAction, Partner, Piggyback, WriteKey, IdentitySecret)


def listen() -> None:
    """Connect the signals, once at start."""
    for model in HEARD_OF:
        post_save.connect(_tell, sender=model, dispatch_uid="door")
        post_delete.connect(_tell, sender=model, dispatch_uid="door")
    post_save.connect(_make_direct_pixel, sender=Advertiser, dispatch_uid="direct pixel")


def _tell(using: str, **_: Any) -> None:
    announce(using)


def _make_direct_pixel(instance: Advertiser, created: bool, raw: bool, **_: Any) -> None:
    if created and not raw:  # a fixture brings its own
        make_direct_pixels([instance.pk])
