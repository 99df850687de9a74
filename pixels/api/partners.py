"""`/partners` and `/piggybacks`: whom an advertiser shares ids of browsers with, and whose pixels follow its fires.

Which browser was made known to whom is kept as hashes for 14 days and can be read by nobody; how many partners a fire
may tell is a segment's `id_syncs_per_fire`.
"""

from typing import Any

from django.db.models import QuerySet
from django_filters import rest_framework as filters
from drf_spectacular.utils import OpenApiExample, extend_schema, extend_schema_field, extend_schema_view
from rest_framework import mixins, serializers

from audience.api.access import Needs
from audience.api.filters import RowId
from audience.api.pages import KeyPages
from audience.api.serializers import OwnRow, RowSerializer
from audience.api.views import ApiViewSet
from audience.models import Role
from pixels.editing import save_piggyback
from pixels.models import Partner, Piggyback
from segments.models import Segment

_PARTNER = {
    "id": 4,
    "name": "acme",
    "hosts": ["sync.partner.example"],
    "sync_url": "https://sync.partner.example/match?uid=${MUSTER_ID}",
    "created_at": "2026-11-20T08:00:00Z",
}
_PIGGYBACK = {
    "id": 6,
    "segment": 12,
    "kind": "image",
    "url": "https://ad.partner.example/p?gdpr=${GDPR}",
    "silent": None,
}
_NEEDS = dict.fromkeys(("list", "retrieve", "create", "partial_update", "destroy"), Needs(Role.MANAGER))


class PartnerSerializer(RowSerializer):
    """Somebody with whom ids of browsers are shared."""

    class Meta:
        model = Partner
        fields = tuple(_PARTNER)
        read_only_fields = ("created_at",)


class PiggybackSerializer(RowSerializer):
    """A partner's pixel that follows each fire of a browser that adds to a segment."""

    segment = OwnRow(queryset=Segment.objects)
    silent = serializers.SerializerMethodField(
        help_text="Why it does not fire, such as a host that was taken off the list; null where it does."
    )

    class Meta:
        model = Piggyback
        fields = tuple(_PIGGYBACK)

    @extend_schema_field(serializers.CharField(allow_null=True))
    def get_silent(self, piggyback: Piggyback) -> str | None:
        return piggyback.why_silent() or None

    def create(self, validated_data: dict[str, Any]) -> Piggyback:
        return self.update(Piggyback(), validated_data)

    def update(self, instance: Piggyback, validated_data: dict[str, Any]) -> Piggyback:
        for name, value in validated_data.items():
            setattr(instance, name, value)
        save_piggyback(instance)
        return instance


class PiggybackFilters(filters.FilterSet):
    segment = RowId(field_name="segment_id", help_text="Those of this segment.")


class PartnerPages(KeyPages):
    orderings = ("id", "-id", "name", "-name")


@extend_schema_view(
    list=extend_schema(summary="List partners", examples=[OpenApiExample("acme", _PARTNER)]),
    retrieve=extend_schema(summary="Read a partner", examples=[OpenApiExample("acme", _PARTNER)]),
    create=extend_schema(
        summary="Make a partner",
        description=(
            "From `hosts` it may ask who a browser is; at `sync_url`, which is on one of them and holds "
            "`${MUSTER_ID}`, it is told. The door knows it within a second."
        ),
        examples=[
            OpenApiExample(
                "acme", {name: _PARTNER[name] for name in ("name", "hosts", "sync_url")}, request_only=True
            ),
            OpenApiExample("Made", _PARTNER, response_only=True, status_codes=["201"]),
        ],
    ),
    partial_update=extend_schema(
        summary="Edit a partner",
        description="What is not sent stays.",
        examples=[
            OpenApiExample("It only asks", {"sync_url": ""}, request_only=True),
            OpenApiExample("Edited", _PARTNER | {"sync_url": ""}, response_only=True),
        ],
    ),
    destroy=extend_schema(
        summary="Delete a partner",
        description="It is told nothing from now on; ids that it has given stay until they are unseen for 180 days.",
    ),
)
class PartnerViewSet(
    mixins.ListModelMixin,
    mixins.RetrieveModelMixin,
    mixins.CreateModelMixin,
    mixins.UpdateModelMixin,
    mixins.DestroyModelMixin,
    ApiViewSet,
):
    """Partners of one advertiser."""

    model = Partner
    serializer_class = PartnerSerializer
    pagination_class = PartnerPages
    needs = _NEEDS


@extend_schema_view(
    list=extend_schema(summary="List piggyback pixels", examples=[OpenApiExample("Image", _PIGGYBACK)]),
    retrieve=extend_schema(summary="Read a piggyback pixel", examples=[OpenApiExample("Image", _PIGGYBACK)]),
    create=extend_schema(
        summary="Make a piggyback pixel",
        description="Up to 10 of a segment, on your redirect hosts.",
        examples=[
            OpenApiExample(
                "Image", {name: _PIGGYBACK[name] for name in ("segment", "kind", "url")}, request_only=True
            ),
            OpenApiExample("Made", _PIGGYBACK, response_only=True, status_codes=["201"]),
        ],
    ),
    partial_update=extend_schema(
        summary="Edit a piggyback pixel",
        description="What is not sent stays.",
        examples=[
            OpenApiExample("A script", {"kind": "script"}, request_only=True),
            OpenApiExample("Edited", _PIGGYBACK | {"kind": "script"}, response_only=True),
        ],
    ),
    destroy=extend_schema(summary="Delete a piggyback pixel", description="It fires no more, within a second."),
)
class PiggybackViewSet(
    mixins.ListModelMixin,
    mixins.RetrieveModelMixin,
    mixins.CreateModelMixin,
    mixins.UpdateModelMixin,
    mixins.DestroyModelMixin,
    ApiViewSet,
):
    """Piggyback pixels of one advertiser's segments, deleted segments left out."""

    model = Piggyback
    serializer_class = PiggybackSerializer
    filterset_class = PiggybackFilters
    needs = _NEEDS

    def get_queryset(self) -> QuerySet[Any]:
        return super().get_queryset().filter(segment__deleted_at=None).select_related("segment", "advertiser")
