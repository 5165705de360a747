"""Written for release 0.1.0, whose histories and databases lie beside it. It stays as it is: see tests/upgrades."""
