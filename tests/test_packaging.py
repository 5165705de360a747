"""The packages are released together: one version, one licence, typed, and each one pins its siblings."""

from __future__ import annotations

import importlib.util
import tomllib
from importlib.metadata import entry_points, version
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).parent.parent
FILES = sorted(ROOT.glob("packages/*/pyproject.toml"))
PROJECTS = {path.parent.name: tomllib.loads(path.read_text()) for path in FILES}
IMPORTS = {
    "durable-core": "durable_core",
    "durable-django": "django_durable",
    "durable-pg-queue": "durable_pg_queue",
    "durable-redis-queue": "durable_redis_queue",
}


def requirements(project: dict[str, Any]) -> list[Requirement]:
    extras = project.get("optional-dependencies", {}).values()
    return [Requirement(text) for texts in [project["dependencies"], *extras] for text in texts]


def test_every_package_is_known_here() -> None:
    assert PROJECTS.keys() == IMPORTS.keys()


def test_versions_agree() -> None:
    assert len({data["project"]["version"] for data in PROJECTS.values()}) == 1


@pytest.mark.parametrize("name", PROJECTS)
class TestPackage:
    def test_name_is_that_of_its_folder(self, name: str) -> None:
        assert PROJECTS[name]["project"]["name"] == name

    def test_siblings_are_pinned(self, name: str) -> None:
        project = PROJECTS[name]["project"]
        siblings = [needed for needed in requirements(project) if needed.name in PROJECTS.keys() - {name}]
        assert all(str(sibling.specifier) == f"=={project['version']}" for sibling in siblings)

    def test_nothing_else_is_capped(self, name: str) -> None:
        others = [needed for needed in requirements(PROJECTS[name]["project"]) if needed.name not in PROJECTS]
        assert all(clause.operator == ">=" for needed in others for clause in needed.specifier)

    def test_installed_version_is_the_declared_one(self, name: str) -> None:
        assert version(name) == PROJECTS[name]["project"]["version"]

    def test_type_hints_are_shipped(self, name: str) -> None:
        spec = importlib.util.find_spec(IMPORTS[name])
        assert spec is not None
        assert spec.origin is not None
        assert (Path(spec.origin).parent / "py.typed").is_file()

    def test_license_is_shipped(self, name: str) -> None:
        assert (ROOT / "packages" / name / "LICENSE").read_bytes() == (ROOT / "LICENSE").read_bytes()

    def test_entry_points_load(self, name: str) -> None:
        for group, declared in PROJECTS[name]["project"]["entry-points"].items():
            installed = {point.name: point for point in entry_points(group=group)}
            for alias, target in declared.items():
                assert installed[alias].value == target
                installed[alias].load()


def test_django_needs_core() -> None:
    assert "durable-core" in {needed.name for needed in requirements(PROJECTS["durable-django"]["project"])}
