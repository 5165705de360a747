"""Lies about payloads that are sealed, and about those in files."""

from tests.teeth.mutation import Mutation

SEALING = "packages/durable-core/src/durable_core/sealing"
UNIT = "tests/core/test_sealing.py"
STORE = "tests/core/test_sealed_store.py"
FILES = "tests/core/test_payload_files.py"

MUTATIONS = (
    Mutation(
        "a payload is bound to no row",
        f"{SEALING}/encryption.py",
        "self._ciphers[self._key].encrypt(nonce, data, head + place)",
        "self._ciphers[self._key].encrypt(nonce, data, head)",
        (f"{UNIT}::test_what_is_sealed_can_be_opened",),
    ),
    Mutation(
        "a payload is bound to its row alone, and not to what was done to it before",
        f"{SEALING}/sealer.py",
        'return place + b"|" + done.encode()',
        'return place + b"|"',
        (f"{UNIT}::test_what_was_done_before_is_bound_too",),
    ),
    Mutation(
        "events are bound to their run, and not to their places",
        f"{SEALING}/places.py",
        'return place("event", str(run_id), seq, kind, call_id)',
        'return place("event", kind, call_id)',
        (f"{STORE}::test_events_that_were_swapped_or_moved_are_refused",),
    ),
    Mutation(
        "what could not be opened is sealed into something else",
        f"{SEALING}/sealer.py",
        "        if MARK in text:\n            raise",
        "        if not text:\n            raise",
        (f"{UNIT}::test_what_could_not_be_opened_is_not_sealed_into_something_else",),
    ),
    Mutation(
        "an activity whose input is sealed begins",
        "packages/durable-core/src/durable_core/worker/activities.py",
        "elif is_sealed(task.input) or is_sealed(task.heartbeat_details):",
        "elif is_sealed(task.heartbeat_details):",
        (f"{STORE}::test_an_activity_that_cannot_be_read_is_given_back_uncharged",),
    ),
    Mutation(
        "errors are stored in plain text",
        f"{SEALING}/rows.py",
        '        return self._sealer.seal(error, places.of_run(run_id, "error"))',
        "        return error",
        (f"{STORE}::test_programs_run_as_ever",),
    ),
    Mutation(
        "a file that is there already is as old as it was",
        f"{SEALING}/payload_store.py",
        "            os.utime(path)\n            return",
        "            path.stat()\n            return",
        (f"{FILES}::test_what_was_put_there_again_counts_as_new",),
    ),
    Mutation(
        "a file is thrown away whatever has happened to it meanwhile",
        f"{SEALING}/payload_store.py",
        "        if changed >= moment:",
        "        if changed is None:",
        (f"{FILES}::test_what_was_put_there_again_counts_as_new",),
    ),
    Mutation(
        "what a file holds is believed",
        f"{SEALING}/sealer.py",
        "        if sha256(data).hexdigest() != key:",
        "        if not data:",
        (f"{UNIT}::test_what_is_gone_or_was_changed_elsewhere_says_so",),
    ),
    Mutation(
        "a letter is sealed for the run that it was written to",
        "packages/durable-django/src/django_durable/store/mail.py",
        "letters = [letter._replace(run_id=wake.run_id) for letter, wake in addressed]",
        "letters = [letter for letter, wake in addressed]",
        ("tests/test_store_contracts.py::TestStoreOnSqlite::test_letters_are_sealed_for_the_run_that_they_come_to",),
    ),
)
