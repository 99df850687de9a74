"""The checks that stop the start: a page or a model beside the structure that keeps advertisers apart."""

from collections.abc import Iterator
from typing import Any

import pytest
from django.apps.registry import Apps
from django.contrib import admin
from django.db import models
from django.forms import ModelForm
from unfold.admin import ModelAdmin, TabularInline

from audience.admin.base import TenantAdmin, TenantRelatedFilter, TenantTabularInline
from audience.checks import check_models, check_pages, check_tenancy
from audience.models import Advertiser
from audience.tenancy import TenantModel
from pixels.models import FireHour, Pixel, PixelAction
from segments.models import Segment

pytestmark = [pytest.mark.spec("T16")]


def numbers(messages: Iterator[Any]) -> list[str]:
    return [message.id for message in messages]


def of_page(page: type, model: type[models.Model] = PixelAction) -> list[str]:
    return numbers(check_pages([page(model, admin.site)]))


def test_the_product_has_nothing_to_complain_of() -> None:
    assert check_tenancy() == []


def test_a_page_beside_the_base() -> None:
    assert of_page(ModelAdmin) == ["audience.E003"]


def test_an_inline_beside_the_base() -> None:
    class Actions(TabularInline):
        model = PixelAction

    class Page(TenantAdmin):
        inlines = (Actions,)

    assert of_page(Page, Pixel) == ["audience.E003"]


@pytest.mark.parametrize(
    "item", ["segment", "segment__name", ("segment", admin.RelatedFieldListFilter), "pixel__state", "advertiser"]
)
def test_a_plain_foreign_key_in_a_filter(item: Any) -> None:
    page = type("Page", (TenantAdmin,), {"list_filter": (item,)})
    assert of_page(page) == ["audience.E005"]


@pytest.mark.parametrize("item", ["do", ("segment", TenantRelatedFilter), ("do", admin.ChoicesFieldListFilter)])
def test_filters_that_are_safe(item: Any) -> None:
    assert of_page(type("Page", (TenantAdmin,), {"list_filter": (item,)})) == []


def test_rows_changed_in_a_list() -> None:
    assert of_page(type("Page", (TenantAdmin,), {"list_editable": ("value",)})) == ["audience.E004"]


def test_a_form_without_its_advertiser() -> None:
    class Inline(TenantTabularInline):
        model = PixelAction
        form = ModelForm

    assert of_page(type("Page", (TenantAdmin,), {"form": ModelForm})) == ["audience.E006"]
    assert of_page(type("Page", (TenantAdmin,), {"inlines": (Inline,)}), Pixel) == ["audience.E006"]


@pytest.fixture
def make_model() -> Any:
    """Make a model in a registry of its own."""

    def make(called: str, *bases: type, **fields: Any) -> Any:
        meta = fields.pop("Meta", type("Meta", (), {}))
        meta.app_label, meta.apps = "pixels", Apps()
        return type(called, bases or (models.Model,), {"__module__": __name__, "Meta": meta, **fields})

    return make


def key(to: Any) -> Any:
    return models.ForeignKey(to, on_delete=models.CASCADE, related_name="+")


def test_a_model_with_an_advertiser_and_a_plain_manager(make_model: Any) -> None:
    assert numbers(check_models([make_model("Loose", advertiser=key(Advertiser))])) == ["audience.E001"]
    assert numbers(check_models([FireHour])) == []  # counts what leads to no advertiser as well


def test_a_foreign_key_without_its_composite_key(make_model: Any) -> None:
    loose = make_model("Pointing", TenantModel, segment=key(Segment))
    assert numbers(check_models([loose])) == ["audience.E002"]


def test_a_unique_value_that_others_can_probe(make_model: Any) -> None:
    loose = make_model("Named", TenantModel, name=models.CharField(max_length=10, unique=True))
    assert of_page(TenantAdmin, loose) == ["audience.E007"]
    hidden = make_model("Hidden", TenantModel, name=models.CharField(max_length=10, unique=True, editable=False))
    assert of_page(TenantAdmin, hidden) == []
