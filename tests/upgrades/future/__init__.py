"""The migrations of a release to come: those of today, and some that add what our rules allow, a table at a time."""

from django_durable import migrations

__path__ = [*__path__, *migrations.__path__]  # Django finds, and imports, modules of both folders
