"""The first page of a segment: how many are in, how that moved, who came last and why, and who uses it."""

from collections import Counter
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils import timezone

from audience.admin import charts
from audience.admin.base import taken_seat
from audience.admin.fields import in_words
from audience.admin.pages import PagedAdmin
from audience.models import Account, Role
from segments import counts
from segments.admin.rule_buttons import dependents, links_of
from segments.admin.versions import sentence_of
from segments.checking import english_of
from segments.freshness import freshness_of
from segments.membership import holds
from segments.models import Cause, RuleVersion, Segment
from segments.surroundings import surroundings_of
from segments.tables import MEMBERSHIPS, TRANSITIONS, of_segment

TREND_DAYS = 30
RECENT_MEMBERS = 12
# Of so many newest joins the causes are counted.
CAUSES_ASKED = 1_000


def overview(page_admin: PagedAdmin, request: HttpRequest, segment: Segment) -> HttpResponse:
    """Show a segment; of one by a rule `?part=live` gives what changes while it is built, for the page's script."""
    now = timezone.now()
    seat = taken_seat(request)
    today = now.astimezone(ZoneInfo(seat.advertiser.time_zone)).date()
    days = counts.days(segment, today - timedelta(days=TREND_DAYS - 1), today, at=now)
    uses = [use.shown_to(request) for use in dependents(page_admin, segment)]
    context = {
        "segment": segment,
        "lifetime": in_words(segment.lifetime_minutes),
        "size": counts.size(segment, now),
        "today": days[-1],
        "sizes_chart": _sizes_chart(days),
        "moves_chart": _moves_chart(days),
        "members": recent_members(segment, now),
        "may_see_people": seat.may_see_people,
        "may_change": page_admin.has_change_permission(request, segment),
        "may_get_tag": seat.is_at_least(Role.MANAGER),
        "uses": [use for use in uses if use],
        "links": links_of(page_admin, segment),
    }
    if segment.kind == Segment.Kind.PIXEL:
        return page_admin.render_page(request, segment, "segments/admin/overview.html", "overview", **context)
    context |= _of_rule(segment, now)
    if request.GET.get("part") == "live":
        return TemplateResponse(request, "segments/admin/rule_part.html", context)
    return page_admin.render_page(request, segment, "segments/admin/rule_overview.html", "overview", **context)


def _of_rule(segment: Segment, now: datetime) -> dict[str, Any]:
    """Return what is told of a segment's rule: what it says, how fresh it is, and what brought people in."""
    fresh = freshness_of(segment, now)
    english = english_of(surroundings_of(segment.advertiser_id))
    return {
        "fresh": fresh,
        "rule": fresh.shown.rule if fresh.shown else "",
        "sentence": sentence_of(fresh.shown.rule, english) if fresh.shown else "",
        "building_says": sentence_of(fresh.building.rule, english) if fresh.building else "",
        "built": _built(fresh.progress) if fresh.progress else None,
        "behind_seconds": round(fresh.behind.total_seconds()),
        "causes": _causes(segment),
    }


def _built(version: RuleVersion) -> dict[str, Any]:
    """Return how far a building is, in percent and people; people who came since it began may exceed the total."""
    done, total = version.profiles_done, max(version.profiles_total, version.profiles_done)
    percent = 100 * done // total if total else None if version.built_to is None else 100
    return {"percent": percent, "done": done, "total": total, "is_stopped": version.stopped_at is not None}


def _causes(segment: Segment) -> list[tuple[str, int]]:
    """Return by what the newest joins came: ("a fire", 812), most first."""
    counted = Counter(_joins(segment).values_list("cause", flat=True)[:CAUSES_ASKED])
    return [(Cause(cause).label, came) for cause, came in counted.most_common()]


def _sizes_chart(days: list[counts.DayCount]) -> str:
    labels = [f"{day.day:%-d %b}" for day in days]
    return charts.line_chart(labels, charts.Series("members", "size", [max(day.size, 0) for day in days]))


def _moves_chart(days: list[counts.DayCount]) -> str:
    labels = [f"{day.day:%-d %b}" for day in days]
    joins = charts.Series("joined", "join", [day.joins for day in days])
    leaves = charts.Series("left", "leave", [day.leaves for day in days])
    return charts.two_way_chart(labels, joins, leaves)


def recent_members(segment: Segment, now: datetime) -> list[dict[str, Any]]:
    """Return who joined last, newest first, and whether they are still in: profiles, or accounts by their keys."""
    of = of_segment(segment)
    recent = list(_joins(segment)[:RECENT_MEMBERS])
    ids = [getattr(join, f"{of}_id") for join in recent]
    rows = MEMBERSHIPS[of].objects.filter(holds(now), **{"segment": segment, f"{of}_id__in": ids})
    members = {getattr(member, f"{of}_id"): member for member in rows}
    keys = dict(Account.objects.filter(pk__in=ids).values_list("pk", "key")) if of == "account" else {}
    return [
        {"join": join, "member": members.get(id_), "id": id_, "who": keys.get(id_, id_)}
        for join, id_ in zip(recent, ids, strict=True)
    ]


def _joins(segment: Segment) -> QuerySet[Any]:
    """Return the joins of a segment, the last that was recorded first."""
    rows: QuerySet[Any] = TRANSITIONS[of_segment(segment)].objects.filter(segment=segment, change="join")
    return rows.order_by("-position", "-number")
