"""`/destinations`: where exports may send. They are made in the admin, where the connection is tested."""

from django_filters import rest_framework as filters
from drf_spectacular.utils import OpenApiExample, extend_schema, extend_schema_view
from rest_framework import mixins, serializers

from audience.api.access import Needs
from audience.api.pages import KeyPages
from audience.api.serializers import RowSerializer
from audience.api.views import ApiViewSet
from audience.models import Role
from exports.models import Destination

_DESTINATION = {
    "id": 3,
    "name": "CRM inbox",
    "kind": "sftp",
    "receiver": "own",
    "state": "ready",
    "address": "muster@sftp.example.com:22/inbound",
    "tested_at": "2026-11-20T08:00:00Z",
    "created_at": "2026-11-20T08:00:00Z",
}


class DestinationSerializer(RowSerializer):
    """A place where files go. Nothing of its secrets is ever shown."""

    address = serializers.CharField(read_only=True, help_text="Where it is, in one line.")

    class Meta:
        model = Destination
        fields = ("id", "name", "kind", "receiver", "state", "address", "tested_at", "created_at")
        read_only_fields = fields


class DestinationFilters(filters.FilterSet):
    kind = filters.ChoiceFilter(choices=Destination.Kind.choices)
    state = filters.ChoiceFilter(choices=Destination.State.choices)


class DestinationPages(KeyPages):
    orderings = ("id", "-id", "name", "-name")


@extend_schema_view(
    list=extend_schema(summary="List destinations", examples=[OpenApiExample("CRM inbox", _DESTINATION)]),
    retrieve=extend_schema(summary="Read a destination", examples=[OpenApiExample("CRM inbox", _DESTINATION)]),
)
class DestinationViewSet(mixins.ListModelMixin, mixins.RetrieveModelMixin, ApiViewSet):
    """Destinations of one advertiser."""

    model = Destination
    serializer_class = DestinationSerializer
    filterset_class = DestinationFilters
    pagination_class = DestinationPages
    needs = {"list": Needs(Role.MANAGER), "retrieve": Needs(Role.MANAGER)}
