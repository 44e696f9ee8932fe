"""An ordinary project, but for the four lines below PREFIX."""

import os
from pathlib import Path

from django.core.management.utils import get_random_secret_key

# Where the project is mounted. Django takes the prefix of its URLs from each request, save
# that of STATIC_URL: a relative one is settled once, at start, when no prefix is known yet.
PREFIX = "/django"
STATIC_URL = f"{PREFIX}/static/"
# The neighbours need not see these cookies.
SESSION_COOKIE_PATH = PREFIX
CSRF_COOKIE_PATH = PREFIX

SECRET_KEY = os.environ.get("DEMO_SECRET_KEY") or get_random_secret_key()
ALLOWED_HOSTS = ["localhost", "127.0.0.1"]
ROOT_URLCONF = "examples.demo.django_notes.urls"
INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.messages",
    "django.contrib.sessions",
    "django.contrib.staticfiles",
    "examples.demo.django_notes",
]
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
]
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]
DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": os.environ.get("DEMO_DATABASE") or Path(__file__).with_name("notes.sqlite3"),
    }
}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
TIME_ZONE = "UTC"  # Django sets it for the whole process
