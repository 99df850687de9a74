"""Every setting, from the environment, with the value of a first start on one machine."""

from pathlib import Path

import environ

from config import environment, logs, postgres, theme
from config.keys import installation_key

env = environ.Env()
BASE_DIR = Path(__file__).resolve().parent.parent

# --- Where Muster lives ---------------------------------------------------------------------------

# The folder of this installation: embedded PostgreSQL, keys, logs, exported files.
DATA_DIR = Path(env.str("MUSTER_DATA_DIR", default=str(BASE_DIR / ".muster"))).absolute()
# The public address of admin and API.
MUSTER_ADMIN_URL = environment.base_url(env.str("MUSTER_ADMIN_URL", default="http://127.0.0.1:8000"))
# The public address of the door, the host that web pages fire at.
MUSTER_PIXEL_URL = environment.base_url(env.str("MUSTER_PIXEL_URL", default="http://127.0.0.1:8001"))
# Address and port that `manage.py up` binds admin and API to.
MUSTER_ADMIN_BIND = env.str("MUSTER_ADMIN_BIND", default="127.0.0.1:8000")
# Address and port that `manage.py up` binds the door to.
MUSTER_PIXEL_BIND = env.str("MUSTER_PIXEL_BIND", default="127.0.0.1:8001")
# Threads of admin and API: requests at once, a slow download of a file among them.
MUSTER_WEB_THREADS = env.int("MUSTER_WEB_THREADS", default=max(8, 2 * environment.cores() + 1))
# Behind HTTPS, with all that belongs to it; on by itself where the admin's address is https.
MUSTER_PRODUCTION = env.bool("MUSTER_PRODUCTION", default=MUSTER_ADMIN_URL.startswith("https://"))
# Address and port that `manage.py up` binds the demo shop to, once there is one; empty: none.
MUSTER_SHOP_BIND = env.str("MUSTER_SHOP_BIND", default="" if MUSTER_PRODUCTION else "127.0.0.1:8002")
# Networks of the reverse proxies whose X-Forwarded-… headers are believed, such as 127.0.0.1/32,10.0.0.0/8.
MUSTER_TRUSTED_PROXIES = environment.networks(env.list("MUSTER_TRUSTED_PROXIES", default=[]))

# --- Secrets: from the environment, or made on the first start and kept in DATA_DIR/keys ----------

# Signs logins and links; at least 50 characters.
SECRET_KEY = env.str("SECRET_KEY", default="") or installation_key(DATA_DIR, "secret_key")
# Earlier values of SECRET_KEY that still count, for a change without signing everybody out.
SECRET_KEY_FALLBACKS = env.list("SECRET_KEY_FALLBACKS", default=[])
# Sign the browser's id, as (name, secret): the first signs, all are believed ("k1:SECRET,k0:OLD SECRET").
MUSTER_COOKIE_KEYS = environment.named(
    env.list("MUSTER_COOKIE_KEYS", default=["k1:" + installation_key(DATA_DIR, "cookie")]), ":"
)
# Signs the times of fires that are sent again (by the demo, from an access log): one key for all machines.
MUSTER_REPLAY_KEY = env.str("MUSTER_REPLAY_KEY", default="") or installation_key(DATA_DIR, "replay")
# Encrypt what destinations need to log in (Fernet keys): the first encrypts, all decrypt.
DELIVERY_KEYS = env.list("DELIVERY_KEYS", default=[]) or [environment.fernet_key(DATA_DIR, "delivery")]

# --- Who may talk to us ---------------------------------------------------------------------------

# Shows the inside of an error to whoever caused it: for development alone.
DEBUG = env.bool("DEBUG", default=False)
# Names that admin and API answer to; the addresses' own hosts unless named.
ALLOWED_HOSTS = env.list("ALLOWED_HOSTS", default=environment.own_hosts(MUSTER_ADMIN_URL, MUSTER_PIXEL_URL))
# Origins whose forms are accepted; the admin's own unless named.
CSRF_TRUSTED_ORIGINS = env.list("CSRF_TRUSTED_ORIGINS", default=[MUSTER_ADMIN_URL])
environment.refuse_half_production(MUSTER_PRODUCTION, [MUSTER_ADMIN_URL, MUSTER_PIXEL_URL], ALLOWED_HOSTS)

