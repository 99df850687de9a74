"""The live views: fires of a pixel or segment, and messages of a write key, on the screen within a second."""

import secrets
from collections.abc import Collection
from typing import cast
from urllib.parse import urlsplit

from csp.decorators import csp_update
from django.conf import settings
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.http.response import HttpResponseBase
from django.utils import timezone

from audience.admin.pages import ObjectPage, PagedAdmin
from audience.models import Role, WriteKey
from audience.teams import NOT_FOUND
from pixels.admin.cures import cures_for
from pixels.glance import Glance
from pixels.live import Wanted, look
from pixels.messages import live as live_messages
from pixels.messages.errors import MessageError
from pixels.models import Pixel
from pixels.reasons import Outcome, Reason
from segments.models import Segment

_LONGEST_HOST = 253


def live_of_pixel(page_admin: PagedAdmin, request: HttpRequest, pixel: Pixel) -> HttpResponse:
    return _page(page_admin, request, pixel, pixel)


def fires_of_pixel(page_admin: PagedAdmin, request: HttpRequest, pixel: Pixel) -> HttpResponse:
    return _fires(request, [pixel], None)


def live_of_segment(page_admin: PagedAdmin, request: HttpRequest, segment: Segment) -> HttpResponse:
    return _page(page_admin, request, segment, None)


def fires_of_segment(page_admin: PagedAdmin, request: HttpRequest, segment: Segment) -> HttpResponse:
    """Give the fires of the pixels that act on the segment, and those direct calls that name it."""
    pixels = Pixel.objects.filter(actions__segment=segment) | Pixel.objects.filter(is_direct=True)
    return _fires(request, list(pixels.distinct()), segment)


def test(page_admin: PagedAdmin, request: HttpRequest, pixel: Pixel) -> HttpResponse:
    """Show a page whose script fires this pixel in the marketer's own browser, and the fire as it arrives.

    The fire is a real one. `other` marks it, so that the page can tell it from everybody else's.
    """
    mark = f"test-{secrets.token_hex(4)}"
    if pixel.is_direct:
        raise Http404(NOT_FOUND)

    @csp_update({"img-src": [settings.MUSTER_PIXEL_URL]})
    def page(_: HttpRequest) -> HttpResponseBase:
        return page_admin.render_page(
            request,
            pixel,
            "pixels/admin/test.html",
            "test",
            pixel=pixel,
            mark=mark,
            image=f"{settings.MUSTER_PIXEL_URL}/p/{pixel.public_key}.gif?other={mark}",
            own_host=urlsplit(settings.MUSTER_ADMIN_URL).hostname,
            pixel_host=settings.MUSTER_PIXEL_URL,
            rows_link=page_admin.url_of(pixel, "live/fires"),
            cures=cures_for(pixel),
        )

    return cast("HttpResponse", page(request))


def _page(page_admin: PagedAdmin, request: HttpRequest, row: Pixel | Segment, pixel: Pixel | None) -> HttpResponse:
    return page_admin.render_page(
        request,
        row,
        "pixels/admin/live.html",
        "live",
        shows="fires",
        rows_link=page_admin.url_of(row, "live/fires"),
        outcomes=list(Outcome),
        reasons=list(Reason),
        cures=cures_for(pixel),
        is_of_segment=pixel is None,
    )


def live_of_key(page_admin: PagedAdmin, request: HttpRequest, key: WriteKey) -> HttpResponse:
    return page_admin.render_page(
        request,
        key,
        "pixels/admin/live.html",
        "live",
        shows="messages",
        rows_link=page_admin.url_of(key, "live/messages"),
        outcomes=list(Outcome),
        reasons=list(MessageError),
        cures={},
    )


def messages_of_key(page_admin: PagedAdmin, request: HttpRequest, key: WriteKey) -> HttpResponse:
    asked = request.GET
    wanted = live_messages.Wanted(
        outcome=_one_of(asked.get("outcome", ""), Outcome.values),
        error=_one_of(asked.get("reason", ""), MessageError.values),
        host=_host(asked.get("host", "")),
    )
    return _answer(live_messages.look(key, asked.get("after", ""), wanted, timezone.now()))


def _fires(request: HttpRequest, pixels: Collection[Pixel], segment: Segment | None) -> HttpResponse:
    asked = request.GET
    wanted = Wanted(
        outcome=_one_of(asked.get("outcome", ""), Outcome.values),
        reason=_one_of(asked.get("reason", ""), Reason.values),
        host=_host(asked.get("host", "")),
        segment=segment,
    )
    return _answer(look(pixels, asked.get("after", ""), wanted, timezone.now()))


def _answer(glance: Glance) -> HttpResponse:
    return JsonResponse(glance._asdict())


def _host(text: str) -> str:
    return text.strip().lower()[:_LONGEST_HOST].replace("\0", "")


def _one_of(text: str, known: list[str]) -> str:
    return text if text in known else ""


def _is_filled_by_pixels(segment: Segment) -> bool:
    return segment.kind == Segment.Kind.PIXEL


PIXEL_PAGES = (
    ObjectPage("live", "Live view", live_of_pixel, Role.MANAGER),
    ObjectPage("live/fires", "Fires", fires_of_pixel, Role.MANAGER, is_tab=False),
    ObjectPage("test", "Test", test, Role.MANAGER),
)
SEGMENT_PAGES = (
    ObjectPage("live", "Live view", live_of_segment, Role.MANAGER, has_it=_is_filled_by_pixels),
    ObjectPage("live/fires", "Fires", fires_of_segment, Role.MANAGER, is_tab=False, has_it=_is_filled_by_pixels),
)
KEY_PAGES = (
    ObjectPage("live", "Live view", live_of_key, Role.MANAGER),
    ObjectPage("live/messages", "Messages", messages_of_key, Role.MANAGER, is_tab=False),
)
