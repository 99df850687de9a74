"""Production's settings (safety.md S1), and what holds without any (S2)."""

import json
import os
import secrets
import subprocess
import sys
from pathlib import Path

import pytest
from django.contrib.auth.password_validation import get_password_validators, validate_password
from django.core.exceptions import ImproperlyConfigured, ValidationError
from django.test import Client

from config import environment
from tests.running import ROOT

PRODUCTION = {
    "MUSTER_ADMIN_URL": "https://muster.example.com",
    "MUSTER_PIXEL_URL": "https://pixel.example.com",
    "MUSTER_TRUSTED_PROXIES": "10.0.0.0/8",
    "SECRET_KEY": secrets.token_urlsafe(48),
}
SHOW = """
import json, sys
from django.conf import settings
print(json.dumps({name: getattr(settings, name) for name in sys.argv[1:]}, default=str))
"""


def clean_environment(folder: Path, **more: str) -> dict[str, str]:
    kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    return {**kept, "DJANGO_SETTINGS_MODULE": "config.settings", "MUSTER_DATA_DIR": str(folder), **more}


def shown(folder: Path, *names: str, **more: str) -> dict:
    """Return settings as a fresh process has them."""
    command = [sys.executable, "-c", SHOW, *names]
    environment = clean_environment(folder, **more)
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def complaint(folder: Path, **more: str) -> str:
    """Return the last line of a process that refuses its settings."""
    done = subprocess.run(
        [sys.executable, "-c", SHOW, "DEBUG"],
        cwd=ROOT,
        env=clean_environment(folder, **more),
        capture_output=True,
        text=True,
    )
    assert done.returncode != 0
    return done.stderr.strip().splitlines()[-1]


