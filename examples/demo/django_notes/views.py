from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from examples.demo.django_notes.models import Note


def index(request: HttpRequest) -> HttpResponse:
    return render(request, "notes.html", {"notes": Note.objects.all()})
