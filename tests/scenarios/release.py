"""Which version of the code this process was "deployed" with: DURABLE_TEST_CODE, 2 unless a test says otherwise."""

from __future__ import annotations

import os

CODE = int(os.environ.get("DURABLE_TEST_CODE", "2"))
