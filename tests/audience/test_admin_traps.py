"""The traps of a plain ModelAdmin (safety.md 2.2), one by one.

Pages of the product where they have the trap; a page made for the test where none of ours uses that part of Django.
"""

from collections.abc import Iterator
from typing import Any

import pytest
from django.contrib import admin
from django.contrib.admin.models import LogEntry
from django.test import Client, override_settings
from django.urls import clear_url_caches, path

from audience.admin.base import TenantAdmin, TenantRelatedFilter
from audience.models import Advertiser, Role
from audience.tenancy import acting_for
from pixels.models import Pixel, PixelAction
from segments.models import Segment
from tests.admins import at_work, form_of, make_user, sign_in
from tests.factories import make_advertiser, make_pixel, make_segment

pytestmark = [pytest.mark.django_db, pytest.mark.spec("T16")]

CANARY = "Zilpzalp"
NEVER = 999_999_999
FOREIGN = 888_888_888
NO_CHOICE = "Select a valid choice. That choice is not one of the available choices."


class ActionAdmin(TenantAdmin):
    """Every part of Django's admin that has let tenants through before, on one page."""

    list_display = ("id", "do", "segment", "value")
    list_filter = ("do", ("segment", TenantRelatedFilter))
    list_editable = ("value",)
    search_fields = ("segment__name",)
    date_hierarchy = "segment__created_at"
    save_as = True
    actions = ("set_to_one",)

    def set_to_one(self, request: Any, queryset: Any) -> None:
        queryset.update(value=1)


class RawActionAdmin(ActionAdmin):
    raw_id_fields = ("segment", "pixel")
    list_editable = ()


class AutocompleteActionAdmin(ActionAdmin):
    autocomplete_fields = ("segment", "pixel")
    list_editable = ()


def _site(page: type[TenantAdmin]) -> Any:
    site = type(admin.site._wrapped)()  # type: ignore[attr-defined]
    for model, known in admin.site._registry.items():
        site.register(model, type(known))
    site.register(PixelAction, page)
    return site


class _Urls:
    """A URL table with one admin site that has the page of a test."""

    def __init__(self, page: type[TenantAdmin]) -> None:
        self.urlpatterns = [path("admin/", _site(page).urls)]


@pytest.fixture(params=[ActionAdmin, RawActionAdmin, AutocompleteActionAdmin], ids=["select", "raw", "autocomplete"])
def any_field(request: pytest.FixtureRequest) -> Iterator[None]:
    """The page of pixel actions with each way to choose a row."""
    with override_settings(ROOT_URLCONF=tuple(_Urls(request.param).urlpatterns)):
        yield
    clear_url_caches()


@pytest.fixture
def plain() -> Iterator[None]:
    with override_settings(ROOT_URLCONF=tuple(_Urls(ActionAdmin).urlpatterns)):
        yield
    clear_url_caches()


@pytest.fixture
def ours() -> Advertiser:
    advertiser = make_advertiser(name="Ours")
    make_pixel(advertiser, make_segment(advertiser, "cart"), name="Cart pixel")
    return advertiser


@pytest.fixture
def theirs() -> Advertiser:
    advertiser = make_advertiser(name=f"{CANARY} Ltd")
    segment = make_segment(advertiser, "secret", name=f"{CANARY} segment", id=FOREIGN)
    make_pixel(advertiser, segment, name=f"{CANARY} pixel")
    return advertiser


@pytest.fixture
def browser(ours: Advertiser, theirs: Advertiser) -> Client:
    return at_work(ours)


def row(model: Any, advertiser: Advertiser) -> Any:
    """Return the advertiser's row of this model; the built-in pixel is everybody's."""
    rows = model.all_advertisers.filter(advertiser=advertiser)
    return rows.get(is_direct=False) if model is Pixel else rows.get()


ADD = "/admin/pixels/pixelaction/add/"
LIST = "/admin/pixels/pixelaction/"


def test_a_filter_over_a_foreign_key_lists_own_rows_only(browser: Client, plain: None) -> None:
    body = browser.get(LIST).content.decode()
    assert "Cart" in body
    assert CANARY not in body


