"""Lies at the door: public API, commands, admin."""

from tests.teeth.bank.pg_queue import DJANGO
from tests.teeth.mutation import Mutation

TAKES_A_ROW = "(self, request: HttpRequest, obj: Model | None = None) -> bool:\n"

MUTATIONS = (
    Mutation(
        "a run that goes on by itself is retried",
        f"{DJANGO}/life.py",
        "        if record.status is not Status.BLOCKED:",
        "        if record.status.is_closed:",
        ("tests/django/test_api.py::test_retry_is_for_blocked_runs",),
    ),
    Mutation(
        "an object in --input may have a key twice",
        f"{DJANGO}/management/shared.py",
        "        if key in found:",
        "        if key in ():",
        ("tests/django/test_commands.py::test_bad_input_is_a_sentence",),
    ),
    Mutation(
        "NaN is let through by --input",
        f"{DJANGO}/management/shared.py",
        "json.loads(text, parse_constant=_refuse_constant, object_pairs_hook",
        "json.loads(text, object_pairs_hook",
        ("tests/django/test_commands.py::test_bad_input_is_a_sentence",),
    ),
    Mutation(
        "what a command cannot do ends in a traceback",
        f"{DJANGO}/management/shared.py",
        "    except DurableError as error:\n        raise CommandError(_with_hint(str(error))) from error",
        "    except DurableError as error:\n        raise",
        ("tests/django/test_commands.py::test_unknown_names_come_with_the_nearest",),
    ),
    Mutation(
        "rows may be changed in the admin",
        f"{DJANGO}/admin/reading.py",
        "    def has_change_permission" + TAKES_A_ROW + "        return False",
        "    def has_change_permission" + TAKES_A_ROW + "        return True",
        ("tests/django/test_admin.py::test_pages_show_and_nothing_can_be_changed",),
    ),
)
