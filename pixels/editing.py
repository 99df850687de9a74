"""Changing a pixel as a whole: its row and its actions in one transaction, and deleting it."""

from collections.abc import Sequence
from datetime import datetime

from django.db import transaction
from django.utils import timezone

from pixels.models import Pixel, PixelAction


def save_pixel(pixel: Pixel, actions: Sequence[PixelAction] | None = None) -> None:
    """Save a pixel; with actions it does these and no others from now on. One segment stands in at most one."""
    with transaction.atomic():
        pixel.save()
        if actions is not None:
            _replace_actions(pixel, actions)


def delete_pixel(pixel: Pixel, at: datetime | None = None) -> None:
    """Delete a pixel; its row stays, so that fires of tags that still stand somewhere are counted for 90 days."""
    if pixel.deleted_at is None:
        pixel.deleted_at = at or timezone.now()
        pixel.save(update_fields=["deleted_at"])


def _replace_actions(pixel: Pixel, actions: Sequence[PixelAction]) -> None:
    present = {action.segment_id: action.pk for action in PixelAction.objects.filter(pixel=pixel)}
    wanted = {action.segment_id for action in actions}
    for action in PixelAction.objects.filter(pixel=pixel).exclude(segment_id__in=wanted):
        action.delete()
    for action in actions:
        action.pixel, action.pk = pixel, present.get(action.segment_id)
        action.save(force_update=action.pk is not None)
