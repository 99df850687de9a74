"""The canary crawl (safety.md 2.1): as every role of one advertiser, through the whole admin, with another's ids.

It is generated from the admin registry and the URL table. Asserted: the canary word is in no body and no header; an
id of the other advertiser is answered like one that never was; nothing of the other advertiser changes.
"""

import re
from collections.abc import Iterator
from html import unescape
from typing import Any, NamedTuple
from urllib.parse import parse_qs, urljoin, urlsplit

import pytest
from django import forms
from django.contrib import admin
from django.db import transaction
from django.test import Client
from django.urls import NoReverseMatch, reverse

import audience.admin.base
from audience.models import Account, AccountAttribute, Attribute, Event, Profile, Role
from audience.tenancy import acting_for
from tests.admins import form_of, make_user, sign_in
from tests.canary import (
    CANARY,
    FIRST_FOREIGN_NUMBER,
    Flock,
    everything_of,
    has_advertiser,
    never,
    pointers_across,
)

pytestmark = [pytest.mark.django_db, pytest.mark.spec("T16")]

SEATS = [(Role.VIEWER, False), (Role.ANALYST, False), (Role.ANALYST, True), (Role.MANAGER, True), (Role.OWNER, True)]
NAMES = [f"{role.value}{' with people' if people else ''}" for role, people in SEATS]
PART = CANARY[:5].lower()
_SENT = {"post": "yes", "name": "x", "_save": "1", "version": "1", "rule": "{}"}
_LEADS_OUT = ("/admin/logout/", "/admin/jsi18n/")


class Place(NamedTuple):
    """One URL of the admin: for a row of a model, or for none."""

    name: str
    model: Any
    takes_row: bool

    def link(self, pk: Any = None) -> str:
        return reverse(f"admin:{self.name}", args=[pk] if self.takes_row else [])


def places() -> list[Place]:
    """Return every named URL of every registered page, and those of the site."""
    found = []
    for model, page in admin.site._registry.items():
        for pattern in page.get_urls():
            if pattern.name:
                found.append(Place(pattern.name, model, bool(pattern.pattern.converters)))
    return found


class Crawler:
    """Somebody of our team who tries everything."""

    def __init__(self, ours: Flock, theirs: Flock, role: Role, people: bool) -> None:
        self.ours, self.theirs = ours, theirs
        self.client: Client = sign_in(make_user(ours.advertiser, role, people=people))

    def get(self, link: str, query: dict[str, Any] | None = None) -> Any:
        return self.look(self.client.get(link, query or {}), f"GET {link} {query or ''}")

    def post(self, link: str, body: dict[str, Any]) -> Any:
        """Post, look, and take back what was done to our own rows."""
        with transaction.atomic():
            answer = self.look(self.client.post(link, body), f"POST {link} {body}")
            if answer.status_code != 200:  # a form that comes back has saved nothing
                across = list(pointers_across(self.ours.advertiser, self.theirs.advertiser))
                assert not across, f"POST {link} {body} joined two advertisers by {across}"
            transaction.set_rollback(True)
        return answer

    def look(self, answer: Any, what: str) -> Any:
        assert answer.status_code < 500, f"{answer.status_code} for {what}"
        for part, text in (("body", answer.content.decode()), ("headers", str(answer.headers))):
            is_heard = CANARY in text
            assert not is_heard, f"the canary sings in the {part} of {what}"
        return answer

    def alike(self, theirs: Any, never_was: Any, what: str, asked: tuple[dict[str, Any], dict[str, Any]]) -> None:
        """Assert that foreign ids and ids that never were got the same answer."""
        assert theirs.status_code == never_was.status_code, what
        is_alike = _neutral(theirs, asked[0]) == _neutral(never_was, asked[1])
        assert is_alike, f"a foreign id and one that never was get different pages: {what}"


def _neutral(answer: Any, asked: dict[str, Any]) -> str:
    """Return an answer without what differs between any two: the ids that were asked for, tokens and times."""
    text = f"{answer.headers.get('Location', '')}\n{answer.content.decode()}"
    for pk in asked.values():
        text = text.replace(str(pk), "#")
    text = re.sub(r'name="csrfmiddlewaretoken" value="\w+"|test-[0-9a-f]{8}', "", text)
    return re.sub(r"\d{4}-\d\d-\d\dT[\d:.+]+|\d\d:\d\d(:\d\d)?", "", text)


