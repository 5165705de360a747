"""Distributions as pip leaves them: a folder with modules and their metadata, for a path that Python imports from."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from textwrap import dedent


@dataclass(frozen=True)
class Environment:
    """What is installed beside the packages of this repository."""

    folder: Path

    @property
    def pythonpath(self) -> str:
        """PYTHONPATH of a process that has it."""
        return os.pathsep.join(filter(None, [str(self.folder), os.environ.get("PYTHONPATH")]))

    def install(
        self,
        distribution: str,
        modules: Mapping[str, str],
        *,
        hooks: Mapping[str, str] | None = None,
        queues: Mapping[str, str] | None = None,
    ) -> None:
        """A distribution with *modules* (name: source), and entry points of both groups (name: value)."""
        for name, source in modules.items():
            (self.folder / f"{name}.py").write_text(dedent(source))
        groups = {"durable": hooks or {}, "durable.queues": queues or {}}
        lines = [
            line
            for group, points in groups.items()
            for line in (f"[{group}]", *(f"{name} = {value}" for name, value in points.items()))
        ]
        self.describe(distribution, "\n".join(lines))

    def describe(self, distribution: str, entry_points: str) -> None:
        """A distribution's metadata alone."""
        about = self.folder / f"{distribution.replace('-', '_')}-1.0.dist-info"
        about.mkdir()
        (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1.0\n")
        (about / "entry_points.txt").write_text(entry_points)
