"""Where the resources of the API are: `/api/v1/…`."""

from django.urls import URLPattern, URLResolver, path, re_path
from rest_framework.routers import SimpleRouter

from audience.api import docs
from audience.api.accounts import AccountViewSet
from audience.api.views import UnknownAddress
from exports.api.destinations import DestinationViewSet
from exports.api.exports import ExportViewSet
from exports.api.runs import RunViewSet
from pixels.api.partners import PartnerViewSet, PiggybackViewSet
from pixels.api.pixels import PixelViewSet
from segments.api.profiles import ProfileViewSet
from segments.api.reports import ReportViewSet
from segments.api.rules import RuleViewSet
from segments.api.segments import SegmentViewSet

router = SimpleRouter(trailing_slash=False, use_regex_path=False)
router.register("segments", SegmentViewSet, basename="api-segments")
router.register("pixels", PixelViewSet, basename="api-pixels")
router.register("partners", PartnerViewSet, basename="api-partners")
router.register("piggybacks", PiggybackViewSet, basename="api-piggybacks")
router.register("profiles", ProfileViewSet, basename="api-profiles")
router.register("accounts", AccountViewSet, basename="api-accounts")
router.register("destinations", DestinationViewSet, basename="api-destinations")
router.register("exports", ExportViewSet, basename="api-exports")
router.register("runs", RunViewSet, basename="api-runs")
router.register("rules", RuleViewSet, basename="api-rules")
router.register("reports", ReportViewSet, basename="api-reports")

urlpatterns: list[URLPattern | URLResolver] = [
    path("docs/", docs.read, name="api-docs"),
    path("schema", docs.SchemaView.as_view(), name="api-schema"),
    *router.urls,
    re_path(r"", UnknownAddress.as_view()),
]
