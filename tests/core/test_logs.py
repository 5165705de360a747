"""What goes into logs: where an error was raised, and its text for those only who ask for it."""

from __future__ import annotations

import logging

import pytest

from durable_core.codec import decode
from durable_core.errors import PayloadError
from durable_core.logs import complain, sketch
from tests.core.stories import RUN_ID, Story, completed

logger = logging.getLogger("tests.logs")


def raised(error):
    try:
        raise error
    except type(error):
        return error


LINE = raised.__code__.co_firstlineno + 2


def test_a_sketch_is_the_type_and_the_place_without_the_text():
    assert sketch(raised(KeyError("secret"))) == f"KeyError at {__file__}:{LINE}"
    assert sketch(KeyError("secret")) == "KeyError at ?:0"  # it was never raised


def test_a_sketch_of_an_error_in_our_own_code_alone_names_the_last_place_there():
    with pytest.raises(PayloadError) as caught:
        decode("{")
    error = caught.value
    assert error.__traceback__ is not None
    assert sketch(error).startswith(f"PayloadError at {__file__}:")
    own = error.__traceback__.tb_next  # from here on it is our code
    last = own
    while last is not None and last.tb_next is not None:
        last = last.tb_next
    assert last is not None
    assert sketch(error.with_traceback(own)) == f"PayloadError at {last.tb_frame.f_code.co_filename}:{last.tb_lineno}"


def test_a_complaint_has_its_text_and_its_traceback_at_debug_only(caplog):
    caplog.set_level(logging.DEBUG, "tests.logs")
    error = raised(ValueError("secret"))
    complain(logger, logging.WARNING, "%s of %d failed: %s", "one", 2, error=error, extra={"execution_id": "7"})
    loud, quiet = caplog.records
    assert (loud.name, loud.levelno, loud.exc_info) == ("tests.logs", logging.WARNING, None)
    assert loud.getMessage() == f"one of 2 failed: ValueError at {__file__}:{LINE}"
    assert quiet.levelno == logging.DEBUG
    assert quiet.exc_info is not None
    assert quiet.exc_info[1] is error
    assert {record.execution_id for record in caplog.records} == {"7"}


def test_workflow_code_logs_under_its_name_with_the_id_of_its_run(caplog):
    def fn(ctx):
        ctx.logger.info("too quiet")
        ctx.logger.warning("begun with %s", 5)
        assert ctx.logger is ctx.logger
        ctx.run_activity("old")

    caplog.set_level(logging.WARNING, "durable.workflow.story")
    story = Story(fn)
    story.start(completed(0))
    (record,) = caplog.records
    assert (record.name, record.getMessage()) == ("durable.workflow.story", "begun with 5")
    assert (record.execution_id, record.workflow_name) == (str(RUN_ID), "story")
    story.check()
    assert caplog.records == [record]