def test_a_filter_by_a_foreign_row_is_like_one_by_a_row_that_never_was(
    browser: Client, plain: None, theirs: Advertiser
) -> None:
    foreign = row(Segment, theirs).pk
    answers = [browser.get(LIST, {"segment__id__exact": pk}) for pk in (foreign, NEVER)]
    assert answers[0].status_code == answers[1].status_code == 200
    assert _neutral(answers[0], foreign) == _neutral(answers[1], NEVER)


def test_a_form_neither_offers_nor_takes_a_foreign_row(browser: Client, any_field: None, theirs: Advertiser) -> None:
    page = browser.get(ADD)
    assert page.status_code == 200
    assert CANARY not in page.content.decode()
    errors = {}
    for name, pk in (("foreign", row(Segment, theirs).pk), ("never", NEVER)):
        answer = browser.post(ADD, {"pixel": row(Pixel, theirs).pk, "segment": pk, "do": "add"})
        assert answer.status_code == 200
        assert CANARY not in answer.content.decode()
        errors[name] = answer.context["adminform"].form.errors["segment"]
    assert errors["foreign"] == errors["never"] == [NO_CHOICE]
    assert PixelAction.all_advertisers.count() == 2


def test_own_rows_are_offered_and_taken(browser: Client, any_field: None, ours: Advertiser) -> None:
    """What the refusals above are worth: the same form, with a row of one's own."""
    second = make_segment(ours, "second")
    answer = browser.post(ADD, {"pixel": row(Pixel, ours).pk, "segment": second.pk, "do": "add"})
    assert answer.status_code == 302
    assert PixelAction.all_advertisers.filter(advertiser=ours, segment=second).exists()


def test_a_prefilled_foreign_row_gets_no_label(browser: Client, any_field: None, theirs: Advertiser) -> None:
    body = browser.get(ADD, {"segment": row(Segment, theirs).pk}).content.decode()
    assert CANARY not in body
    assert f'value="{row(Segment, theirs).pk}"' not in body


def test_a_prefilled_own_row_gets_its_label(browser: Client, any_field: None, ours: Advertiser) -> None:
    body = browser.get(ADD, {"segment": row(Segment, ours).pk}).content.decode()
    assert f'value="{row(Segment, ours).pk}"' in body


def test_autocomplete_finds_own_rows_only(browser: Client) -> None:
    query = {"app_label": "pixels", "model_name": "pixelaction", "field_name": "segment"}
    found = browser.get("/admin/autocomplete/", {**query, "term": ""}).json()["results"]
    assert [one["text"] for one in found] == ["Cart"]
    assert browser.get("/admin/autocomplete/", {**query, "term": CANARY}).json()["results"] == []


def test_a_unique_value_of_somebody_else_is_free(browser: Client, ours: Advertiser) -> None:
    form = {"name": "Mine", "code": "secret", "lifetime_minutes_0": "30", "lifetime_minutes_1": "1440"}
    rest = {"refire": "restart", "re_add": "replace", "write_mode": "open", "removing": "as_adding"}
    rest |= {"id_syncs_per_fire": "0", "piggybacks-TOTAL_FORMS": "0", "piggybacks-INITIAL_FORMS": "0"}
    assert browser.post("/admin/segments/segment/add/", {**form, **rest}).status_code == 302
    assert Segment.all_advertisers.filter(advertiser=ours, code="secret").exists()


def test_a_unique_value_of_ones_own_is_refused_at_its_field(browser: Client) -> None:
    form = {"name": "Again", "code": "CART", "lifetime_minutes_0": "30", "lifetime_minutes_1": "1440"}
    rest = {"refire": "restart", "re_add": "replace", "write_mode": "open", "removing": "as_adding"}
    rest |= {"id_syncs_per_fire": "0", "piggybacks-TOTAL_FORMS": "0", "piggybacks-INITIAL_FORMS": "0"}
    answer = browser.post("/admin/segments/segment/add/", {**form, **rest})
    assert answer.status_code == 200
    assert answer.context["adminform"].form.errors["code"] == [
        "You have a segment with this code already. Capitals do not matter."
    ]


def test_a_constraint_of_the_table_is_a_friendly_error(browser: Client, plain: None, ours: Advertiser) -> None:
    again = {"pixel": row(Pixel, ours).pk, "segment": row(Segment, ours).pk, "do": "remove"}
    answer = browser.post(ADD, again)
    assert answer.status_code == 200
    assert "This pixel names this segment already." in answer.content.decode()