# What the door needs: those with the models that it reads. The others would cost each of its processes 35 MiB.
DOOR_APPS = [
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.postgres",
    "audience",
    "segments",
    "pixels",
]
INSTALLED_APPS = [
    "unfold.apps.BasicAppConfig",
    "unfold.contrib.filters",
    "unfold.contrib.forms",
    "config.apps.AdminConfig",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.humanize",
    "django.contrib.staticfiles",
    "django.contrib.postgres",
    "django.forms",
    "csp",
    "rest_framework",
    "django_filters",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "audience",
    "segments",
    "pixels",
    "exports",
    "config",
]

MIDDLEWARE = [
    "config.proxies.TrustedProxyMiddleware",
    "config.requests.RequestLogMiddleware",
    "config.headers.ResponseHeadersMiddleware",
    "config.headers.ContentSecurityPolicyMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    # From here on a middleware may answer by itself; the headers above stand on those answers too.
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "audience.teams.AdvertiserMiddleware",
]

ROOT_URLCONF = "config.urls"
WSGI_APPLICATION = "config.wsgi.application"

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    },
]

# --- PostgreSQL -----------------------------------------------------------------------------------

# PostgreSQL 15 or newer. Unset: the embedded server, whose address follows from DATA_DIR.
DATABASE_URL = env.str("DATABASE_URL", default="")
DATABASES = {"default": env.db_url_config(DATABASE_URL or postgres.url(DATA_DIR))}
DATABASES["default"] |= {"CONN_MAX_AGE": 60, "CONN_HEALTH_CHECKS": True}
# A folder with PostgreSQL's `initdb` and `postgres` for the embedded server, instead of the wheel's.
MUSTER_POSTGRES_BIN = env.str("MUSTER_POSTGRES_BIN", default="")
# Settings of the embedded server over ours, such as shared_buffers=4GB,max_wal_size=16GB.
MUSTER_POSTGRES_OPTIONS = dict(environment.named(env.list("MUSTER_POSTGRES_OPTIONS", default=[]), "="))
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

# --- Background work ------------------------------------------------------------------------------

# Where tasks wait: pgmq://muster is tables in our own database; redis://… in larger installations.
CELERY_BROKER_URL = env.str("CELERY_BROKER_URL", default="pgmq://muster")
CELERY_BROKER_TRANSPORT_OPTIONS = environment.broker_options(CELERY_BROKER_URL, DATABASES["default"])
# Short tasks that the worker does at once; exports have a worker of their own.
MUSTER_WORKER_CONCURRENCY = env.int("MUSTER_WORKER_CONCURRENCY", default=2)
CELERY_TASK_ROUTES = {
    # Long runs have slots of their own: they must not hold up the sweeper, nor the tick that starts them.
    "exports.tasks.tick": {"queue": "celery"},
    "exports.tasks.*": {"queue": "exports"},
}
CELERY_TASK_SERIALIZER = CELERY_RESULT_SERIALIZER = "json"
CELERY_ACCEPT_CONTENT = ["json"]
CELERY_TASK_IGNORE_RESULT = True  # results are rows
CELERY_TASK_ACKS_LATE = True  # a killed worker's task comes again
CELERY_TASK_REJECT_ON_WORKER_LOST = True
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_WORKER_ENABLE_REMOTE_CONTROL = False  # nothing but tasks passes through the broker
CELERY_WORKER_SEND_TASK_EVENTS = False
CELERY_WORKER_CANCEL_LONG_RUNNING_TASKS_ON_CONNECTION_LOSS = True
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_BROKER_CONNECTION_MAX_RETRIES = None  # the broker may be away for as long as it likes
# A click must not hang on a broker that is away: the row is written, and beat's tick sends it again.
CELERY_TASK_PUBLISH_RETRY_POLICY = {"max_retries": 1, "interval_start": 0.1, "interval_max": 0.1}
CELERY_TIMEZONE = "UTC"

# --- Exports --------------------------------------------------------------------------------------

# Folders that files may be written to, as NAME=PATH.
EXPORT_FOLDERS = {
    name: Path(path)
    for name, path in environment.named(env.list("EXPORT_FOLDERS", default=[f"exports={DATA_DIR / 'exports'}"]), "=")
}
# Where runs write and keep their files; on a disk that all workers share, where there are several machines.
EXPORT_RUN_DIR = Path(env.str("EXPORT_RUN_DIR", default=str(DATA_DIR / "runs"))).absolute()
# How long a run waits for a worker that has gone silent, before another one takes it over.
EXPORT_LEASE_SECONDS = env.float("EXPORT_LEASE_SECONDS", default=60.0)
# Private networks that destinations may lie in; none unless named.
DELIVERY_ALLOWED_NETWORKS = environment.networks(env.list("DELIVERY_ALLOWED_NETWORKS", default=[]))
# Ports that SFTP destinations may use.
DELIVERY_ALLOWED_PORTS = [int(port) for port in env.list("DELIVERY_ALLOWED_PORTS", default=["22", "2222"])]

