from django.contrib import admin
from django.urls import path

from examples.demo.django_notes.views import index

urlpatterns = [
    path("", index, name="index"),
    path("admin/", admin.site.urls),
]