@pytest.mark.spec("S1")
def test_djangos_own_deployment_check_has_nothing_to_say(tmp_path):
    done = subprocess.run(
        [sys.executable, "manage.py", "check", "--deploy", "--fail-level", "WARNING"],
        cwd=ROOT,
        env=clean_environment(tmp_path, **PRODUCTION),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert "(0 silenced)" in done.stdout


EXPECTED = {
    "DEBUG": False,
    "MUSTER_SHOP_BIND": "",
    "ALLOWED_HOSTS": ["localhost", "127.0.0.1", "[::1]", "muster.example.com", "pixel.example.com"],
    "CSRF_TRUSTED_ORIGINS": ["https://muster.example.com"],
    "SECURE_SSL_REDIRECT": True,
    "SECURE_HSTS_SECONDS": 31_536_000,
    "SECURE_HSTS_INCLUDE_SUBDOMAINS": True,
    "SESSION_COOKIE_SECURE": True,
    "SESSION_COOKIE_HTTPONLY": True,
    "SESSION_COOKIE_SAMESITE": "Lax",
    "SESSION_COOKIE_NAME": "__Host-muster_session",
    "SESSION_COOKIE_DOMAIN": None,
    "SESSION_COOKIE_PATH": "/",
    "SESSION_SERIALIZER": "django.contrib.sessions.serializers.JSONSerializer",
    "CSRF_COOKIE_SECURE": True,
    "CSRF_COOKIE_NAME": "__Host-muster_csrf",
    "CSRF_COOKIE_DOMAIN": None,
    "SECURE_CONTENT_TYPE_NOSNIFF": True,
    "SECURE_REFERRER_POLICY": "same-origin",
    "SECURE_CROSS_ORIGIN_OPENER_POLICY": "same-origin",
    "X_FRAME_OPTIONS": "DENY",
    "SECURE_PROXY_SSL_HEADER": ["HTTP_X_FORWARDED_PROTO", "https"],
    "USE_X_FORWARDED_HOST": True,
    "FILE_UPLOAD_PERMISSIONS": 0o600,
    "DATA_UPLOAD_MAX_MEMORY_SIZE": 2_621_440,
    "DATA_UPLOAD_MAX_NUMBER_FIELDS": 2_000,
    "DATA_UPLOAD_MAX_NUMBER_FILES": 10,
    "CELERY_ACCEPT_CONTENT": ["json"],
    "CELERY_TASK_SERIALIZER": "json",
    "CELERY_RESULT_SERIALIZER": "json",
    "CELERY_TASK_ACKS_LATE": True,
    "CELERY_WORKER_ENABLE_REMOTE_CONTROL": False,
    "SILENCED_SYSTEM_CHECKS": [],
    "PASSWORD_RESET_TIMEOUT": 3600,
    "MUSTER_DEV_HTTP_COOKIE": False,
}


@pytest.fixture(scope="module")
def production(tmp_path_factory) -> dict:
    return shown(tmp_path_factory.mktemp("production"), *EXPECTED, "REST_FRAMEWORK", "PASSWORD_HASHERS", **PRODUCTION)


@pytest.mark.spec("S1")
@pytest.mark.parametrize("name", EXPECTED)
def test_production_has(production, name):
    assert production[name] == EXPECTED[name]


@pytest.mark.spec("S1")
def test_the_api_has_no_page_of_its_own(production):
    assert production["REST_FRAMEWORK"]["DEFAULT_RENDERER_CLASSES"] == ["rest_framework.renderers.JSONRenderer"]


@pytest.mark.spec("S1")
def test_forwarded_headers_count_for_nothing_without_trusted_proxies(tmp_path):
    without = {name: value for name, value in PRODUCTION.items() if name != "MUSTER_TRUSTED_PROXIES"}
    found = shown(tmp_path, "SECURE_PROXY_SSL_HEADER", "USE_X_FORWARDED_HOST", **without)
    assert found == {"SECURE_PROXY_SSL_HEADER": None, "USE_X_FORWARDED_HOST": False}


@pytest.mark.spec("S1")
def test_keys_can_be_rotated(tmp_path):
    found = shown(
        tmp_path,
        *("SECRET_KEY_FALLBACKS", "MUSTER_COOKIE_KEYS", "DELIVERY_KEYS"),
        SECRET_KEY_FALLBACKS="old,older",
        MUSTER_COOKIE_KEYS="k1:new:with colon,k0:old",
        DELIVERY_KEYS="one,two",
    )
    assert found["SECRET_KEY_FALLBACKS"] == ["old", "older"]
    assert found["MUSTER_COOKIE_KEYS"] == [["k1", "new:with colon"], ["k0", "old"]]
    assert found["DELIVERY_KEYS"] == ["one", "two"]


@pytest.mark.spec("S1")
def test_production_wants_https(tmp_path):
    said = complaint(tmp_path, MUSTER_PRODUCTION="1")
    assert "MUSTER_PRODUCTION needs https addresses" in said
    assert "needs https" in complaint(tmp_path, **{**PRODUCTION, "MUSTER_PIXEL_URL": "http://pixel.example.com"})


@pytest.mark.spec("S2")
def test_without_settings_it_makes_its_own_keys(tmp_path):
    names = ("SECRET_KEY", "MUSTER_COOKIE_KEYS", "DELIVERY_KEYS", "ALLOWED_HOSTS", "DEBUG")
    first, second = shown(tmp_path, *names), shown(tmp_path, *names)
    assert first == second
    assert len(first["SECRET_KEY"]) >= 50
    assert first["ALLOWED_HOSTS"] == ["localhost", "127.0.0.1", "[::1]"]
    assert first["DEBUG"] is False
    secrets_made = {first["SECRET_KEY"], first["MUSTER_COOKIE_KEYS"][0][1], first["DELIVERY_KEYS"][0]}
    assert len(secrets_made) == 3
    assert (tmp_path / "keys").stat().st_mode & 0o077 == 0
    for key in (tmp_path / "keys").iterdir():
        assert key.stat().st_mode & 0o777 == 0o600
    assert shown(tmp_path / "other", "SECRET_KEY") != {"SECRET_KEY": first["SECRET_KEY"]}


@pytest.mark.spec("S2")
def test_processes_that_start_at_once_agree_on_the_keys(tmp_path):
    command = [sys.executable, "-c", SHOW, "SECRET_KEY", "DELIVERY_KEYS"]
    started = [
        subprocess.Popen(command, cwd=ROOT, env=clean_environment(tmp_path), stdout=subprocess.PIPE) for _ in range(4)
    ]
    assert len({process.communicate()[0] for process in started}) == 1


@pytest.mark.spec("S2")
@pytest.mark.parametrize(("host", "status"), [("localhost", 200), ("127.0.0.1:8000", 200), ("evil.example.com", 400)])
def test_it_answers_to_this_machines_names_only(settings, host, status):
    settings.ALLOWED_HOSTS = environment.own_hosts("http://127.0.0.1:8000", "http://127.0.0.1:8001")
    assert Client(headers={"host": host}).get("/health/live").status_code == status


@pytest.mark.spec("S2")
@pytest.mark.parametrize(
    "named",
    [
        {"ALLOWED_HOSTS": "muster.example.com"},
        {"ALLOWED_HOSTS": "*"},
        {"MUSTER_ADMIN_URL": "http://192.168.1.5:8000"},
        {"MUSTER_PIXEL_URL": "http://pixel.example.com"},
    ],
)
def test_another_name_needs_the_production_settings(tmp_path, named):
    assert "needs the production settings" in complaint(tmp_path, **named)


@pytest.mark.spec("S2")
def test_local_cookies_work_over_plain_http(tmp_path):
    found = shown(tmp_path, "SESSION_COOKIE_SECURE", "SESSION_COOKIE_NAME", "SECURE_SSL_REDIRECT")
    expected = {"SESSION_COOKIE_SECURE": False, "SESSION_COOKIE_NAME": "muster_session", "SECURE_SSL_REDIRECT": False}
    assert found == expected


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("MUSTER_ADMIN_URL", "muster.example.com"),
        ("MUSTER_ADMIN_URL", "https://muster.example.com/path"),
        ("MUSTER_ADMIN_URL", "ftp://muster.example.com"),
        ("MUSTER_TRUSTED_PROXIES", "10.0.0.0/33"),
        ("EXPORT_FOLDERS", "/srv/files"),
        ("MUSTER_COOKIE_KEYS", "secret"),
        ("MUSTER_WEATHER_URL", "http://api.example.com/v1?apikey=secret"),
        ("MUSTER_WEATHER_URL", "api.example.com"),
    ],
)
def test_a_wrong_value_is_refused_in_words(tmp_path, variable, value):
    said = complaint(tmp_path, **{variable: value})
    assert "ImproperlyConfigured" in said
    assert "secret" not in said


