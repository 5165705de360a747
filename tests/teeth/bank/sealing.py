"""Lies about payloads that are sealed, and about those in files."""

from tests.teeth.mutation import Mutation

SEALING = "packages/durable-core/src/durable_core/sealing"
UNIT = "tests/core/test_sealing.py"
STORE = "tests/core/test_sealed_store.py"
ON_SQLITE = "tests/test_store_contracts.py::TestStoreOnSqlite"
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
        (f"{ON_SQLITE}::test_letters_are_sealed_for_the_run_that_they_come_to",),
    ),
    Mutation(
        "the row of a withdrawn question tells what its letter seals",
        "packages/durable-django/src/django_durable/store/people.py",
        "storable(cancel.reason) if cancel.reason and self.seal_letter is None else WITHDRAWN",
        "storable(cancel.reason) if cancel.reason else WITHDRAWN",
        (f"{ON_SQLITE}::test_row_of_a_withdrawn_question_does_not_tell_what_its_letter_seals",),
    ),
    Mutation(
        "letters are opened for another row than they were sealed for",
        f"{SEALING}/rows.py",
        "details=self._sealer.open(mail.details, places.of_mail(run_id, mail.type, mail.call_id))",
        "details=self._sealer.open(mail.details, places.of_mail(run_id, mail.type, None))",
        ("tests/simulation/test_known_seeds.py::test_first_seeds_are_good",),
    ),
    Mutation(
        "the answer of a person is stored as it is",
        f"{SEALING}/sealed_store.py",
        'self._sealer.seal(answer, places.of_task(task_id, "answer"))',
        "answer",
        ("tests/sealing/test_sealed_lives.py::test_what_people_answer_is_sealed_and_why_they_need_not",),
    ),
)
