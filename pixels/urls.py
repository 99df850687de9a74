"""Where the door's paths are in an installation with one listener."""

from django.urls import path, re_path

from pixels import views

urlpatterns = [
    path("muster.js", views.fire, name="sdk"),
    path("muster-1.js", views.fire, name="sdk-1"),
    path("seg", views.fire, name="seg"),
    path("setuid", views.fire, name="setuid"),
    path("mapuid", views.fire, name="mapuid"),
    re_path(r"^getuid(?:nb|u|j|p)?$", views.fire, name="getuid"),
    path("px", views.fire, name="px"),
    re_path(r"^p/(?P<key>[^/]+)\.(?P<form>gif|js)$", views.fire, name="pixel"),
    re_path(r"^(?P<call>optout|optout\.gif|optin)$", views.call, name="opt-out"),
    re_path(r"^v1/(?P<call>.+)$", views.call, name="message"),
]
