"""Proof after the fact: what must hold of every run, whatever happened to workers, queue and network.

An audit reads a store and a queue, and what tests have witnessed besides (`Effects`), and answers with a `Violation`
for each thing that is not as it must be.
"""

from __future__ import annotations

from durable_core.audit.auditing import EVERYTHING, Scope, audit, examine
from durable_core.audit.effects import (
    NOTHING_WITNESSED,
    Effects,
    End,
    Performed,
    Seal,
    SentSignal,
    Start,
    Total,
    seal_of,
)
from durable_core.audit.peers import PeerProcess, private_stdout, serve
from durable_core.audit.replaying import Code, Peer
from durable_core.audit.report import Report
from durable_core.audit.violations import Invariant, Violation
from durable_core.audit.watching import watch

__all__ = [
    "EVERYTHING",
    "NOTHING_WITNESSED",
    "Code",
    "Effects",
    "End",
    "Invariant",
    "Peer",
    "PeerProcess",
    "Performed",
    "Report",
    "Scope",
    "Seal",
    "SentSignal",
    "Start",
    "Total",
    "Violation",
    "audit",
    "examine",
    "private_stdout",
    "seal_of",
    "serve",
    "watch",
]
