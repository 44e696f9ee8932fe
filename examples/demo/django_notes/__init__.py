"""Django: a small project with a model, a page, the admin and static files."""


def prepare() -> None:
    """Make the database, with a user for the admin (demo, password demo) and a first note."""
    from django.contrib.auth.models import User
    from django.core.management import call_command

    from examples.demo.django_notes.models import Note

    call_command("migrate", verbosity=0)
    if not User.objects.exists():
        User.objects.create_superuser("demo", password="demo")
        Note.objects.create(text="Served by Django, at the prefix where it is mounted.")
