"""The app that wires the others."""

from django.apps import AppConfig
from django.contrib.admin import apps as admin_apps

from config import celery as celery  # every process that sends a task needs the application


class WiringConfig(AppConfig):
    default = True
    name = "config"
    verbose_name = "Wiring"


class AdminConfig(admin_apps.AdminConfig):
    """Django's admin on our own site."""

    default = False
    default_site = "config.site.MusterSite"
