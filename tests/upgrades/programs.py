"""The programs of this package, as tests run them."""

from __future__ import annotations

import subprocess
import sys

from tests.harness import ROOT


def program(name: str, *args: str) -> str:
    """What a program of this package prints; it is a process of its own, with the code of another release."""
    command = [sys.executable, "-m", f"tests.upgrades.{name}", *args]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout
