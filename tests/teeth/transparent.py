"""A plugin of pytest for runs under mutmut: its trampolines do not count as the code of users.

mutmut calls each function through a function of its own, and the places that we tell people are those of the first
frame that is not ours.
"""

from __future__ import annotations

from mutmut.mutation import trampoline

trampoline.__dict__["__name__"] = "durable_core.trampoline"
