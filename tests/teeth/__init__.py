"""Proof that the tests have teeth: each lie told to the code is found by the tests that are named for it."""
