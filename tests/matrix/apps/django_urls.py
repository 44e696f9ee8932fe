from __future__ import annotations

from django.contrib import admin
from django.urls import path

from tests.matrix.apps.django_site import urlpatterns_with

urlpatterns = urlpatterns_with(path("admin/", admin.site.urls))