def test_an_action_on_a_foreign_row_does_nothing(browser: Client, plain: None, theirs: Advertiser) -> None:
    foreign = row(PixelAction, theirs)
    answer = browser.post(LIST, {"action": "set_to_one", "_selected_action": [foreign.pk], "index": "0"})
    assert CANARY not in answer.content.decode()
    foreign.refresh_from_db()
    assert foreign.value is None


def test_a_foreign_row_in_list_editable_is_not_saved(browser: Client, plain: None, theirs: Advertiser) -> None:
    foreign = row(PixelAction, theirs)
    counts = {"form-TOTAL_FORMS": "1", "form-INITIAL_FORMS": "1"}
    answer = browser.post(LIST, {**counts, "form-0-id": foreign.pk, "form-0-value": "7", "_save": "Save"})
    assert CANARY not in answer.content.decode()
    foreign.refresh_from_db()
    assert foreign.value is None


def test_a_foreign_row_in_an_inline_is_not_saved(browser: Client, ours: Advertiser, theirs: Advertiser) -> None:
    link = f"/admin/pixels/pixel/{row(Pixel, ours).pk}/change/"
    form = form_of(browser.get(link).content.decode(), having="actions-TOTAL_FORMS")
    foreign = row(PixelAction, theirs)
    answer = browser.post(link, {**form, "actions-0-id": foreign.pk, "actions-0-value": "7"})
    assert answer.status_code == 200
    assert CANARY not in answer.content.decode()
    foreign.refresh_from_db()
    assert (foreign.value, foreign.pixel_id) == (None, row(Pixel, theirs).pk)


def test_a_foreign_parent_in_an_inline_is_not_taken(browser: Client, ours: Advertiser, theirs: Advertiser) -> None:
    link = f"/admin/pixels/pixel/{row(Pixel, ours).pk}/change/"
    form = form_of(browser.get(link).content.decode(), having="actions-TOTAL_FORMS")
    browser.post(link, {**form, "actions-0-pixel": row(Pixel, theirs).pk, "actions-0-value": "7"})
    assert set(PixelAction.all_advertisers.filter(pixel=row(Pixel, theirs)).values_list("value", flat=True)) == {None}


@pytest.mark.parametrize("field", ["advertiser", "segment__name", "name"])
def test_to_field_opens_nothing(browser: Client, plain: None, theirs: Advertiser, field: str) -> None:
    link = f"/admin/segments/segment/{CANARY}%20segment/change/"
    answer = browser.get(link, {"_to_field": field, "_popup": "1"})
    assert answer.status_code == 400
    assert browser.get("/admin/segments/segment/", {"_to_field": field}).status_code == 400


def test_a_popup_shows_own_rows_only(browser: Client) -> None:
    body = browser.get("/admin/segments/segment/", {"_popup": "1", "_to_field": "id"}).content.decode()
    assert "Cart" in body
    assert CANARY not in body


def test_save_as_new_copies_no_foreign_row(browser: Client, plain: None, theirs: Advertiser) -> None:
    foreign = row(PixelAction, theirs)
    body = {"pixel": foreign.pixel_id, "segment": foreign.segment_id, "do": "add", "_saveasnew": "1"}
    answer = browser.post(f"/admin/pixels/pixelaction/{foreign.pk}/change/", body)
    assert CANARY not in answer.content.decode()
    assert PixelAction.all_advertisers.count() == 2


@pytest.mark.parametrize(
    "lookup",
    [
        "segment__name__startswith",
        "segment__advertiser__name__startswith",
        "advertiser__name",
        "advertiser",
        "advertiser__team_memberships__user__password__startswith",
        "pixel__public_key__startswith",
        "nonsense",
    ],
)
def test_lookups_are_a_closed_list(browser: Client, plain: None, lookup: str) -> None:
    assert browser.get(LIST, {lookup: "Z"}).status_code == 400


def test_lookups_of_the_filters_are_allowed(browser: Client, plain: None, ours: Advertiser) -> None:
    assert browser.get(LIST, {"do__exact": "add", "o": "1", "q": "Cart", "p": "1"}).status_code == 200
    assert browser.get(LIST, {"segment__id__exact": row(Segment, ours).pk}).status_code == 200


