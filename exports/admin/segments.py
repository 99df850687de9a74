"""What exports add to a segment's page: that they send it."""

from collections.abc import Iterator

from django.contrib import admin
from django.urls import reverse

from audience.admin.pages import Use
from audience.models import Role
from exports.models import Export, ExportSegment
from segments.admin import neighbours
from segments.models import Segment


@neighbours.tells_uses
def exports_of(segment: Segment) -> Iterator[Use]:
    """Yield the exports that send the segment's members."""
    rows = ExportSegment.objects.filter(segment=segment).select_related("export__destination")
    for row in rows.order_by("export__name"):
        is_shown = admin.site.is_registered(Export)
        link = reverse("admin:exports_export_change", args=[row.export_id]) if is_shown else ""
        yield Use("Export", row.export.name, f"sends it to {row.export.destination}", link, Role.MANAGER)
