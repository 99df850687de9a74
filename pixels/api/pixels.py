"""`/pixels`: read, make, edit and delete pixels with their actions, and get their tags."""

from collections import Counter
from typing import Any

from django.conf import settings
from django.db.models import Prefetch, QuerySet
from django_filters import rest_framework as filters
from drf_spectacular.utils import OpenApiExample, extend_schema, extend_schema_view
from rest_framework import mixins, serializers
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from audience.api.access import Needs
from audience.api.errors import Refused
from audience.api.pages import KeyPages
from audience.api.serializers import RowSerializer
from audience.api.views import ApiViewSet
from audience.models import Role
from pixels.editing import delete_pixel, save_pixel
from pixels.models import Pixel, PixelAction
from pixels.tags import Address, Format, make_tag, of_pixel
from segments.models import Segment

MOST_ACTIONS = 100
_ACTIONS = [{"do": "add", "segment": 12, "value": 65, "lifetime_minutes": None}]
_PIXEL = {
    "id": 21,
    "name": "Cart page",
    "public_key": "7kQ2mB9xV4tL0aZs",
    "state": "active",
    "value_source": "fixed",
    "may_tags_set_lifetime": False,
    "event_name": "",
    "is_direct": False,
    "actions": _ACTIONS,
    "created_at": "2026-11-20T08:00:00Z",
}
_TAG = {
    "format": "image",
    "address": "pixel",
    "html": '<img src="https://px.example.com/p/7kQ2mB9xV4tL0aZs.gif" width="1" height="1" alt="">',
    "url": "https://px.example.com/p/7kQ2mB9xV4tL0aZs.gif",
    "hints": ["Place it before </body>."],
}


class PixelActionSerializer(RowSerializer):
    """One thing that a fire does."""

    class Meta:
        model = PixelAction
        fields = ("do", "segment", "value", "lifetime_minutes")

    def validate_segment(self, segment: Segment) -> Segment:
        if segment.kind != Segment.Kind.PIXEL:
            raise serializers.ValidationError("Members of a rule segment follow from its rule, not from a pixel.")
        return segment


class PixelSerializer(RowSerializer):
    """A placed tag, and what a fire of it does."""

    actions = PixelActionSerializer(
        many=True, required=False, help_text="What a fire does. Sent, they replace those that are there."
    )

    class Meta:
        model = Pixel
        fields = (
            "id",
            "name",
            "public_key",
            "state",
            "value_source",
            "may_tags_set_lifetime",
            "event_name",
            "is_direct",
            "actions",
            "created_at",
        )
        read_only_fields = ("public_key", "is_direct", "created_at")

    def validate_actions(self, actions: list[dict[str, Any]]) -> list[dict[str, Any]]:
        if len(actions) > MOST_ACTIONS:
            raise serializers.ValidationError(f"A pixel does at most {MOST_ACTIONS} things.")
        segments = Counter(item["segment"].pk for item in actions)
        twice = [str(number) for number, count in segments.items() if count > 1]
        if twice:
            raise serializers.ValidationError(f"Name each segment once; {', '.join(twice)} stands here twice.")
        return actions

    def create(self, validated_data: dict[str, Any]) -> Pixel:
        return self.update(Pixel(), validated_data)

    def update(self, instance: Pixel, validated_data: dict[str, Any]) -> Pixel:
        items = validated_data.pop("actions", None)
        for name, value in validated_data.items():
            setattr(instance, name, value)
        save_pixel(instance, None if items is None else [PixelAction(**item) for item in items])
        return Pixel.objects.prefetch_related(_living_actions()).get(pk=instance.pk)


class TagSerializer(serializers.Serializer[Any]):
    """What stands on a page."""

    format = serializers.ChoiceField(choices=Format.choices)
    address = serializers.ChoiceField(choices=Address.choices)
    html = serializers.CharField(help_text="What to place on the page.")
    url = serializers.CharField(help_text="The bare address, for tools that ask for one.")
    hints = serializers.ListField(child=serializers.CharField())


class TagsSerializer(serializers.Serializer[Any]):
    """A pixel's tags in every form."""

    tags = TagSerializer(many=True)


class PixelFilters(filters.FilterSet):
    state = filters.ChoiceFilter(choices=Pixel.State.choices)
    public_key = filters.CharFilter(max_length=16, help_text="The one with this key.")


class PixelPages(KeyPages):
    orderings = ("id", "-id", "name", "-name", "created_at", "-created_at")


@extend_schema_view(
    list=extend_schema(summary="List pixels", examples=[OpenApiExample("Cart page", _PIXEL)]),
    retrieve=extend_schema(summary="Read a pixel", examples=[OpenApiExample("Cart page", _PIXEL)]),
    create=extend_schema(
        summary="Make a pixel",
        examples=[
            OpenApiExample("Cart page", {"name": "Cart page", "actions": _ACTIONS}, request_only=True),
            OpenApiExample("Made", _PIXEL, response_only=True, status_codes=["201"]),
        ],
    ),
    partial_update=extend_schema(
        summary="Edit a pixel",
        description="What is not sent stays. Placed tags follow within a second.",
        examples=[
            OpenApiExample("Pause it", {"state": "paused"}, request_only=True),
            OpenApiExample("Paused", _PIXEL | {"state": "paused"}, response_only=True),
        ],
    ),
    destroy=extend_schema(
        summary="Delete a pixel",
        description="Its tags do nothing from now on; their fires are counted as refused for 90 days.",
    ),
)
class PixelViewSet(
    mixins.ListModelMixin,
    mixins.RetrieveModelMixin,
    mixins.CreateModelMixin,
    mixins.UpdateModelMixin,
    mixins.DestroyModelMixin,
    ApiViewSet,
):
    """Pixels of one advertiser."""

    model = Pixel
    serializer_class = PixelSerializer
    filterset_class = PixelFilters
    pagination_class = PixelPages
    needs = {
        "list": Needs(Role.MANAGER),
        "retrieve": Needs(Role.MANAGER),
        "create": Needs(Role.MANAGER),
        "partial_update": Needs(Role.MANAGER),
        "destroy": Needs(Role.MANAGER),
        "tags": Needs(Role.MANAGER),
    }

    def get_queryset(self) -> QuerySet[Any]:
        return super().get_queryset().prefetch_related(_living_actions())

    def get_object(self) -> Any:
        pixel = super().get_object()
        if pixel.is_direct and self.action in ("partial_update", "destroy"):
            raise Refused("built_in", "Direct calls belong to Muster: this pixel is neither edited nor deleted.")
        return pixel

    def perform_destroy(self, instance: Pixel) -> None:
        delete_pixel(instance)

    @extend_schema(
        summary="Get the tags of a pixel",
        description="In each format and for each kind of address.",
        responses=TagsSerializer,
        examples=[OpenApiExample("Image", {"tags": [_TAG]}, response_only=True)],
    )
    @action(detail=True, methods=["get"])
    def tags(self, request: Request, **_: Any) -> Response:
        subject = of_pixel(self.get_object())
        host = settings.MUSTER_PIXEL_URL
        tags = [
            {"format": form, "address": address, "html": tag.html, "url": tag.url, "hints": list(tag.hints)}
            for form in Format
            for address in Address
            if (tag := make_tag(subject, host, form, address))
        ]
        return Response(TagsSerializer({"tags": tags}).data)


def _living_actions() -> "Prefetch[Any]":
    """What a pixel does, without the actions whose segment is deleted."""
    living = PixelAction.objects.filter(segment__deleted_at=None).order_by("do", "pk")
    return Prefetch("actions", queryset=living)