# --- The door -------------------------------------------------------------------------------------

# Set the browser id's cookie as partitioned (CHIPS): one id for each site that the pixel stands on.
MUSTER_COOKIE_PARTITIONED = env.bool("MUSTER_COOKIE_PARTITIONED", default=True)
# Set the cookie without Secure, so that it works over plain http on one machine.
MUSTER_DEV_HTTP_COOKIE = env.bool("MUSTER_DEV_HTTP_COOKIE", default=not MUSTER_PIXEL_URL.startswith("https://"))
# The longest query string of a fire, in bytes; a longer one is refused as too_long.
MUSTER_MAX_QUERY_BYTES = env.int("MUSTER_MAX_QUERY_BYTES", default=8192)
# The longest request line, in bytes; a longer one is answered 414.
MUSTER_MAX_REQUEST_LINE_BYTES = env.int("MUSTER_MAX_REQUEST_LINE_BYTES", default=16384)
# Segments that one fire may name.
MUSTER_MAX_ACTIONS = env.int("MUSTER_MAX_ACTIONS", default=100)
# Fires a minute of one browser, for each of the door's processes; 0 is no limit.
MUSTER_FIRES_PER_BROWSER = env.int("MUSTER_FIRES_PER_BROWSER", default=120)
# Fires a minute of one network address, for each of the door's processes; 0 is no limit.
MUSTER_FIRES_PER_ADDRESS = env.int("MUSTER_FIRES_PER_ADDRESS", default=6000)
# Calls of the HTTP API a minute with public keys from one network address, for each of the door's processes; 0 is no
# limit.
MUSTER_CALLS_PER_ADDRESS = env.int("MUSTER_CALLS_PER_ADDRESS", default=1000)
# Calls of the HTTP API a minute with one server key, for each of the door's processes; 0 is no limit.
MUSTER_CALLS_PER_SERVER_KEY = env.int("MUSTER_CALLS_PER_SERVER_KEY", default=10000)
# How many identifiers a profile has at most. Above it none is added, and the log says "shared_identifier".
MUSTER_IDENTIFIERS_PER_PROFILE = env.int("MUSTER_IDENTIFIERS_PER_PROFILE", default=100)
# How many names the attributes of an advertiser's profiles have at most; those of its accounts as many.
MUSTER_ATTRIBUTES_PER_ADVERTISER = env.int("MUSTER_ATTRIBUTES_PER_ADVERTISER", default=1000)
# Where each of the door's processes keeps facts while the database is away; a disk of this machine.
MUSTER_SPOOL_DIR = Path(env.str("MUSTER_SPOOL_DIR", default=str(DATA_DIR / "spool"))).absolute()
# The most that the spool of one process may hold, in bytes; beyond it fires are refused.
MUSTER_SPOOL_MAX_BYTES = env.int("MUSTER_SPOOL_MAX_BYTES", default=1 << 30)
# How long the door takes fires after it was told to end, so that a load balancer can send them elsewhere, in seconds.
MUSTER_DRAIN_SECONDS = env.int("MUSTER_DRAIN_SECONDS", default=10)
# Processes of the door that `manage.py up` starts: one for two cores, the other is PostgreSQL's; but at least two,
# each of which has something to do while the other one waits.
MUSTER_DOOR_WORKERS = env.int("MUSTER_DOOR_WORKERS", default=max(2, environment.cores() // 2))

# --- The context of facts -------------------------------------------------------------------------

# Files in MaxMind's format that tell the place of an address, such as a city and a network one; unset: no places.
MUSTER_PLACE_DATABASE = [Path(path).absolute() for path in env.list("MUSTER_PLACE_DATABASE", default=[])]
# A weather service in the form of Open-Meteo, such as https://api.open-meteo.com/v1/forecast; unset: no weather.
MUSTER_WEATHER_URL = environment.service_url(env.str("MUSTER_WEATHER_URL", default=""), "MUSTER_WEATHER_URL")

# --- Rules of segments ----------------------------------------------------------------------------

# Groups and conditions that one rule may have.
MUSTER_RULE_CONDITIONS = env.int("MUSTER_RULE_CONDITIONS", default=1000)
# How deep groups of a rule may stand in one another.
MUSTER_RULE_DEPTH = env.int("MUSTER_RULE_DEPTH", default=10)
# The longest rule as JSON, in bytes.
MUSTER_RULE_BYTES = env.int("MUSTER_RULE_BYTES", default=1 << 20)
# Filters on one event.
MUSTER_RULE_FILTERS = env.int("MUSTER_RULE_FILTERS", default=50)
# The largest number of events that a condition may ask for.
MUSTER_RULE_COUNT = env.int("MUSTER_RULE_COUNT", default=10_000)
# Steps of one sequence.
MUSTER_RULE_STEPS = env.int("MUSTER_RULE_STEPS", default=10)
# The longest window, in days.
MUSTER_RULE_WINDOW_DAYS = env.int("MUSTER_RULE_WINDOW_DAYS", default=3660)
# Values in one list.
MUSTER_RULE_LIST_VALUES = env.int("MUSTER_RULE_LIST_VALUES", default=10_000)
# The longest text in a test, in characters.
MUSTER_RULE_TEXT = env.int("MUSTER_RULE_TEXT", default=2000)
# The longest regular expression, in characters.
MUSTER_RULE_PATTERN = env.int("MUSTER_RULE_PATTERN", default=200)
# Segments that one condition may name.
MUSTER_RULE_SEGMENTS = env.int("MUSTER_RULE_SEGMENTS", default=1000)
# Of an account with more people facts reach the rules in the background, not at once.
MUSTER_ACCOUNT_PEOPLE = env.int("MUSTER_ACCOUNT_PEOPLE", default=10_000)
# How many people a preview asks a rule about; where there are no more, its numbers are exact.
MUSTER_PREVIEW_PEOPLE = env.int("MUSTER_PREVIEW_PEOPLE", default=20_000)
# How long a preview may take, in seconds; what was asked until then is shown, with a wider range.
MUSTER_PREVIEW_SECONDS = env.float("MUSTER_PREVIEW_SECONDS", default=10.0)
# How long an exact count may take, in seconds; a larger audience is counted by the preview alone.
MUSTER_EXACT_COUNT_SECONDS = env.float("MUSTER_EXACT_COUNT_SECONDS", default=25.0)

# --- Logins and cookies ---------------------------------------------------------------------------

PASSWORD_HASHERS = [
    "django.contrib.auth.hashers.Argon2PasswordHasher",
    "django.contrib.auth.hashers.ScryptPasswordHasher",
]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {
        "NAME": "django.contrib.auth.password_validation.MinimumLengthValidator",
        "OPTIONS": {"min_length": 12},
    },
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
]
PASSWORD_RESET_TIMEOUT = 3600
LOGIN_URL = "admin:login"
LOGIN_REDIRECT_URL = "admin:index"
SESSION_COOKIE_AGE = 12 * 3600
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = CSRF_COOKIE_SAMESITE = "Lax"
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = MUSTER_PRODUCTION
# A `__Host-` cookie cannot be planted by another host of the domain; browsers take it over https only.
SESSION_COOKIE_NAME = "__Host-muster_session" if MUSTER_PRODUCTION else "muster_session"
CSRF_COOKIE_NAME = "__Host-muster_csrf" if MUSTER_PRODUCTION else "muster_csrf"
MESSAGE_STORAGE = "django.contrib.messages.storage.session.SessionStorage"

# --- Transport and headers ------------------------------------------------------------------------

SECURE_SSL_REDIRECT = MUSTER_PRODUCTION
SECURE_REDIRECT_EXEMPT = [r"^health/"]  # asked by the load balancer, inside
SECURE_HSTS_SECONDS = 365 * 24 * 3600 if MUSTER_PRODUCTION else 0
SECURE_HSTS_INCLUDE_SUBDOMAINS = SECURE_HSTS_PRELOAD = MUSTER_PRODUCTION
SECURE_CONTENT_TYPE_NOSNIFF = True
SECURE_REFERRER_POLICY = "same-origin"
SECURE_CROSS_ORIGIN_OPENER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"
# Believed from trusted proxies alone: `config.proxies` removes these headers from anybody else's requests.
USE_X_FORWARDED_HOST = bool(MUSTER_TRUSTED_PROXIES)
if MUSTER_TRUSTED_PROXIES:
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
DATA_UPLOAD_MAX_MEMORY_SIZE = 2_621_440
DATA_UPLOAD_MAX_NUMBER_FIELDS = 2_000
DATA_UPLOAD_MAX_NUMBER_FILES = 10
FILE_UPLOAD_PERMISSIONS = 0o600
FILE_UPLOAD_DIRECTORY_PERMISSIONS = 0o700

CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": ["'self'"],
        "img-src": ["'self'", "data:"],
        "object-src": ["'none'"],
        "base-uri": ["'none'"],
        "form-action": ["'self'"],
        "frame-ancestors": ["'none'"],
    }
}
# Under /admin/ alone: the theme's Alpine evaluates its attributes, and it sets styles inline.
ADMIN_CONTENT_SECURITY_POLICY = {
    "script-src": ["'self'", "'unsafe-eval'"],
    "style-src": ["'self'", "'unsafe-inline'"],
}

