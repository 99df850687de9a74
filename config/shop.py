"""The demo shop's listener, as granian starts it: an origin of its own, beside admin and door."""

import multiprocessing
import os

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")

from django.conf import settings

settings.INSTALLED_APPS = settings.DOOR_APPS
django.setup()

from config.demo.storefront import Storefront  # noqa: E402 (after setup)
from config.leash import end_with_starter  # noqa: E402

starter = multiprocessing.parent_process()
end_with_starter(starter.pid if starter else None)
application = Storefront()
