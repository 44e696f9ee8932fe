"""Django's ASGI application, with its static files. (In production: WhiteNoise, or a CDN.)"""

import os

from django.contrib.staticfiles.handlers import ASGIStaticFilesHandler
from django.core.asgi import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "examples.demo.django_notes.settings")

application = ASGIStaticFilesHandler(get_asgi_application())
