"""Changing a pixel as a whole, its row and its actions in one transaction, and deleting it; saving a piggyback."""

from collections.abc import Sequence
from datetime import datetime

from django.core.exceptions import ValidationError
from django.db import transaction
from django.utils import timezone

from pixels.models import Piggyback, Pixel, PixelAction
from segments.versions import locked

MOST_PIGGYBACKS = 10
TOO_MANY_PIGGYBACKS = f"A segment takes at most {MOST_PIGGYBACKS} piggyback pixels."


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


@transaction.atomic
def save_piggyback(piggyback: Piggyback) -> None:
    """Save a piggyback that was checked; raise `ValidationError` where its segment has as many as it takes."""
    locked(piggyback.segment_id)  # of two at once the second one counts
    others = Piggyback.objects.filter(segment=piggyback.segment_id).exclude(pk=piggyback.pk)
    if others.count() >= MOST_PIGGYBACKS:
        raise ValidationError({"segment": TOO_MANY_PIGGYBACKS})
    piggyback.save()


def _replace_actions(pixel: Pixel, actions: Sequence[PixelAction]) -> None:
    present = {action.segment_id: action.pk for action in PixelAction.objects.filter(pixel=pixel)}
    wanted = {action.segment_id for action in actions}
    for action in PixelAction.objects.filter(pixel=pixel).exclude(segment_id__in=wanted):
        action.delete()
    for action in actions:
        action.pixel, action.pk = pixel, present.get(action.segment_id)
        action.save(force_update=action.pk is not None)
