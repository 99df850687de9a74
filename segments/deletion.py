"""Deleting a segment: it is gone for everybody at once, and its row is kept.

Fires of tags that still stand somewhere find the kept row for 90 days and are counted as refused. Another segment may
have its code.
"""

from datetime import datetime

from django.core.exceptions import ValidationError
from django.db import transaction
from django.utils import timezone

from segments.models import Segment
from segments.versions import drop_unfinished, users_of


class StillUsed(ValidationError):
    """Rules of other segments name it; the text says which."""


@transaction.atomic
def delete_segment(segment: Segment, at: datetime | None = None) -> None:
    """Delete a segment; a second time changes nothing. Exports and pixels that name it leave it out.

    Raises `StillUsed` while rules name it.
    """
    if segment.deleted_at is None:
        names = sorted({version.segment.name for version in users_of(segment)})
        if names:
            raise StillUsed(f"It is used by {', '.join(f'“{name}”' for name in names)}. Change their rules first.")
        segment.deleted_at = at or timezone.now()
        segment.save(update_fields=["deleted_at"])
        drop_unfinished(segment)
