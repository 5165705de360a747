"""The programs' workflow and activities, in worker processes."""

from __future__ import annotations

import time

from django_durable import register
from tests.chaos.ledger import FileLedger
from tests.programs.activities import install
from tests.scenarios import ledger

install(register, FileLedger(ledger.folder()), pause=time.sleep)
