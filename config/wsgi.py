"""Admin and API, as granian (or any other WSGI server) starts them."""

import multiprocessing
import os

from django.core.wsgi import get_wsgi_application

from config.leash import end_with_starter

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
starter = multiprocessing.parent_process()
end_with_starter(starter.pid if starter else None)
application = get_wsgi_application()