# --- API ------------------------------------------------------------------------------------------

# Calls that one token may make in a minute.
API_CALLS_A_MINUTE = env.int("API_CALLS_A_MINUTE", default=1000)
REST_FRAMEWORK = {
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_PARSER_CLASSES": ["audience.api.bodies.BoundedJson"],
    "DEFAULT_FILTER_BACKENDS": ["django_filters.rest_framework.DjangoFilterBackend"],
    "DEFAULT_AUTHENTICATION_CLASSES": [],
    "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAuthenticated"],
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
    "EXCEPTION_HANDLER": "audience.api.errors.answer",
    "UNAUTHENTICATED_USER": None,
    "NUM_PROXIES": 0,  # REMOTE_ADDR is the client's already, see `config.proxies`
}
SPECTACULAR_SETTINGS = {
    "TITLE": "Muster",
    "DESCRIPTION": "Segments, members, pixels, profiles, accounts and exports of one advertiser.",
    "VERSION": "1",
    "OAS_VERSION": "3.1.1",
    "SCHEMA_PATH_PREFIX": "/api/v1",
    "SERVE_INCLUDE_SCHEMA": False,
    "SERVE_PERMISSIONS": ["rest_framework.permissions.AllowAny"],
    "COMPONENT_SPLIT_REQUEST": True,
    # Fields of one name with other choices need names of their own.
    "ENUM_NAME_OVERRIDES": {
        "PixelActionDoEnum": "pixels.models.PixelAction.Do",
        "ChangeDoEnum": ["add", "remove"],
        "ToldReasonEnum": "audience.upserts.Refused",
        "MemberReasonEnum": "segments.members.Refused",
        "SegmentKindEnum": "segments.models.Segment.Kind",
        "CauseKindEnum": "segments.models.Cause",
        "VersionStateEnum": "segments.models.RuleVersion.State",
        "BuildStateEnum": ["building", "stopped", "failed"],
    },
    "POSTPROCESSING_HOOKS": [
        "drf_spectacular.hooks.postprocess_schema_enums",
        "audience.api.openapi.add_errors",
    ],
}