def test_a_server_and_a_broker_can_be_named(tmp_path):
    found = shown(
        tmp_path,
        *("DATABASES", "CELERY_BROKER_URL", "CELERY_BROKER_TRANSPORT_OPTIONS"),
        DATABASE_URL="postgres://me:p%40ss@db.example.com:5433/muster?sslmode=require",
        CELERY_BROKER_URL="redis://broker.example.com/1",
    )
    database = found["DATABASES"]["default"]
    assert database["ENGINE"] == "django.db.backends.postgresql"
    assert (database["HOST"], database["PORT"], database["USER"]) == ("db.example.com", 5433, "me")
    assert database["PASSWORD"] == "p@ss"
    assert database["OPTIONS"] == {"sslmode": "require"}
    assert found["CELERY_BROKER_URL"] == "redis://broker.example.com/1"
    assert "conn_string" not in found["CELERY_BROKER_TRANSPORT_OPTIONS"]


@pytest.mark.spec("S7")
def test_passwords_are_long_and_hashed_with_argon2(production, tmp_path):
    assert production["PASSWORD_HASHERS"][0].endswith("Argon2PasswordHasher")
    validators = get_password_validators(shown(tmp_path, "AUTH_PASSWORD_VALIDATORS")["AUTH_PASSWORD_VALIDATORS"])
    validate_password("correct horse battery", password_validators=validators)
    for weak in ("elevenchars", "password1234", "qwertyuiop123"[:11]):
        with pytest.raises(ValidationError):
            validate_password(weak, password_validators=validators)


def test_a_list_item_without_its_name_is_refused():
    with pytest.raises(ImproperlyConfigured):
        environment.named(["a=1", "b"], "=")
