"""What the documentation says of the tests."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PLACES = ("tests", "packages", "examples")


def test_every_test_that_the_docs_name_exists():
    exist = {
        name
        for place in PLACES
        for path in (ROOT / place).rglob("*.py")
        for name in re.findall(r"def (test_\w+)", path.read_text(encoding="utf-8"))
    }
    pages = [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]
    named = {name for page in pages for name in re.findall(r"`(test_\w{8,})`", page.read_text(encoding="utf-8"))}
    assert len(named) > 50
    assert not named - exist
