"""The app that brings facts in."""

from django.apps import AppConfig


class PixelsConfig(AppConfig):
    name = "pixels"
    verbose_name = "Pixels"
