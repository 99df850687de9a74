"""The app that brings facts in."""

from importlib import import_module

from django.apps import AppConfig


class PixelsConfig(AppConfig):
    name = "pixels"
    verbose_name = "Pixels"

    def ready(self) -> None:
        # Models can be imported only now.
        import_module("pixels.edits").listen()
