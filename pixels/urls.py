"""Where the door's paths are in an installation with one listener."""

from django.urls import path, re_path

from pixels import views

urlpatterns = [
    path("seg", views.fire, name="seg"),
    re_path(r"^p/(?P<key>[^/]+)\.(?P<form>gif|js)$", views.fire, name="pixel"),
    re_path(r"^v1/(?P<call>.+)$", views.call, name="message"),
]
