"""The pages of Get tag: for one pixel below its tabs, and for segments that were ticked in their list."""

from typing import Any, cast

from django.contrib import messages
from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.utils.http import urlencode

from audience.admin.pages import ObjectPage, PagedAdmin
from audience.models import Role
from audience.teams import NOT_FOUND, seat_at
from pixels import tags
from pixels.admin import tag
from pixels.models import Pixel
from segments.models import Segment

MOST_SEGMENTS = 100


def tag_of_pixel(page_admin: PagedAdmin, request: HttpRequest, pixel: Pixel) -> HttpResponse:
    """Show the tag; answer scripts and downloads; send the mail."""
    _refuse_direct(pixel)
    return _answer(request, tags.of_pixel(pixel), pixel, _PixelFrame(page_admin, pixel))


def tag_of_segments(page_admin: Any, request: HttpRequest) -> HttpResponse:
    """Show one tag that adds to every ticked segment, without a pixel of its own."""
    seat = seat_at(request)
    if seat is None or not seat.is_at_least(Role.MANAGER):
        raise PermissionDenied
    numbers = [number for number in request.GET.getlist("segment") if number.isdecimal() and len(number) < 19]
    chosen = Segment.objects.filter(pk__in=numbers[:MOST_SEGMENTS], deleted_at=None)
    segments = list(chosen)
    if not segments or len(segments) != len(set(request.GET.getlist("segment"))):
        raise Http404(NOT_FOUND)
    return _answer(request, tags.of_segments(segments), segments[0], _SegmentsFrame(page_admin, segments))


class _PixelFrame:
    """Get tag below a pixel's tabs."""

    def __init__(self, page_admin: PagedAdmin, pixel: Pixel) -> None:
        self.page_admin, self.pixel = page_admin, pixel

    def show(self, request: HttpRequest, context: dict[str, Any]) -> HttpResponse:
        return self.page_admin.render_page(request, self.pixel, "pixels/admin/tag.html", "tag", **context)


class _SegmentsFrame:
    """Get tag for segments: a page of its own."""

    def __init__(self, page_admin: Any, segments: list[Segment]) -> None:
        self.page_admin, self.segments = page_admin, segments

    def show(self, request: HttpRequest, context: dict[str, Any]) -> HttpResponse:
        site = self.page_admin.admin_site
        request.current_app = site.name
        frame = {
            **site.each_context(request),
            "opts": Segment._meta,
            "title": "Get tag",
            "original": self.segments[0] if len(self.segments) == 1 else None,
            "segments": self.segments,
            "media": self.page_admin.media,
        }
        return TemplateResponse(request, "pixels/admin/tag.html", {**frame, **context})


def _answer(
    request: HttpRequest, subject: tags.Subject, row: Pixel | Segment, frame: _PixelFrame | _SegmentsFrame
) -> HttpResponse:
    result = tag.draw(request, subject)
    wanted = request.GET.get("as", "")
    if request.method == "GET" and wanted == "json":
        return tag.as_json(result)
    if request.method == "GET" and wanted in ("txt", "html"):
        return tag.as_file(request, subject, result)
    mail_form = tag.MailForm(mails_left=tag.mails_left(cast("User", request.user)))
    if request.method == "POST":
        mail_form = tag.MailForm(request.POST, mails_left=mail_form.mails_left)
        if mail_form.is_valid() and _mail(request, subject, result, mail_form, row):
            return HttpResponseRedirect(request.get_full_path())
    context = {"tag_form": result.form, "tag": result.tag, "mail_form": mail_form, "tag_subject": subject}
    context["kept"] = urlencode([("segment", number) for number in request.GET.getlist("segment")])
    return frame.show(request, context)


def _mail(request: HttpRequest, subject: tags.Subject, result: tag.Result, form: tag.MailForm, row: Any) -> bool:
    try:
        sent = tag.send(request, subject, result, form, row)
    except OSError:
        form.add_error(None, "The mail server did not take the mail. Nothing was sent; try again later.")
        return False
    messages.success(request, f"The tag was sent to {sent} address{'es' if sent != 1 else ''}.")
    return True


def _refuse_direct(pixel: Pixel) -> None:
    """The built-in pixel has no tag of its own: it collects what comes without one."""
    if pixel.is_direct:
        raise Http404(NOT_FOUND)


TAG_PAGE = ObjectPage("tag", "Get tag", tag_of_pixel, Role.MANAGER)
