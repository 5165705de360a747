"""Does what was installed from the wheels work? `nox -s build` runs it where nothing else is installed.

Not a test module: pytest runs on the sources, and this must not see them.
"""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import entry_points, files, version
from pathlib import Path

import django
from django.conf import settings
from django.core.management import call_command

PACKAGES = {
    "durable-core": "durable_core",
    "durable-django": "django_durable",
    "durable-pg-queue": "durable_pg_queue",
    "durable-redis-queue": "durable_redis_queue",
}


def check_contents(distribution: str, package: str) -> None:
    origin = import_module(package).__file__
    assert origin is not None
    folder = Path(origin).parent
    assert "site-packages" in folder.parts, f"{package} comes from {folder}, not from its wheel"
    assert (folder / "py.typed").is_file(), f"{distribution} ships no py.typed"
    names = [str(file) for file in files(distribution) or []]
    assert any(name.endswith("licenses/LICENSE") for name in names), f"{distribution} ships no licence"
    print(distribution, version(distribution), len(names), "files")


def main() -> None:
    settings.configure(
        DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": "installed.sqlite3"}},
        INSTALLED_APPS=["django.contrib.contenttypes", "django.contrib.auth", "django_durable"],
        SECRET_KEY="only for this check",
        USE_TZ=True,
    )
    django.setup()
    for distribution, package in PACKAGES.items():
        check_contents(distribution, package)
    for group in ("durable", "durable.queues"):
        for point in entry_points(group=group):
            print("entry point", group, point.name, "->", point.load().__name__)
    call_command("check")
    call_command("migrate", verbosity=0)
    call_command("makemigrations", check=True, dry_run=True)


if __name__ == "__main__":
    main()
