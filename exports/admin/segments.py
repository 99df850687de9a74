"""What exports add to a segment's page: that they send its members."""

from collections.abc import Iterator

from django.urls import reverse

from audience.admin.pages import Use
from audience.models import Role
from exports.models import Export
from segments.admin import neighbours
from segments.models import Segment


@neighbours.tells_uses
def exports_of(segment: Segment) -> Iterator[Use]:
    """Yield the exports that send the segment's members."""
    for export in Export.objects.filter(export_segments__segment=segment).select_related("destination"):
        link = reverse("admin:exports_export_overview", args=[export.pk])
        yield Use("Export", export.name, f"sends it to {export.destination}", link, Role.MANAGER)
