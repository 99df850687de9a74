"""People, team, tokens and advertisers in the admin: who finds whom, and who may do what."""

import re
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.contrib import admin
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import User
from django.core import mail
from django.test import Client
from django.utils import timezone

from audience.models import Advertiser, ApiToken, Profile, Role, TeamMembership
from audience.teams import SESSION_KEY, Seat
from audience.tenancy import acting_for
from audience.tokens import issue_token, verify_token
from segments.models import Transition
from tests.admins import at_work, form_of, make_user, sign_in
from tests.factories import make_advertiser, make_member, make_profile, make_segment

pytestmark = pytest.mark.django_db


@pytest.fixture
def kettle() -> Advertiser:
    return make_advertiser(name="Kettle & Co")


@pytest.fixture
def browser(kettle: Advertiser) -> Client:
    return at_work(kettle)


# --- People


@pytest.fixture
def jo(kettle: Advertiser) -> Profile:
    identifiers = {"email": "jo@example.com", "customer_id": "C-1001", "phone": "+4989123456"}
    return make_profile(kettle, browser="17c310350571072714b50b704d0910c3", **identifiers)


@pytest.mark.parametrize(
    "term",
    [
        "jo@example.com",
        " Jo@Example.com ",
        "email:jo@example.com",
        "C-1001",
        "customer_id:C-1001",
        "+49 89 123456",
        "17c310350571072714b50b704d0910c3",
        "id",
    ],
)
def test_a_person_is_found_by_any_identifier(browser: Client, kettle: Advertiser, jo: Profile, term: str) -> None:
    make_profile(kettle, email="other@example.com")
    found = browser.get("/admin/audience/profile/", {"q": str(jo.pk) if term == "id" else term})
    assert [row.pk for row in found.context["cl"].result_list] == [jo.pk]


@pytest.mark.parametrize("term", ["jo", "example.com", "email:", "partner:", "\x00", "%", "x" * 5_000, "C-1002", ":"])
def test_a_part_of_an_identifier_finds_nobody(browser: Client, jo: Profile, term: str) -> None:
    found = browser.get("/admin/audience/profile/", {"q": term})
    assert found.status_code == 200
    assert list(found.context["cl"].result_list) in ([], [jo] if term == "\x00" else [])


def test_a_person_of_another_advertiser_is_not_found(browser: Client) -> None:
    theirs = make_profile(make_advertiser(), email="theirs@example.com")
    for term in ("theirs@example.com", str(theirs.pk)):
        assert list(browser.get("/admin/audience/profile/", {"q": term}).context["cl"].result_list) == []


def test_a_list_of_people_counts_nobody(browser: Client, jo: Profile, django_assert_max_num_queries: Any) -> None:
    with django_assert_max_num_queries(20) as captured:
        browser.get("/admin/audience/profile/")
    counts = [query for query in captured.captured_queries if "count(" in query["sql"].lower()]
    assert not [query for query in counts if "audience_profile" in query["sql"]]


def test_a_persons_page_tells_all(browser: Client, kettle: Advertiser, jo: Profile) -> None:
    now, segment = timezone.now(), make_segment(kettle, "cart")
    make_member(segment, jo, starts_at=now - timedelta(hours=1), lifetime=timedelta(days=2), value=65)
    over = make_segment(kettle, "over")
    make_member(over, jo, starts_at=now - timedelta(hours=2), lifetime=timedelta(hours=1))
    Transition.all_advertisers.create(
        advertiser=kettle, profile=jo, segment=over, at=now - timedelta(hours=1), change="leave", cause="time"
    )
    answer = browser.get(f"/admin/audience/profile/{jo.pk}/overview/")
    sections = {section.title: section.context for section in answer.context["sections"]}
    assert [one.segment for one in sections["In these segments now"]["memberships"]] == [segment]
    body = answer.content.decode()
    assert "jo@example.com" in body
    assert "time went by" in body


def test_looking_at_a_person_is_written_down(kettle: Advertiser, jo: Profile) -> None:
    user = make_user(kettle)
    sign_in(user).get(f"/admin/audience/profile/{jo.pk}/overview/")
    assert LogEntry.objects.filter(user=user, object_id=str(jo.pk), change_message="Looked at.").count() == 1


@pytest.mark.parametrize(
    ("role", "people", "status"),
    [
        (Role.VIEWER, True, 403),
        (Role.ANALYST, False, 403),
        (Role.MANAGER, False, 403),
        (Role.ANALYST, True, 200),
        (Role.OWNER, False, 200),
    ],
)
def test_people_need_the_right(kettle: Advertiser, jo: Profile, role: Role, people: bool, status: int) -> None:
    client = at_work(kettle, role, people=people)
    for link in ("", f"{jo.pk}/overview/", f"{jo.pk}/change/"):
        assert client.get(f"/admin/audience/profile/{link}").status_code == status


def test_a_person_cannot_be_changed_here(browser: Client, jo: Profile) -> None:
    assert browser.post(f"/admin/audience/profile/{jo.pk}/delete/", {"post": "yes"}).status_code == 403
    assert browser.get("/admin/audience/profile/add/").status_code == 403


# --- Tokens


def make_token(advertiser: Advertiser) -> tuple[ApiToken, str]:
    with acting_for(advertiser.pk):
        ends = timezone.now() + timedelta(days=1)
        return issue_token(advertiser, name="x", role=Role.OWNER, expires_at=ends)


def new_token(client: Client, **changes: Any) -> Any:
    form = form_of(client.get("/admin/audience/apitoken/add/").content.decode(), having="name")
    return client.post("/admin/audience/apitoken/add/", {**form, "name": "CRM sync", "role": "manager", **changes})


def test_a_token_is_shown_once_and_stored_nowhere(browser: Client, kettle: Advertiser) -> None:
    answer = new_token(browser)
    plain = re.search(r"muster_[\w-]{43}", answer.content.decode())
    assert plain
    row = verify_token(plain[0])
    assert row is not None
    assert (row.advertiser, row.role, row.may_see_people) == (kettle, "manager", False)
    assert row.expires_at > timezone.now() + timedelta(days=89)
    assert plain[0] not in str(ApiToken.all_advertisers.values_list())
    for link in ("", f"{row.pk}/change/", f"{row.pk}/history/"):
        assert plain[0] not in browser.get(f"/admin/audience/apitoken/{link}").content.decode()


def test_a_revoked_token_is_refused_at_once_and_keeps_its_row(browser: Client) -> None:
    plain = re.search(r"muster_[\w-]{43}", new_token(browser).content.decode())[0]  # type: ignore[index]
    row = verify_token(plain)
    assert row is not None
    browser.post(f"/admin/audience/apitoken/{row.pk}/delete/", {"post": "yes"})
    assert verify_token(plain) is None
    assert ApiToken.all_advertisers.get(pk=row.pk).revoked_at is not None
    assert "revoked" in browser.get("/admin/audience/apitoken/").content.decode()


@pytest.mark.parametrize("plain", ["", "muster_", "x", "muster_" + "a" * 43, "a" * 10_000, "muster_\x00"])
def test_no_text_but_the_token_opens(kettle: Advertiser, plain: str) -> None:
    make_token(kettle)
    assert verify_token(plain) is None


def test_an_expired_token_is_refused(kettle: Advertiser) -> None:
    row, plain = make_token(kettle)
    assert verify_token(plain, at=row.expires_at) is None
    assert verify_token(plain, at=row.expires_at - timedelta(seconds=1)) == row


def test_a_viewers_token_sees_no_people(browser: Client) -> None:
    answer = new_token(browser, role="viewer", may_see_people="on")
    assert "may_see_people" in answer.context["adminform"].form.errors
    assert not ApiToken.all_advertisers.exists()


