"""What pixels add to a segment's page: that they use it, its live view, and a pixel for a new segment."""

from collections.abc import Iterator
from typing import Any

from django.dispatch import receiver
from django.urls import reverse

from audience.admin.pages import Use
from audience.models import Role
from pixels.admin.live import SEGMENT_PAGES
from pixels.models import Pixel, PixelAction
from segments.admin import neighbours
from segments.models import Segment

for _page in SEGMENT_PAGES:
    neighbours.add_page(_page)


@neighbours.tells_uses
def pixels_of(segment: Segment) -> Iterator[Use]:
    """Yield the pixels whose fires add to the segment or remove from it."""
    actions = PixelAction.objects.filter(segment=segment, pixel__deleted_at=None).select_related("pixel")
    for action in actions.order_by("pixel__name"):
        does = "adds to it" if action.do == PixelAction.Do.ADD else "removes from it"
        link = reverse("admin:pixels_pixel_overview", args=[action.pixel_id])
        yield Use("Pixel", action.pixel.name, does, link, Role.MANAGER)


@receiver(neighbours.pixel_wanted)
def make_pixel(sender: type[Segment], segment: Segment, **_: Any) -> str:
    """Make a pixel of the segment's name that adds to it; return the address of its tag."""
    pixel = Pixel.objects.create(name=segment.name)
    PixelAction.objects.create(pixel=pixel, segment=segment)
    return reverse("admin:pixels_pixel_tag", args=[pixel.pk])
