"""The releases whose histories and databases are kept, each in a package below tests/histories, with its code."""

from __future__ import annotations

import os
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.harness import Project

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from tests.harness import WorkerProcess

HISTORIES = Path(__file__).resolve().parent.parent / "histories"
VARIABLE = "DURABLE_TEST_RELEASE"
SETTINGS = "tests.upgrades.settings"


@dataclass(frozen=True)
class Release:
    """One of them, by the name of its folder: v0_1_0."""

    name: str

    @property
    def folder(self) -> Path:
        return HISTORIES / self.name

    @property
    def package(self) -> str:
        return f"tests.histories.{self.name}"

    @property
    def environment(self) -> dict[str, str]:
        return {VARIABLE: self.package, "DJANGO_SETTINGS_MODULE": SETTINGS}

    @property
    def number(self) -> tuple[int, ...]:
        return tuple(map(int, self.name.removeprefix("v").split("_")))

    @property
    def version(self) -> str:
        return ".".join(map(str, self.number))

    @property
    def histories(self) -> list[Path]:
        return sorted((self.folder / "histories").glob("*.json"))

    @contextmanager
    def worker(self, project: Project, *args: str, durable: Mapping[str, Any] | None = None) -> Iterator[WorkerProcess]:
        """A worker process of today, with the code of the release."""
        with project.worker(*args, durable=durable, **self.environment) as worker:
            yield worker

    def become(self, project: Project) -> None:
        """Have this process be one of the release's project. Only for programs: Django is set up once."""
        import django

        os.environ.update(project.environment(**self.environment))
        django.setup()


def releases() -> list[Release]:
    """The oldest first."""
    found = [Release(folder.name) for folder in HISTORIES.iterdir() if folder.name.startswith("v")]
    return sorted(found, key=lambda release: release.number)


NEWEST = releases()[-1]