def test_twenty_live_tokens_are_enough(browser: Client, kettle: Advertiser) -> None:
    for _ in range(20):
        make_token(kettle)
    assert "Revoke one first" in new_token(browser).content.decode()


@pytest.mark.parametrize("role", [Role.VIEWER, Role.ANALYST, Role.MANAGER])
def test_tokens_and_team_are_the_owners(kettle: Advertiser, role: Role) -> None:
    client = at_work(kettle, role)
    for page in ("apitoken/", "apitoken/add/", "teammembership/", "teammembership/add/"):
        assert client.get(f"/admin/audience/{page}").status_code == 403


# --- The team


def invite(client: Client, address: str, role: str = "analyst", **more: str) -> Any:
    body = {"address": address, "role": role, **more}
    return client.post("/admin/audience/teammembership/add/", body)


def test_a_stranger_is_invited_by_mail(
    browser: Client, kettle: Advertiser, django_capture_on_commit_callbacks: Any
) -> None:
    with django_capture_on_commit_callbacks(execute=True):
        assert invite(browser, "New@agency.example", may_see_people="on").status_code == 302
    user = User.objects.get(email="New@agency.example")
    assert not user.has_usable_password()
    row = TeamMembership.objects.get(user=user)
    assert (row.advertiser, row.role, row.may_see_people) == (kettle, "analyst", True)
    link = re.search(r"http://testserver(/\S+)", mail.outbox[0].body)
    assert link
    fresh = Client()
    page = fresh.get(link[1], follow=True)
    chosen = {"new_password1": "correct horse battery", "new_password2": "correct horse battery"}
    fresh.post(page.request["PATH_INFO"], chosen)
    assert fresh.login(username=user.username, password="correct horse battery")


def test_a_known_and_an_unknown_address_get_the_same_answer(browser: Client) -> None:
    make_user(make_advertiser(), email="known@agency.example", first_name="Wilhelmina", username="wilhelmina-name")
    answers = [invite(browser, address) for address in ("known@agency.example", "unknown@agency.example")]
    assert [answer.status_code for answer in answers] == [302, 302]
    body = browser.get("/admin/audience/teammembership/").content.decode()
    assert "known@agency.example" in body
    assert "ilhelmina" not in body


def test_a_teammate_is_in_the_team_once(browser: Client) -> None:
    invite(browser, "jo@agency.example")
    answer = invite(browser, "JO@agency.example")
    assert "This person is in the team already." in answer.content.decode()
    assert TeamMembership.objects.filter(user__email="jo@agency.example").count() == 1


@pytest.mark.parametrize("address", ["", "nonsense", "a@b\r\nBcc: c@d", "x" * 300 + "@y.example"])
def test_an_address_that_is_none_invites_nobody(browser: Client, address: str) -> None:
    before = User.objects.count()
    assert invite(browser, address).status_code == 200
    assert User.objects.count() == before


@pytest.mark.spec("T33")
def test_nobody_edits_the_own_membership(kettle: Advertiser) -> None:
    user = make_user(kettle, Role.OWNER)
    client, row = sign_in(user), user.team_memberships.get()
    assert client.post(f"/admin/audience/teammembership/{row.pk}/change/", {"role": "viewer"}).status_code == 403
    assert client.post(f"/admin/audience/teammembership/{row.pk}/delete/", {"post": "yes"}).status_code == 403
    assert user.team_memberships.get().role == Role.OWNER


@pytest.mark.spec("T33")
def test_an_owner_changes_and_removes_others(browser: Client, kettle: Advertiser) -> None:
    row = make_user(kettle, Role.MANAGER).team_memberships.get()
    link = f"/admin/audience/teammembership/{row.pk}"
    browser.post(f"{link}/change/", {"role": "analyst"})
    assert TeamMembership.objects.get(pk=row.pk).role == "analyst"
    browser.post(f"{link}/delete/", {"post": "yes"})
    assert not TeamMembership.objects.filter(pk=row.pk).exists()


