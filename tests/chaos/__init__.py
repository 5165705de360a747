"""Random programs on real workers and real servers, while both are killed, paused, restarted and emptied.

    python -m tests.chaos --seconds 900 --pair postgres-with-redis --seed 7

Clients start programs, signal and cancel them, and write down what they were told. A plan made from the seed says when
which fault happens. Then faults stop, every run must close within a bound, and the audit and the model look at all of
them. A failure prints the seed, the faults, and the source of the programs it is about.
"""
