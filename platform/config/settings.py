"""All settings, read once from the environment with django-environ; .env.example lists every variable.

Unset URLs and credentials leave the product whole: embedded engines (decision 1). Unknown boolean text stops the start.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import os
import secrets
import tempfile
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import environ
from celery.schedules import crontab
from csp.constants import NONCE, NONE, SELF
from django.contrib.messages import constants as message_levels
from django.core.exceptions import ImproperlyConfigured

from config.engines import urls as engine_urls
from config.logs import logging_settings

BASE_DIR = Path(__file__).resolve().parents[2]
env = environ.FileAwareEnv()  # X_FILE beside X: secrets may come from files
if (BASE_DIR / ".env").is_file() and env.bool("READ_DOT_ENV", default=True):
    env.read_env(BASE_DIR / ".env")

DATA_DIR = engine_urls.find_data_dir(env, BASE_DIR)


def _kept_secret(name: str) -> str:
    """A random value made at the first start and kept beside the data; several machines must share one by setting it."""
    path = DATA_DIR / name
    if not path.exists():
        DATA_DIR.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile("w", dir=DATA_DIR) as draft:  # mode 0600
            draft.write(secrets.token_urlsafe(50))
            draft.flush()
            # The link appears whole or not at all, and only once: processes that start together agree.
            with contextlib.suppress(FileExistsError):
                os.link(draft.name, path)
    return path.read_text()


# --- Django --------------------------------------------------------------------------------------------------------

DEBUG = env.bool("DEBUG", default=False)
SECRET_KEY = env.str("SECRET_KEY", default="") or _kept_secret("secret_key")
# Newest first; MultiFernet reads with any of them (tenants/crypto.py).
ENCRYPTION_KEYS: list[str] = env.list("ENCRYPTION_KEYS", default=[]) or [
    base64.urlsafe_b64encode(hashlib.sha256(f"encryption:{SECRET_KEY}".encode()).digest()).decode()
]

PUBLIC_BASE_URL = env.str("PUBLIC_BASE_URL", default="http://127.0.0.1:8000").rstrip("/")
MEDIA_BASE_URL = env.str("MEDIA_BASE_URL", default="").rstrip("/") or PUBLIC_BASE_URL
DASHBOARD_BASE_URL = env.str("DASHBOARD_BASE_URL", default="").rstrip("/") or PUBLIC_BASE_URL
_public = urlsplit(PUBLIC_BASE_URL)
_is_https = _public.scheme == "https"

ALLOWED_HOSTS: list[str] = env.list("ALLOWED_HOSTS", default=[]) or sorted(
    {
        urlsplit(PUBLIC_BASE_URL).hostname or "localhost",
        urlsplit(MEDIA_BASE_URL).hostname or "localhost",
        urlsplit(DASHBOARD_BASE_URL).hostname or "localhost",
        "localhost",
        "127.0.0.1",
    }
)
CSRF_TRUSTED_ORIGINS: list[str] = sorted(
    {f"{url.scheme}://{url.netloc}" for url in (_public, urlsplit(DASHBOARD_BASE_URL))}
)

INSTALLED_APPS = [
    "daphne",  # before staticfiles: its runserver speaks ASGI
    "config",
    "tenants",
    "agents",
    "calls",
    "dashboard",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "django.contrib.postgres",
    "django.contrib.humanize",
    "django.forms",  # TemplatesSetting finds Django's own widgets only with it
    "allauth",
    "allauth.account",
    "allauth.mfa",
    "allauth.usersessions",
    "channels",
    "csp",
    "django_htmx",
    "django_structlog",
    "phonenumber_field",
    "pgtrigger",
]

MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "config.static.StaticMiddleware",
    "csp.middleware.CSPMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
    "django_structlog.middlewares.RequestMiddleware",
    "allauth.account.middleware.AccountMiddleware",
    "dashboard.accounts.activity.ActivityMiddleware",
    "tenants.middleware.TenantMiddleware",
]

ROOT_URLCONF = "config.urls"
ASGI_APPLICATION = "config.asgi.application"
APPEND_SLASH = False  # a redirect would break the carrier's signed POSTs (twilio.md §3.4)
AUTH_USER_MODEL = "tenants.User"
LOGIN_URL = "account_login"
LOGIN_REDIRECT_URL = "home"
LOGOUT_REDIRECT_URL = "account_login"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

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
                "csp.context_processors.nonce",
            ],
        },
    }
]
FORM_RENDERER = "django.forms.renderers.TemplatesSetting"
MESSAGE_TAGS = {message_levels.ERROR: "danger"}  # Bootstrap's word for an error

# --- Stores --------------------------------------------------------------------------------------------------------

ENGINES = engine_urls.read_plan(env, BASE_DIR)
_database: dict[str, Any] = {**engine_urls.database_settings(env, BASE_DIR), "CONN_MAX_AGE": 0}
_database.setdefault("OPTIONS", {})
if env.bool("DB_POOL", default=True):
    # Threads of the ASGI server come and go; a pool keeps their connections (architecture, Libraries).
    # The wait for a connection stays below the carrier's read time-out (rt=4000 of WEBHOOK_OVERRIDES), so that it always gets an answer.
    _database["OPTIONS"]["pool"] = {"min_size": 1, "max_size": env.int("DB_POOL_MAX", default=16), "timeout": 2.5}
    # The pool looks at a connection before it lends it: after a restart of the database the first query would fail once for
    # every connection that was open.
    _database["CONN_HEALTH_CHECKS"] = True
_database["OPTIONS"].setdefault("connect_timeout", 3)
DATABASES = {"default": _database}

REDIS_URL = engine_urls.redis_url(env, BASE_DIR)
# Counts log-in attempts for all processes together (django-allauth's rate limits).
CACHES = {
    "default": {
        "BACKEND": "django.core.cache.backends.redis.RedisCache",
        "LOCATION": REDIS_URL,
        "KEY_PREFIX": env.str("CACHE_PREFIX", default="switchboard"),
    }
}
CHANNEL_LAYERS = {
    "default": {
        "BACKEND": "channels_redis.pubsub.RedisPubSubChannelLayer",
        "CONFIG": {"hosts": [REDIS_URL], "prefix": env.str("CHANNEL_PREFIX", default="switchboard")},
    }
}

MEDIA_ROOT = env.str("STORAGE_DIR", default=str(DATA_DIR / "storage"))  # private: nothing serves it by path
_bucket = env.str("STORAGE_S3_BUCKET", default="")
STORAGES: dict[str, Any] = {
    "default": {
        "BACKEND": "storages.backends.s3.S3Storage",
        "OPTIONS": {
            "bucket_name": _bucket,
            "endpoint_url": env.str("STORAGE_S3_ENDPOINT", default="") or None,
            "default_acl": "private",
            "querystring_auth": True,
        },
    }
    if _bucket
    else {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "config.static.ManifestStorage"},
}

# --- Celery: a nudge, rows are the truth (decision 8) ----------------------------------------------------------------

CELERY_BROKER_URL = engine_urls.celery_broker_url(REDIS_URL)
CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_ACKS_LATE = True
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_TASK_TIME_LIMIT = 120
CELERY_TASK_SOFT_TIME_LIMIT = 100
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
CELERY_BROKER_TRANSPORT_OPTIONS = {"global_keyprefix": env.str("CELERY_PREFIX", default="")}
CELERY_BEAT_SCHEDULE = {
    "sweep-after-steps": {"task": "calls.tasks.sweep_after_steps", "schedule": 5.0, "options": {"expires": 5}},
    "sweep-exports": {"task": "calls.tasks.sweep_exports", "schedule": 15.0, "options": {"expires": 15}},
    "sweep-deliveries": {"task": "calls.tasks.sweep_deliveries", "schedule": 5.0, "options": {"expires": 5}},
    # A caller whose process died waits for this (product 7.1). What no worker took in time is void: the next one looks again.
    "recover-calls": {"task": "calls.tasks.recover_calls", "schedule": 1.0, "options": {"expires": 2}},
    "send-letters": {"task": "tenants.tasks.send_letters", "schedule": 10.0, "options": {"expires": 10}},
    "sweep-carrier-work": {"task": "tenants.tasks.sweep_carrier_work", "schedule": 5.0, "options": {"expires": 5}},
    "roll-up-costs": {"task": "calls.tasks.roll_up_costs", "schedule": 5.0, "options": {"expires": 5}},
    "follow-time-zones": {"task": "calls.tasks.follow_time_zones", "schedule": 60.0, "options": {"expires": 60}},
    # Every night; a run that a restart missed is made up for by the next one, or by the button.
    "check-every-number": {
        "task": "calls.tasks.check_every_number",
        "schedule": crontab(hour=3, minute=17),
        "options": {"expires": 3_600},
    },
    "reap-calls": {"task": "calls.tasks.reap_calls", "schedule": 30.0, "options": {"expires": 30}},
}
CELERY_BEAT_SCHEDULE_FILENAME = str(DATA_DIR / "celerybeat-schedule")

# --- Vendors ---------------------------------------------------------------------------------------------------------

# The operator's own account: tenants get subaccounts of it. Empty: every tenant brings its own account.
TWILIO_ACCOUNT_SID = env.str("TWILIO_ACCOUNT_SID", default="")
TWILIO_AUTH_TOKEN = env.str("TWILIO_AUTH_TOKEN", default="")
# What a trial may spend at the carrier in all, in the account's currency, and which countries it may ring beside those of its numbers.
TRIAL_SPEND_CAP = Decimal(env.str("TRIAL_SPEND_CAP", default="10"))
TRIAL_COUNTRIES: list[str] = env.list("TRIAL_COUNTRIES", default=["US", "CA"])
TWILIO_API_BASE_URL = env.str("TWILIO_API_BASE_URL", default="").rstrip("/")  # empty: https://<host>.twilio.com
TWILIO_HOSTS: dict[str, str] = env.dict("TWILIO_HOSTS", default={})
TWILIO_TIMEOUT_S = env.float("TWILIO_TIMEOUT_S", default=10.0)  # the SDK has none of its own (twilio.md §0.3)
WEBHOOK_OVERRIDES = env.str("WEBHOOK_OVERRIDES", default="ct=2000&rt=4000&rc=2&rp=all")  # twilio.md §3.3

OPENAI_API_KEY = env.str("OPENAI_API_KEY", default="")
OPENAI_BASE_URL = env.str("OPENAI_BASE_URL", default="https://api.openai.com/v1").rstrip("/")
OPENAI_PROJECT = env.str("OPENAI_PROJECT", default="")
OPENAI_ORGANIZATION = env.str("OPENAI_ORGANIZATION", default="")
OPENAI_WEBHOOK_SECRET = env.str("OPENAI_WEBHOOK_SECRET", default="")
OPENAI_WEBHOOK_SECRETS = OPENAI_WEBHOOK_SECRET.replace(",", " ").split()  # two while one is rotated
OPENAI_SIP_URI = env.str("OPENAI_SIP_URI", default="")  # empty: made from OPENAI_PROJECT (gateways.voice_calls)
OPENAI_TIMEOUT_S = env.float(
    "OPENAI_TIMEOUT_S", default=6.0
)  # of accept: 5 s before a 404 were seen (openai-realtime.md §1.4)

# --- Calls -----------------------------------------------------------------------------------------------------------

MODEL_STANDBY = env.int("MODEL_STANDBY", default=0)
MODEL_CONNECT_TIMEOUT_S = env.float("MODEL_CONNECT_TIMEOUT_S", default=5.0)
PLAYBACK_LEAD_MS = env.int("PLAYBACK_LEAD_MS", default=400)
MODEL_WATCHDOG_MS = env.int("MODEL_WATCHDOG_MS", default=8_000)
MEDIA_DRAIN_SECONDS = env.int("MEDIA_DRAIN_SECONDS", default=60)
CALL_TIME_LIMIT_S = env.int("CALL_TIME_LIMIT_S", default=14_400)  # the carrier's own cap: 4 h (twilio.md §4.8)
DEBUG_CALLS = env.bool("SWITCHBOARD_DEBUG_CALLS", default=False)
DEBUG_CALLS_MAX_BYTES = env.int("SWITCHBOARD_DEBUG_CALLS_MAX_BYTES", default=20_000_000)
TOOL_EGRESS_ALLOW: list[str] = env.list("TOOL_EGRESS_ALLOW", default=[])
TICKET_SECONDS = env.int("TICKET_SECONDS", default=120)
SIP_DIAL_TIMEOUT_S = env.int("SIP_DIAL_TIMEOUT_S", default=12)  # twilio.md §7.4: 10–15 s; then the next rung
DIAL_TIMEOUT_S = env.int("DIAL_TIMEOUT_S", default=20)  # twilio.md §14: 10–20 s
VOICEMAIL_MAX_S = env.int("VOICEMAIL_MAX_S", default=120)
if not 200 <= PLAYBACK_LEAD_MS <= 2_000:
    raise ImproperlyConfigured("PLAYBACK_LEAD_MS must lie between 200 and 2000 (product 5.1.2)")

# --- Web ---------------------------------------------------------------------------------------------------------------

LANGUAGE_CODE = "en"
USE_I18N = True
USE_TZ = True
TIME_ZONE = "UTC"
LOCALE_PATHS = [BASE_DIR / "locale"]

STATIC_URL = "/static/"
STATIC_ROOT = BASE_DIR / "staticfiles"
_node = BASE_DIR / "node_modules"
STATICFILES_DIRS = [BASE_DIR / "static"]
PACKAGE_FILES = {  # address below STATIC_URL → file; Tabler's script is not used: menus and dialogs are the browser's own
    "tabler/css/tabler.min.css": _node / "@tabler/core/dist/css/tabler.min.css",
    "chart/chart.umd.min.js": _node / "chart.js/dist/chart.umd.min.js",
    "wavesurfer/wavesurfer.min.js": _node / "wavesurfer.js/dist/wavesurfer.min.js",
}
STATICFILES_FINDERS = [
    "django.contrib.staticfiles.finders.FileSystemFinder",
    "django.contrib.staticfiles.finders.AppDirectoriesFinder",
    "config.static.PackageFinder",
]
TABLER_ICONS_DIR = _node / "@tabler/icons/icons"
WHITENOISE_USE_FINDERS = DEBUG or env.bool("SERVE_UNCOLLECTED_STATIC", default=False)

SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = _is_https
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = CSRF_COOKIE_SAMESITE = "Lax"
SECURE_SSL_REDIRECT = env.bool("SECURE_SSL_REDIRECT", default=_is_https)
SECURE_REDIRECT_EXEMPT = [
    r"^healthz$",
    r"^readyz$",
    r"^hooks/",
]  # a redirect breaks signed POSTs; the signature is the guard there
SECURE_HSTS_SECONDS = env.int("SECURE_HSTS_SECONDS", default=31_536_000 if _is_https else 0)
SECURE_HSTS_INCLUDE_SUBDOMAINS = SECURE_HSTS_PRELOAD = _is_https
SECURE_REFERRER_POLICY = "same-origin"
_is_behind_proxy = env.bool("BEHIND_TLS_PROXY", default=_is_https)
if _is_behind_proxy:
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
X_FRAME_OPTIONS = "DENY"
DATA_UPLOAD_MAX_MEMORY_SIZE = 1_048_576

CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": [NONE],
        "script-src": [SELF, NONCE],
        "style-src": [SELF, NONCE],
        "img-src": [SELF, "data:"],
        "font-src": [SELF],
        "media-src": [SELF, "blob:"],
        "connect-src": [SELF],
        "form-action": [SELF],
        "frame-ancestors": [NONE],
        "base-uri": [NONE],
        "manifest-src": [SELF],
    }
}

AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in (
        "UserAttributeSimilarityValidator",
        "MinimumLengthValidator",
        "CommonPasswordValidator",
        "NumericPasswordValidator",
    )
]

# --- Accounts: django-allauth (docs/security.md) -----------------------------------------------------------------------

SIGN_UP = env.str("SIGN_UP", default="approval")
if SIGN_UP not in ("off", "approval", "open"):
    raise ImproperlyConfigured("SIGN_UP must be off, approval or open (.env.example says what they mean)")
TRIAL_DAYS = env.int("TRIAL_DAYS", default=14)
INVITATION_DAYS = env.int("INVITATION_DAYS", default=7)

AUTHENTICATION_BACKENDS = ["allauth.account.auth_backends.AuthenticationBackend"]
ACCOUNT_ADAPTER = "dashboard.accounts.adapter.AccountAdapter"
ACCOUNT_USER_MODEL_USERNAME_FIELD = None
ACCOUNT_LOGIN_METHODS = {"email"}
ACCOUNT_SIGNUP_FIELDS = ["email*", "password1*"]
ACCOUNT_EMAIL_VERIFICATION = "mandatory"
ACCOUNT_EMAIL_CONFIRMATION_EXPIRE_DAYS = 1
ACCOUNT_LOGIN_ON_EMAIL_CONFIRMATION = True  # only in the browser that signed up; elsewhere the password is asked
ACCOUNT_CHANGE_EMAIL = True  # one address a person; the old one stays until the new one is confirmed
ACCOUNT_EMAIL_NOTIFICATIONS = True
ACCOUNT_REAUTHENTICATION_REQUIRED = True
ACCOUNT_REAUTHENTICATION_TIMEOUT = 300
ACCOUNT_SESSION_REMEMBER = True
ACCOUNT_LOGOUT_ON_PASSWORD_CHANGE = True  # of all other sessions
ACCOUNT_PREVENT_ENUMERATION = True
ACCOUNT_DEFAULT_HTTP_PROTOCOL = "https" if _is_https else "http"
ACCOUNT_FORMS = {
    "login": "dashboard.accounts.forms.LoginForm",
    "signup": "dashboard.accounts.forms.SignUpForm",
}
ACCOUNT_RATE_LIMITS = {  # by address of the client and by account; what is not named keeps allauth's own limit
    "login": "30/m/ip",
    "login_failed": "10/m/ip,5/300s/key",
    "signup": "10/m/ip,60/d/ip",
    "reset_password": "10/m/ip,5/h/key",
    "reset_password_from_key": "10/m/ip",
    "confirm_email": "1/60s/key",
}
# X-Forwarded-For is believed only behind our own proxy, and only its last entry.
ALLAUTH_TRUSTED_PROXY_COUNT = int(_is_behind_proxy)
MFA_ADAPTER = "dashboard.accounts.adapter.SecondFactorAdapter"
MFA_SUPPORTED_TYPES = ["totp", "recovery_codes"]
MFA_TOTP_ISSUER = "Switchboard"
USERSESSIONS_TRACK_ACTIVITY = True
SESSION_COOKIE_AGE = 60 * 60 * 24 * env.int("SESSION_DAYS", default=14)

# --- Mail ----------------------------------------------------------------------------------------------------------------

EMAIL_URL = env.str("EMAIL_URL", default="")  # empty: nothing is sent, and the screens say so
if EMAIL_URL:
    vars().update(env.email_url("EMAIL_URL"))
EMAIL_TIMEOUT = env.int("EMAIL_TIMEOUT_S", default=10)
DEFAULT_FROM_EMAIL = env.str("EMAIL_FROM", default="") or f"Switchboard <no-reply@{_public.hostname or 'localhost'}>"
SERVER_EMAIL = DEFAULT_FROM_EMAIL

# --- Logs: one JSON object a line, tenant and call ids bound where they are known ---------------------------------------

LOG_LEVEL = env.str("LOG_LEVEL", default="INFO")
LOG_FORMAT = env.str("LOG_FORMAT", default="json")
LOGGING = logging_settings(level=LOG_LEVEL, form=LOG_FORMAT)