def _asked(keys: tuple[Any, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    return {"": keys[0]}, {"": keys[1]}


@pytest.fixture
def ours() -> Flock:
    return Flock("Amsel")


@pytest.fixture
def theirs() -> Iterator[Flock]:
    """The other advertiser; after the crawl, all of it is as it was."""
    flock = Flock(CANARY, FIRST_FOREIGN_NUMBER)
    before = everything_of(flock.advertiser)
    yield flock
    after = everything_of(flock.advertiser)
    for label, rows in before.items():
        assert after[label] == rows, f"rows of {label} have changed"


@pytest.fixture(params=SEATS, ids=NAMES)
def crawler(request: pytest.FixtureRequest, ours: Flock, theirs: Flock) -> Crawler:
    role, people = request.param
    return Crawler(ours, theirs, role, people)


def test_every_page_and_link(crawler: Crawler) -> None:
    """Follow every link from the dashboard on; none is dead, and none leads where the role may not go."""
    waiting, seen = ["/admin/"], {"/admin/"}
    while waiting:
        link = waiting.pop()
        answer = crawler.get(link)
        assert answer.status_code in (200, 302), f"{link} is offered and answers {answer.status_code}"
        for found in _links(answer, link):
            if _kind(found) not in seen:
                seen.add(_kind(found))
                waiting.append(found)
    assert len(seen) > 5


def _kind(link: str) -> str:
    """Return what is the same for links that differ in the values of their query alone."""
    parts = urlsplit(link)
    return f"{parts.path}?{sorted(parse_qs(parts.query, keep_blank_values=True))}"


def _links(answer: Any, base: str) -> Iterator[str]:
    if answer.status_code == 302:
        yield answer["Location"]
        return
    for href in re.findall(r'href="([^"]+)"', answer.content.decode()):
        link = urljoin(base, unescape(href).partition("#")[0])
        if urlsplit(link).path.startswith("/admin/") and not link.startswith(_LEADS_OUT):
            yield link


def test_every_page_of_a_foreign_row(crawler: Crawler) -> None:
    for place in places():
        if not place.takes_row or not has_advertiser(place.model):
            continue
        for row in crawler.theirs.rows_of(place.model):
            keys = (row.pk, never(row))
            for method, body in ((crawler.get, {}), (crawler.post, _SENT)):
                answers = [method(place.link(pk), body) for pk in keys]
                crawler.alike(*answers, f"{method.__name__} {place.name}", _asked(keys))


def test_foreign_ids_in_addresses(crawler: Crawler) -> None:
    """Put foreign ids and guesses into the query of every page that takes no row."""
    for place in places():
        if place.takes_row:
            continue
        for theirs, never_was in _named(place, crawler.theirs):
            answers = [crawler.get(place.link(), query) for query in (theirs, never_was)]
            crawler.alike(*answers, f"{place.name} {theirs}", (theirs, never_was))
        for query in _guesses(place):
            crawler.get(place.link(), query)


def _named(place: Place, flock: Flock) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """Yield each way an address can name foreign rows, and the same with ids that never were."""
    models = {str(model._meta.model_name): model for model in admin.site._registry if has_advertiser(model)}
    keys = {
        field.name: field.related_model
        for field in place.model._meta.fields
        if field.is_relation and has_advertiser(field.related_model)
    }
    own = {"id": place.model} if has_advertiser(place.model) else {}
    for names in (models, keys, own, *({f"{name}__id__exact": model} for name, model in keys.items())):
        rows = {name: flock.row(model) for name, model in names.items()}
        if rows:
            yield {name: row.pk for name, row in rows.items()}, {name: never(row) for name, row in rows.items()}


def _guesses(place: Place) -> Iterator[dict[str, str]]:
    # A part of the word finds rows as the word does, and is not the word when the page repeats what was asked.
    yield {"q": PART}
    yield {"q": PART, "_popup": "1", "_to_field": "id"}
    yield {"_facets": "True", "all": "", "o": "1.2"}
    yield {"_to_field": "advertiser"}
    yield {"as": "json", "form": PART, "address": "code"}
    for field in place.model._meta.get_fields():
        if field.is_relation and field.related_model:
            yield {f"{field.name}__advertiser__name__startswith": PART}
    for field in place.model._meta.fields[:3]:
        yield {f"{field.name}__startswith": PART}


def test_foreign_ids_in_forms(crawler: Crawler) -> None:
    """Put foreign ids into every choice of every form that the role may open, inlines too."""
    tried = 0
    for model, page in admin.site._registry.items():
        for link in _form_links(crawler.ours, model):
            answer = crawler.get(link)
            if answer.status_code != 200 or "adminform" not in (answer.context or {}):
                continue
            with acting_for(crawler.ours.advertiser.pk):
                choices = list(_choices(answer))
            for name, field in choices:
                target = field.queryset.model
                if not has_advertiser(target):
                    continue
                row = crawler.theirs.row(target)
                keys = (row.pk, never(row))
                form = form_of(answer.content.decode(), having=_first_field(answer))
                answers = [crawler.post(link, _with(form, name, pk)) for pk in keys]
                crawler.alike(*answers, f"{page}: {name} in {link}", _asked(keys))
                tried += 1
    assert tried or crawler.client.get("/admin/pixels/pixel/add/").status_code == 403


def _form_links(flock: Flock, model: Any) -> Iterator[str]:
    for name, args in (("add", []), ("change", [flock.row(model).pk] if has_advertiser(model) else None)):
        try:
            if args is not None:
                yield reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_{name}", args=args)
        except NoReverseMatch:
            continue


def _choices(answer: Any) -> Iterator[tuple[str, Any]]:
    """Yield the name in the form and the field of each choice among rows."""
    sheets = [answer.context["adminform"].form]
    for inline in answer.context["inline_admin_formsets"]:
        sheets += [*inline.formset.forms, inline.formset.empty_form]
    for sheet in sheets:
        for name, field in sheet.fields.items():
            if isinstance(field, forms.ModelChoiceField) and not isinstance(
                field, forms.models.InlineForeignKeyField
            ):
                yield sheet.add_prefix(name).replace("__prefix__", "0"), field


def _first_field(answer: Any) -> str:
    form = answer.context["adminform"].form
    field = next(iter(form.fields.values()))
    suffix = "_0" if isinstance(field.widget, forms.MultiWidget) else ""
    return next(iter(form.fields)) + suffix


def _with(form: dict[str, Any], name: str, pk: Any) -> dict[str, Any]:
    """Return the form with a choice made, in an inline's new line where it has none."""
    changed = {**form, name: [str(pk)]}
    prefix = name.partition("-0-")[0]
    if f"{prefix}-TOTAL_FORMS" in form:
        changed[f"{prefix}-TOTAL_FORMS"] = [str(max(1, int(form[f"{prefix}-TOTAL_FORMS"][0])))]
    return changed


def test_foreign_ids_in_actions(crawler: Crawler) -> None:
    """Run every action of every list on foreign rows."""
    for model in admin.site._registry:
        if not has_advertiser(model):
            continue
        link = reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_changelist")
        page = crawler.get(link)
        row = crawler.theirs.row(model)
        keys = (row.pk, never(row))
        for action in _actions(page):
            bodies = [{"action": action, "_selected_action": [pk], "index": "0"} for pk in keys]
            answers = [crawler.post(link, body) for body in bodies]
            crawler.alike(*answers, f"{action} in {link}", _asked(keys))


def _actions(page: Any) -> list[str]:
    select = re.search(r'<select[^>]*name="action".*?</select>', page.content.decode(), re.DOTALL)
    return list(re.findall(r'value="([^"]+)"', select[0])) if select else []


def test_foreign_rows_in_autocomplete(crawler: Crawler) -> None:
    for model in admin.site._registry:
        for field in model._meta.local_fields:
            if field.is_relation:
                label, name = model._meta.app_label, model._meta.model_name
                query = {"app_label": label, "model_name": name, "field_name": field.name}
                crawler.get("/admin/autocomplete/", {**query, "term": PART})
                crawler.get("/admin/autocomplete/", query)


def test_nobody_enters_a_foreign_advertiser(crawler: Crawler) -> None:
    for chosen in (crawler.theirs.advertiser.pk, 999_999_999, "", "x", "1e3"):
        assert crawler.post("/admin/advertiser/", {"advertiser": chosen}).status_code == 404
    assert crawler.get("/admin/").context["seat"].advertiser == crawler.ours.advertiser


def test_pages_of_people_show_what_the_crawl_listens_for(ours: Flock, theirs: Flock) -> None:
    """Our own event, attributes and company are on them, so that it is telling when the others' are not."""
    crawler = Crawler(ours, theirs, Role.OWNER, people=True)
    event, attribute, account = ours.row(Event).name, ours.row(Attribute).name, ours.row(Account).key
    person = crawler.get(reverse("admin:audience_profile_overview", args=[ours.row(Profile).pk])).content.decode()
    assert [word in person for word in (event, attribute, account)] == [True] * 3
    company = crawler.get(reverse("admin:audience_account_overview", args=[ours.row(Account).pk])).content.decode()
    assert [word in company for word in (event, ours.row(AccountAttribute).name, account)] == [True] * 3


@pytest.mark.parametrize("hole", ["choosable", "queryset"])
def test_the_crawl_sees_a_hole(hole: str, ours: Flock, theirs: Flock, monkeypatch: pytest.MonkeyPatch) -> None:
    """Take the scope away by hand, from the forms or from the lists: the crawl must fail."""
    if hole == "choosable":
        monkeypatch.setattr(audience.admin.base, "choosable", lambda model, *_: model._base_manager.all())
        crawl = test_foreign_ids_in_forms
    else:
        scoped = audience.admin.base._Scoped
        monkeypatch.setattr(scoped, "get_queryset", lambda self, request: self.model._base_manager.all())
        crawl = test_every_page_of_a_foreign_row
    with pytest.raises(AssertionError, match=r"canary sings|joined two advertisers|404"):
        crawl(Crawler(ours, theirs, Role.OWNER, people=True))
