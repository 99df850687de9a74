"""What the rooms above tell a segment's page: who uses the segment, and what they add about it.

Pixels and exports know segments, never the other way round; so they register themselves here.
"""

from collections.abc import Callable, Iterable, Iterator

from django.dispatch import Signal

from audience.admin.base import TenantStackedInline
from audience.admin.pages import ObjectPage, Use
from segments.models import Segment

Asker = Callable[[Segment], Iterable[Use]]
_askers: list[Asker] = []
pages: list[ObjectPage] = []
inlines: list[type[TenantStackedInline]] = []  # rows below the segment's own form

# Somebody who has made a segment wants a pixel for it. A receiver makes one and returns the address of its tag.
# Arguments: `segment`.
pixel_wanted = Signal()


def tells_uses(asker: Asker) -> Asker:
    """Register a function that says what of its room uses a segment."""
    _askers.append(asker)
    return asker


def uses_of(segment: Segment) -> Iterator[Use]:
    """Yield what uses a segment, room by room."""
    for asker in _askers:
        yield from asker(segment)


def add_page(page: ObjectPage) -> None:
    """Add a page about a segment to its tabs."""
    pages.append(page)


def add_inline(inline: type[TenantStackedInline]) -> type[TenantStackedInline]:
    """Add rows to a segment's form."""
    inlines.append(inline)
    return inline