# --- Advertisers and seats


def test_a_user_without_a_team_is_told_what_to_do() -> None:
    client = sign_in(make_user())
    for link in ("/admin/", "/admin/segments/segment/", "/admin/audience/advertiser/"):
        answer = client.get(link)
        assert answer.status_code == 403
        assert "You are in no team yet" in answer.content.decode()
    assert client.get("/admin/password_change/").status_code == 200


def test_somebody_without_staff_rights_signs_in_by_team(kettle: Advertiser) -> None:
    user = make_user(kettle, is_staff=False)
    user.set_password("correct horse battery")
    user.save()
    client = Client()
    body = {"username": user.username, "password": "correct horse battery"}
    assert client.post("/admin/login/", body)["Location"] == "/admin/"
    assert client.get("/admin/").status_code == 200


def test_an_inactive_user_does_not_sign_in(kettle: Advertiser) -> None:
    user = make_user(kettle, is_active=False)
    user.set_password("correct horse battery")
    user.save()
    client = Client()
    assert (
        client.post("/admin/login/", {"username": user.username, "password": "correct horse battery"}).status_code
        == 200
    )
    assert client.get("/admin/").status_code == 302


def test_switching_is_a_post_and_written_down(kettle: Advertiser) -> None:
    user, other = make_user(kettle), make_advertiser(name="Nordlicht")
    TeamMembership.objects.create(user=user, advertiser=other, role=Role.VIEWER)
    client = sign_in(user)
    assert client.get("/admin/advertiser/", {"advertiser": other.pk}).status_code == 405
    client.post("/admin/advertiser/", {"advertiser": other.pk})
    assert client.session[SESSION_KEY] == other.pk
    assert client.get("/admin/").context["seat"] == Seat(other, Role.VIEWER, may_see_people=False)
    entry = LogEntry.objects.get(user=user)
    assert (entry.object_id, entry.change_message) == (str(other.pk), "Entered as viewer.")


def test_the_operators_first_entry_is_written_down(kettle: Advertiser) -> None:
    operator = make_user(is_superuser=True)
    client = sign_in(operator)
    client.get("/admin/")
    client.get("/admin/segments/segment/")
    assert LogEntry.objects.filter(user=operator, change_message="Entered as owner.").count() == 1


def test_who_leaves_a_team_is_out_at_the_next_click(kettle: Advertiser) -> None:
    user = make_user(kettle)
    client = sign_in(user)
    assert client.get("/admin/segments/segment/").status_code == 200
    user.team_memberships.all().delete()
    assert client.get("/admin/segments/segment/").status_code == 403


def test_an_operator_of_an_empty_installation_makes_the_first_advertiser() -> None:
    client = sign_in(make_user(is_superuser=True))
    assert "Add the first advertiser" in client.get("/admin/").content.decode()
    assert client.get("/admin/segments/segment/").status_code == 403
    form = form_of(client.get("/admin/audience/advertiser/add/").content.decode(), having="time_zone")
    client.post(
        "/admin/audience/advertiser/add/", {**form, "name": "Kettle & Co", "domains": "https://shop.example/"}
    )
    assert Advertiser.objects.get().domains == ["shop.example"]
    assert client.get("/admin/segments/segment/").status_code == 200


def test_an_owner_sets_the_own_advertiser_only(browser: Client, kettle: Advertiser) -> None:
    other = make_advertiser(name="Nordlicht", first_party_hosts=["px.nordlicht.example"])
    link = f"/admin/audience/advertiser/{kettle.pk}/change/"
    assert browser.get("/admin/audience/advertiser/")["Location"] == link
    stolen = {"name": "Nordlicht", "first_party_hosts": "px.nordlicht.example"}
    own = {"time_zone": "Europe/Berlin", "currency": "EUR", "domains": "shop.example"}
    assert browser.post(link, {**stolen, **own}).status_code == 302
    kettle.refresh_from_db()
    assert (kettle.name, kettle.first_party_hosts) == ("Kettle & Co", [])
    assert (kettle.time_zone, kettle.domains) == ("Europe/Berlin", ["shop.example"])
    for pk in (other.pk, 999_999):
        assert browser.get(f"/admin/audience/advertiser/{pk}/change/").status_code == 404
    assert browser.get("/admin/audience/advertiser/add/").status_code == 403


