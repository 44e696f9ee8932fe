from django.contrib import admin

from examples.demo.django_notes.models import Note

admin.site.register(Note)