@pytest.mark.parametrize("query", [{"o": "password"}, {"o": "99"}, {"o": "-advertiser__name"}])
def test_an_order_is_a_number_of_a_column(browser: Client, plain: None, query: dict[str, str]) -> None:
    answer = browser.get(LIST, query)
    assert answer.status_code in (200, 302)
    assert CANARY not in answer.content.decode()


def test_numbers_of_a_list_are_within_the_advertiser(browser: Client, theirs: Advertiser) -> None:
    for number in range(7):
        make_segment(theirs, f"more{number}", name=f"Cart {number}")
    page = browser.get("/admin/segments/segment/", {"q": "Cart"})
    assert page.context["cl"].result_count == 1
    assert page.context["cl"].full_result_count is None


def test_a_date_hierarchy_is_within_the_advertiser(browser: Client, plain: None, theirs: Advertiser) -> None:
    Segment.all_advertisers.filter(advertiser=theirs).update(created_at="2011-05-05T00:00:00Z")
    assert "2011" not in browser.get(LIST).content.decode()


def test_facets_are_off(browser: Client, plain: None) -> None:
    body = browser.get(LIST, {"_facets": "True"}).content.decode()
    assert "(1)" not in body
    assert "(2)" not in body


def test_the_history_of_a_foreign_row_is_like_one_that_never_was(browser: Client, theirs: Advertiser) -> None:
    foreign = row(Segment, theirs)
    LogEntry.objects.log_actions(make_user(theirs).pk, [foreign], 2, f"{CANARY} changed")
    answers = [browser.get(f"/admin/segments/segment/{pk}/history/") for pk in (foreign.pk, NEVER)]
    assert [answer.status_code for answer in answers] == [404, 404]
    assert answers[0].content == answers[1].content


def test_recent_actions_of_a_team_that_was_left_are_shown_nowhere(ours: Advertiser, theirs: Advertiser) -> None:
    user = make_user(theirs)
    client = sign_in(user)
    segment = row(Segment, theirs)
    client.post(f"/admin/segments/segment/{segment.pk}/delete/", {"post": "yes"}, follow=True)
    assert LogEntry.objects.filter(user=user).exists()
    user.team_memberships.update(advertiser=ours)
    for link in ("/admin/", "/admin/segments/segment/", f"/admin/segments/segment/{segment.pk}/history/"):
        assert CANARY not in client.get(link).content.decode()


def test_a_delete_preview_names_own_rows_only(browser: Client, ours: Advertiser, theirs: Advertiser) -> None:
    body = browser.get(f"/admin/segments/segment/{row(Segment, ours).pk}/delete/").content.decode()
    assert "Cart pixel" in body
    assert CANARY not in body
    foreign = row(Segment, theirs)
    answers = [browser.post(f"/admin/segments/segment/{pk}/delete/", {"post": "yes"}) for pk in (foreign.pk, NEVER)]
    assert [answer.status_code for answer in answers] == [404, 404]
    foreign.refresh_from_db()
    assert foreign.deleted_at is None


def test_the_link_to_any_rows_public_page_is_off(browser: Client, theirs: Advertiser) -> None:
    assert browser.get(f"/admin/r/1/{row(Segment, theirs).pk}/").status_code == 404


def test_the_themes_search_is_off(browser: Client) -> None:
    """It keeps what it found by user and word, not by advertiser."""
    assert browser.get("/admin/search/", {"s": "cart", "extended": "1"}).status_code == 404


def test_an_analyst_may_not_do_by_post_what_the_page_does_not_offer(ours: Advertiser) -> None:
    client = at_work(ours, Role.ANALYST)
    assert client.get("/admin/pixels/pixel/").status_code == 403
    assert client.post(f"/admin/segments/segment/{row(Segment, ours).pk}/delete/", {"post": "yes"}).status_code == 403
    with acting_for(ours.pk):
        assert Segment.objects.filter(deleted_at=None).count() == 1


def _neutral(answer: Any, pk: int) -> str:
    """Return a page without what differs between any two looks at it."""
    lines = answer.content.decode().replace(str(pk), "#").splitlines()
    return "\n".join(line for line in lines if "csrf" not in line)