# --- The admin's look -----------------------------------------------------------------------------

UNFOLD = theme.UNFOLD
# Widgets find their templates where pages do.
FORM_RENDERER = "django.forms.renderers.TemplatesSetting"

# --- Mail, metrics, logs --------------------------------------------------------------------------------

# The mail server, such as smtp+tls://user:password@mail.example.com:587; unset: mail is printed.
vars().update(env.email_url("EMAIL_URL", default="consolemail://"))
# The sender of what Muster mails.
DEFAULT_FROM_EMAIL = SERVER_EMAIL = env.str("DEFAULT_FROM_EMAIL", default="muster@localhost")
# The bearer token with which Prometheus reads /metrics of the admin's host; without one there is no such page.
MUSTER_METRICS_TOKEN = environment.token(env.str("MUSTER_METRICS_TOKEN", default=""), "MUSTER_METRICS_TOKEN")
# How much is logged: DEBUG, INFO, WARNING or ERROR.
LOG_LEVEL = env.str("LOG_LEVEL", default="INFO")
LOGGING = logs.configuration(LOG_LEVEL)

# --- Language, time, static files -----------------------------------------------------------------

LANGUAGE_CODE = "en"
TIME_ZONE = "UTC"
USE_TZ = True
USE_I18N = True
FORMAT_MODULE_PATH = ["config.formats"]

STATIC_URL = "/static/"
STATIC_ROOT = DATA_DIR / "staticfiles"
# Names carry a digest of the content, so that browsers may keep the files for ever.
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {
        "BACKEND": "whitenoise.storage.CompressedManifestStaticFilesStorage",
        # Public, unlike what is uploaded; a proxy of another user may serve them.
        "OPTIONS": {"file_permissions_mode": 0o644, "directory_permissions_mode": 0o755},
    },
}
