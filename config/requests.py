"""A line of the log for each request to admin and API: what was asked by whom, how it ended, how long it took.

The route stands for the path, and there is no query: both hold what people type. Reads that went well are DEBUG, or
the pages that look again twice a second would be all that the log says.
"""

import time
from collections.abc import Callable

import structlog
from django.conf import settings
from django.http import HttpRequest, HttpResponse

from audience.teams import seat_at

log = structlog.get_logger(__name__)


class RequestLogMiddleware:
    """The outermost of ours, so that answers of all others are told, too."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        began = time.monotonic()
        response = self.get_response(request)
        match = request.resolver_match
        if match is None and request.path.startswith(settings.STATIC_URL):
            return response
        is_quiet = response.status_code < 400 and request.method in ("GET", "HEAD", "OPTIONS")
        (log.debug if is_quiet else log.info)(
            "request",
            method=request.method if request.method in METHODS else "other",
            route=match.route if match else "unknown",
            status=response.status_code,
            ms=round((time.monotonic() - began) * 1000),
            address=request.META.get("REMOTE_ADDR", ""),
            **_who(request),
        )
        return response


METHODS = ("GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE")


def _who(request: HttpRequest) -> dict[str, int]:
    """Return the ids of user and advertiser, as far as somebody has looked them up."""
    user, seat = getattr(request, "_cached_user", None), seat_at(request)
    found = {}
    if user is not None and user.pk is not None:
        found["user"] = user.pk
    if seat is not None:
        found["advertiser"] = seat.advertiser.pk
    return found
