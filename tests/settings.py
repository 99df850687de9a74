"""The product's settings in a folder of this test run's own, untouched by the environment around it."""

import atexit
import os
import re
import shutil
import tempfile
from pathlib import Path

KEPT = {"DATABASE_URL", "MUSTER_POSTGRES_BIN", "MUSTER_RETAIL_FILE"}
FOREIGN = re.compile(r"(MUSTER_|CELERY_|EMAIL_|SECRET_KEY|DEBUG$|ALLOWED_HOSTS$|CSRF_|EXPORT_|DELIVERY_)")


def own_folder() -> Path:
    """Make this run's data folder, and remove those of runs that were killed."""
    for folder in Path(tempfile.gettempdir()).glob("muster-tests-*"):
        pid = folder.name.split("-")[2]
        if not Path(f"/proc/{pid}").exists():
            shutil.rmtree(folder, ignore_errors=True)
    folder = Path(tempfile.mkdtemp(prefix=f"muster-tests-{os.getpid()}-"))
    folder.chmod(0o711)  # PostgreSQL's unprivileged user walks through it
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


for name in set(os.environ) - KEPT:
    if FOREIGN.match(name):
        del os.environ[name]
os.environ["MUSTER_DATA_DIR"] = str(own_folder())
# What a test's own process sends is not for anybody: tests of tasks start a worker with a broker of its own.
os.environ["CELERY_BROKER_URL"] = "memory://"

# A test that shows the drain says how long it lasts; the others need not wait for it.
os.environ["MUSTER_DRAIN_SECONDS"] = "0"

from config.settings import *  # noqa: E402, F403

PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]  # Argon2 is slow on purpose
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"},
}
WHITENOISE_USE_FINDERS = WHITENOISE_AUTOREFRESH = True  # nothing is collected for a test
