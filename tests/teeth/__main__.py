"""`python -m tests.teeth`: tell all lies of the bank, or those whose names have a word in them (`-k token`).

Exits with 1 if one of them survives.
"""

from __future__ import annotations

import argparse
import sys
import time

from tests.teeth.bank import BANK
from tests.teeth.runner import PROCESSES, Finding, Runner, Unsound


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.teeth", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("-k", dest="word", default="", help="only mutations that have this in their name or file")
    parser.add_argument("--processes", type=int, default=PROCESSES)
    parser.add_argument("--unchecked", action="store_true", help="do not run the tests without a lie first")
    options = parser.parse_args()
    word = options.word.lower()
    chosen = [m for m in BANK if word in m.name.lower() or word in m.file]
    if not chosen:
        parser.error(f"no mutation has {options.word!r} in its name or file")
    began = time.monotonic()
    survivors = []
    with Runner(processes=options.processes) as runner:
        if not options.unchecked:
            try:
                runner.check(chosen)
            except Unsound as problem:
                print(problem, file=sys.stderr)
                return 2
            print(f"the tests pass without a lie ({time.monotonic() - began:.0f} s)", flush=True)
        for finding in runner.findings(chosen):
            print(line_of(finding), flush=True)
            if finding.survived:
                survivors.append(finding)
    for finding in survivors:
        print(f"\n--- {finding.mutation.name} ({finding.mutation.file})\n{finding.trial.said[-2000:]}")
    caught = len(chosen) - len(survivors)
    print(f"\n{caught} of {len(chosen)} mutations caught in {time.monotonic() - began:.0f} s")
    return 1 if survivors else 0


def line_of(finding: Finding) -> str:
    """A row of the table, and a row more for each test that did not find it."""
    verdict = "SURVIVED" if finding.survived else "caught"
    by = ", ".join(test.rpartition("::")[2] for test in finding.found_by) or "nobody"
    line = f"{verdict:8} {finding.trial.seconds:5.1f} s  {finding.mutation.name}: {by}"
    missed = [f"{'':18}not by {test}: {finding.trial.outcomes[test]}" for test in finding.missed_by]
    return "\n".join([line, *missed])


if __name__ == "__main__":
    sys.exit(main())
