from __future__ import annotations

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.test import override_settings

from django_durable.conf import Conf, conf, inspect
from django_durable.engine import engine


def problems_of(durable):
    with override_settings(DURABLE=durable):
        return inspect()[1]


def test_without_a_setting_everything_has_a_default():
    with override_settings():
        from django.conf import settings

        del settings.DURABLE
        assert conf() == Conf()


def test_all_keys_are_read():
    durable = {
        "DATABASE": "default",
        "QUEUE": {"BACKEND": "database", "OPTIONS": {"notify": False}},
        "WORKFLOW_CACHE_SIZE": 0,
        "HEARTBEAT_INTERVAL": 1,
        "WORKER_TIMEOUT": 3,
        "WORKFLOW_CODE_TIMEOUT": 0.5,
        "MAX_CRASHES": 5,
        "MAX_PAYLOAD": 10,
        "STRICT_INPUTS": True,
        "ON_WORKFLOW_ERROR": "block",
        "REDACT": ["Password"],
    }
    with override_settings(DURABLE=durable):
        assert conf() == Conf(
            database="default",
            queue_backend="database",
            queue_options={"notify": False},
            workflow_cache_size=0,
            heartbeat_interval=1,
            worker_timeout=3,
            workflow_code_timeout=0.5,
            max_crashes=5,
            max_payload=10,
            strict_inputs=True,
            on_workflow_error="block",
            redact=frozenset(["password"]),
        )


@pytest.mark.parametrize(
    ("durable", "problem_id", "says"),
    [
        ([], "durable.E005", "must be a dict"),
        ({"MAX_CRASH": 1}, "durable.E005", "Did you mean 'MAX_CRASHES'?"),
        ({"MAX_CRASHES": 0}, "durable.E005", "1 or more"),
        ({"REDACT": "password"}, "durable.E005", "a list of names of keys"),
        ({"REDACT": [1]}, "durable.E005", "a list of names of keys"),
        ({"MAX_CRASHES": True}, "durable.E005", "1 or more"),
        ({"HEARTBEAT_INTERVAL": "5"}, "durable.E005", "seconds"),
        ({"WORKFLOW_CODE_TIMEOUT": 0}, "durable.E005", "more than 0"),
        ({"STRICT_INPUTS": 1}, "durable.E005", "True or False"),
        ({"ON_WORKFLOW_ERROR": "ignore"}, "durable.E005", "'fail' or 'block'"),
        ({"WORKER_TIMEOUT": 10}, "durable.E005", "15.0 s or more"),
        ({"DATABASE": "defualt"}, "durable.E003", "Did you mean 'default'?"),
        ({"QUEUE": "redis"}, "durable.E005", '{"BACKEND": "database"'),
        ({"QUEUE": {"BACKND": "database"}}, "durable.E005", "Did you mean 'BACKEND'?"),
        ({"QUEUE": {"OPTIONS": []}}, "durable.E005", "dict of keywords"),
        ({"QUEUE": {"OPTIONS": {"url": "x"}}}, "durable.E005", "It takes: notify."),
        ({"QUEUE": {"BACKEND": "databse"}}, "durable.E001", "Did you mean 'database'?"),
        ({"QUEUE": {"BACKEND": "x"}}, "durable.E001", "Installed: database"),
        ({"QUEUE": {"BACKEND": "no.such.Queue"}}, "durable.E001", "No module named 'no'"),
        ({"QUEUE": {"BACKEND": "json.Queue"}}, "durable.E001", "has no attribute 'Queue'"),
    ],
)
def test_every_mistake_has_an_id_and_a_hint(durable, problem_id, says):
    [problem] = problems_of(durable)
    assert problem.id == problem_id
    assert says in f"{problem.message} {problem.hint}"
    assert problem.hint
    with override_settings(DURABLE=durable), pytest.raises(ImproperlyConfigured, match=problem_id):
        engine()


def test_three_times_a_tenth_is_three_tenths():
    assert not problems_of({"HEARTBEAT_INTERVAL": 0.1, "WORKER_TIMEOUT": 0.3})


def test_all_mistakes_are_found_at_once():
    problems = problems_of({"DATABASE": "nope", "MAX_CRASHES": "3", "NONSENSE": 1})
    assert len(problems) == 3


def test_a_changed_setting_makes_a_new_engine():
    before = engine()
    with override_settings(DURABLE={"QUEUE": {"OPTIONS": {"notify": False}}}):
        assert engine() is not before
    assert engine() is not before
    assert engine() is engine()


def test_a_dotted_path_names_a_queue():
    with override_settings(DURABLE={"QUEUE": {"BACKEND": "django_durable.queue.DatabaseTaskQueue"}}):
        assert engine().queue.transactional