def test_two_advertisers_cannot_have_one_pixel_host(kettle: Advertiser) -> None:
    make_advertiser(name="Nordlicht", first_party_hosts=["px.nordlicht.example"])
    client = sign_in(make_user(is_superuser=True))
    body = {"name": "Kettle", "time_zone": "UTC", "domains": "", "first_party_hosts": "px.nordlicht.example"}
    answer = client.post(f"/admin/audience/advertiser/{kettle.pk}/change/", body)
    assert "Another advertiser has one of these hosts." in answer.content.decode()


def test_users_are_the_operators(browser: Client, kettle: Advertiser) -> None:
    user = make_user(kettle)
    for link in ("", "add/", f"{user.pk}/change/", f"{user.pk}/password/"):
        assert browser.get(f"/admin/auth/user/{link}").status_code == 403
    operator = sign_in(make_user(is_superuser=True))
    for link in ("", "add/", f"{user.pk}/change/", f"{user.pk}/password/"):
        assert operator.get(f"/admin/auth/user/{link}").status_code == 200


# --- Rights (S6): what each role may see, add, change and delete

VIEWER, ANALYST, MANAGER, OWNER = Role
RIGHTS = {
    "segments.segment": (VIEWER, ANALYST, ANALYST, MANAGER),
    "pixels.pixel": (MANAGER, MANAGER, MANAGER, MANAGER),
    "audience.profile": (ANALYST, None, None, None),
    "audience.account": (ANALYST, None, None, None),
    "audience.advertiser": (MANAGER, None, OWNER, None),
    "audience.teammembership": (OWNER, OWNER, OWNER, OWNER),
    "audience.apitoken": (OWNER, OWNER, None, OWNER),
    "audience.writekey": (MANAGER, OWNER, OWNER, OWNER),
    "audience.identitysecret": (OWNER, OWNER, None, OWNER),
    "pixels.partner": (MANAGER, MANAGER, MANAGER, MANAGER),
    "auth.user": (None, None, None, None),
}


@pytest.mark.spec("S6")
@pytest.mark.parametrize("role", list(Role))
@pytest.mark.parametrize("label", sorted(RIGHTS))
def test_each_role_may_do_what_the_table_says(kettle: Advertiser, rf: Any, label: str, role: Role) -> None:
    request = rf.get("/admin/")
    request.user = make_user(kettle, role)
    request.seat = Seat(kettle, role, may_see_people=True)
    page = next(page for model, page in admin.site._registry.items() if model._meta.label_lower == label)
    ranks = list(Role)
    expected = tuple(least is not None and ranks.index(role) >= ranks.index(least) for least in RIGHTS[label])
    deeds = (
        page.has_view_permission,
        page.has_add_permission,
        page.has_change_permission,
        page.has_delete_permission,
    )
    assert tuple(may(request) for may in deeds) == expected


@pytest.mark.spec("S6")
def test_every_page_of_these_rooms_is_in_the_table() -> None:
    rooms = {"audience", "segments", "pixels", "auth"}
    labels = {model._meta.label_lower for model in admin.site._registry if model._meta.app_label in rooms}
    assert labels == set(RIGHTS)


def test_an_id_that_is_none_is_like_one_that_never_was(browser: Client) -> None:
    for pk in ("x", "0", "-1", "9" * 40, "1.5", str(uuid4()), "%00", "None"):
        for model in ("segments/segment", "pixels/pixel", "audience/profile", "audience/apitoken"):
            assert browser.get(f"/admin/{model}/{pk}/change/").status_code == 404, (model, pk)
