"""What an audit must find: each changes a sound database below everything that would keep it from being changed."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from uuid import UUID

from durable_core.audit import Invariant

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.audit.conftest import World

NOBODY = UUID(int=4711)


@dataclass(frozen=True)
class Corruption:
    invariant: Invariant
    says: str  # a part of what was found
    corrupt: Callable[[World], UUID]  # answers the run that is told of
    others: frozenset[Invariant] = field(default_factory=frozenset)  # what is wrong besides, inevitably

    def __repr__(self) -> str:
        return f"{self.invariant.value}-{self.corrupt.__name__}"


CORRUPTIONS: list[Corruption] = []


def finds(invariant: Invariant, says: str, *others: Invariant) -> Callable[[Callable[[World], UUID]], None]:
    def register(corrupt: Callable[[World], UUID]) -> None:
        CORRUPTIONS.append(Corruption(invariant, says, corrupt, frozenset(others)))

    return register


I = Invariant  # noqa: E741 - so often that a longer name would hide the rest


def last_seq(world: World, run: UUID) -> int:
    return int(world.site.execution(run).history_length)


def append(world: World, run: UUID, kind: str, details: str, call_id: str | None = None) -> None:
    """Another event behind the last, with its time."""
    seq = last_seq(world, run)
    world.sql(
        "INSERT INTO historyevent (execution_id, seq, type, call_id, details, created_at) "
        "SELECT execution_id, seq + 1, %s, %s, %s, created_at FROM historyevent WHERE execution_id = %s AND seq = %s",
        kind,
        call_id,
        details,
        run,
        seq,
    )
    world.sql("UPDATE workflowexecution SET history_length = %s WHERE id = %s", seq + 1, run)


def write_to(world: World, run: UUID, kind: str, details: str, call_id: str | None = None) -> None:
    """A letter that nothing will ever make due."""
    world.sql(
        "INSERT INTO mail (execution_id, type, call_id, details, created_at) SELECT id, %s, %s, %s, created_at "
        "FROM workflowexecution WHERE id = %s",
        kind,
        call_id,
        details,
        run,
    )


SIGNAL = '{"name":"answer","payload":null}'

# 1: one end


@finds(I.ONE_END, "0 runs that go on for it")
def next_run_is_gone(world: World) -> UUID:
    world.sql("UPDATE workflowexecution SET chain_id = NULL WHERE id = %s", world.next_run)
    return world.continued


@finds(I.ONE_END, "status FAILED")
def the_row_says_another_status(world: World) -> UUID:
    world.sql("UPDATE workflowexecution SET status = 'FAILED' WHERE id = %s", world.done)
    return world.done


@finds(I.ONE_END, "result '[0]'")
def the_row_has_another_result(world: World) -> UUID:
    world.sql("UPDATE workflowexecution SET result = '[0]' WHERE id = %s", world.done)
    return world.done


@finds(I.ONE_END, "error 'all is well'")
def the_row_has_another_error(world: World) -> UUID:
    world.sql("UPDATE workflowexecution SET error = 'all is well' WHERE id = %s", world.failed)
    return world.failed


@finds(I.ONE_END, "no terminal event")
def the_end_is_gone(world: World) -> UUID:
    length = last_seq(world, world.done)
    world.sql("DELETE FROM historyevent WHERE execution_id = %s AND seq = %s", world.done, length)
    world.sql("UPDATE workflowexecution SET history_length = %s WHERE id = %s", length - 1, world.done)
    return world.done


@finds(I.ONE_END, "a second end, workflow_canceled")
def it_ended_twice(world: World) -> UUID:
    append(world, world.done, "workflow_canceled", '{"reason":""}')
    return world.done


@finds(I.ONE_END, "signal_received behind its end")
def something_happened_after_the_end(world: World) -> UUID:
    append(world, world.done, "signal_received", SIGNAL)
    return world.done


@finds(I.OUTCOMES, "activity_cancel_requested of nothing that was started")
def what_was_never_started_was_canceled(world: World) -> UUID:
    append(world, world.asks, "activity_cancel_requested", '{"reason":""}', "99")
    return world.asks


@finds(I.OUTCOMES, "activity_cancel_requested of what had ended", I.ONE_END)
def what_had_ended_was_canceled(world: World) -> UUID:
    outcome = world.site.execution(world.done).history.filter(type="activity_completed").first()
    append(world, world.done, "activity_cancel_requested", '{"reason":""}', outcome.call_id)
    return world.done


@finds(I.ONE_END, "workflow_completed in an open run")
def an_open_run_has_an_end(world: World) -> UUID:
    append(world, world.asks, "workflow_completed", '{"result":1}')
    return world.asks


@finds(I.ONE_END, "a result although it is RUNNING")
def an_open_run_has_a_result(world: World) -> UUID:
    world.sql("UPDATE workflowexecution SET result = '1' WHERE id = %s", world.asks)
    return world.asks


# 2: no gaps


@finds(I.NO_GAPS, "at place", I.TIMERS, I.OUTCOMES)
def an_event_is_gone(world: World) -> UUID:
    assert world.sql("DELETE FROM historyevent WHERE type = 'timer_fired' AND execution_id = %s", world.done) == 1
    return world.done


@finds(I.NO_GAPS, "events")
def the_row_counts_more_events(world: World) -> UUID:
    world.sql("UPDATE workflowexecution SET history_length = history_length + 1 WHERE id = %s", world.failed)
    return world.failed


@finds(I.NO_GAPS, "an event of 2001")
def time_goes_back(world: World) -> UUID:
    world.sql(
        "UPDATE historyevent SET created_at = '2001-01-01 00:00:00+00:00' WHERE execution_id = %s AND seq = %s",
        world.failed,
        last_seq(world, world.failed),
    )
    return world.failed


@finds(I.NO_GAPS, "cannot be read")
def an_event_is_no_json(world: World) -> UUID:
    world.sql("UPDATE historyevent SET details = '{' WHERE execution_id = %s AND seq = 1", world.done)
    return world.done


# 3: outcomes


@finds(I.OUTCOMES, "signal_received at place 1")
def it_does_not_begin_with_its_start(world: World) -> UUID:
    world.sql(
        "UPDATE historyevent SET type = 'signal_received', details = %s WHERE execution_id = %s AND seq = 1",
        SIGNAL,
        world.failed,
    )
    return world.failed


@finds(I.OUTCOMES, "a start of raises with")
def the_row_has_another_input(world: World) -> UUID:
    world.sql("""UPDATE workflowexecution SET input = '{"kind":"KeyError"}' WHERE id = %s""", world.failed)
    return world.failed


@finds(I.OUTCOMES, "activity_completed of nothing that was asked for")
def an_outcome_belongs_to_no_call(world: World) -> UUID:
    world.sql(
        "UPDATE historyevent SET call_id = '99' WHERE type = 'activity_completed' AND execution_id = %s", world.failed
    )
    return world.failed


@finds(I.OUTCOMES, "a second outcome", I.ATTEMPTS)
def a_call_has_two_outcomes(world: World) -> UUID:
    world.sql(
        "UPDATE historyevent SET call_id = '0' WHERE type = 'activity_completed' AND execution_id = %s", world.done
    )
    return world.done


@finds(I.OUTCOMES, "by a call that was activity_scheduled before", I.ATTEMPTS)
def a_call_is_made_twice(world: World) -> UUID:
    world.sql(
        "UPDATE historyevent SET call_id = '0' WHERE type = 'activity_scheduled' AND execution_id = %s", world.done
    )
    return world.done


@finds(I.OUTCOMES, "no task")
def an_activity_has_no_task(world: World) -> UUID:
    world.sql("DELETE FROM activitytask WHERE execution_id = %s", world.failed)
    return world.failed


@finds(I.OUTCOMES, "a task beyond those")
def a_task_was_never_scheduled(world: World) -> UUID:
    world.sql("UPDATE activitytask SET call_id = '77' WHERE execution_id = %s", world.failed)
    return world.failed


@finds(I.OUTCOMES, "1 events of a PENDING run", I.NO_GAPS)
def a_pending_run_has_a_history(world: World) -> UUID:
    world.sql(
        "UPDATE historyevent SET execution_id = %s WHERE execution_id = %s AND seq = 1", world.pending, world.asks
    )
    world.sql("UPDATE workflowexecution SET history_length = 1 WHERE id = %s", world.pending)
    return world.pending


# 6: quiescence


@finds(I.QUIESCENCE, "a timer")
def a_closed_run_has_a_timer(world: World) -> UUID:
    world.sql("UPDATE workflowexecution SET due_at = created_at WHERE id = %s", world.done)
    return world.done


@finds(I.QUIESCENCE, "a closed run that waits for")
def a_closed_run_waits(world: World) -> UUID:
    world.sql("""UPDATE workflowexecution SET waiting_for = '{"kind":"signal"}' WHERE id = %s""", world.done)
    return world.done


@finds(I.QUIESCENCE, "a QUEUED activity of a run that is FAILED", I.ATTEMPTS)
def a_closed_run_has_something_queued(world: World) -> UUID:
    world.sql("UPDATE activitytask SET status = 'QUEUED', due_at = queued_at WHERE execution_id = %s", world.failed)
    return world.failed


@finds(I.QUIESCENCE, "a RUNNING activity of worker", I.ATTEMPTS)
def a_closed_run_has_something_running_nowhere(world: World) -> UUID:
    world.sql(
        "UPDATE activitytask SET status = 'RUNNING', worker_id = %s WHERE execution_id = %s", NOBODY, world.failed
    )
    return world.failed


@finds(I.QUIESCENCE, "in the mailbox of a closed run, for ever")
def a_closed_run_has_mail(world: World) -> UUID:
    write_to(world, world.canceled, "activity_completed", '{"attempt":1,"result":1}', "7")
    return world.canceled


@finds(I.QUIESCENCE, "a wait for activity 'echo', which is not there")
def it_waits_for_an_activity_that_is_not_there(world: World) -> UUID:
    world.sql(
        """UPDATE workflowexecution SET waiting_for = '{"kind":"activity","what":"echo"}' WHERE id = %s""", world.asks
    )
    return world.asks


@finds(I.QUIESCENCE, "a wait for signal 'answer', which is not there")
def it_waits_for_a_signal_that_it_never_asked_for(world: World) -> UUID:
    world.sql(
        "UPDATE historyevent SET details = REPLACE(details, 'answer', 'other') "
        "WHERE type = 'signal_wait_started' AND execution_id = %s",
        world.asks,
    )
    return world.asks


@finds(I.QUIESCENCE, "waits for nothing")
def it_waits_for_nothing(world: World) -> UUID:
    world.sql("UPDATE workflowexecution SET waiting_for = NULL WHERE id = %s", world.asks)
    return world.asks


# 7: nothing lost


@finds(I.NOTHING_LOST, "a PENDING run without an entry")
def nobody_will_begin_it(world: World) -> UUID:
    world.sql("DELETE FROM queueentry WHERE ref = %s", world.pending)
    world.sql("UPDATE workflowexecution SET due_at = NULL WHERE id = %s", world.pending)
    return world.pending


@finds(I.NOTHING_LOST, "a run with a timer")
def nobody_will_wake_it(world: World) -> UUID:
    world.sql("UPDATE workflowexecution SET due_at = NULL WHERE id = %s", world.sleeper)
    return world.sleeper


@finds(I.NOTHING_LOST, "a run with a timer")
def it_will_be_woken_a_century_late(world: World) -> UUID:
    world.sql("UPDATE workflowexecution SET due_at = '2199-01-01 00:00:00+00:00' WHERE id = %s", world.sleeper)
    return world.sleeper


@finds(I.NOTHING_LOST, "a QUEUED activity without an entry")
def nobody_will_begin_its_activity(world: World) -> UUID:
    [task] = world.site.tasks(world.order)
    assert world.sql("DELETE FROM queueentry WHERE ref = %s", task.id) == 1
    world.sql("UPDATE activitytask SET due_at = NULL WHERE id = %s", task.id)
    return world.order


@finds(I.NOTHING_LOST, "a run with 1 unread messages")
def nobody_will_read_its_mail(world: World) -> UUID:
    write_to(world, world.asks, "signal_received", SIGNAL)
    return world.asks


@finds(I.NOTHING_LOST, "a RUNNING activity of worker")
def its_worker_is_gone(world: World) -> UUID:
    world.sql(
        "UPDATE activitytask SET status = 'RUNNING', attempt = 1, token = 1, started_at = queued_at, worker_id = %s, "
        "due_at = NULL WHERE execution_id = %s",
        NOBODY,
        world.order,
    )
    return world.order


@finds(I.NOTHING_LOST, "a COMPLETED task of which its open run has not heard")
def an_outcome_is_not_told(world: World) -> UUID:
    world.sql(
        "UPDATE activitytask SET status = 'COMPLETED', attempt = 1, token = 1, started_at = queued_at, result = '1' "
        "WHERE execution_id = %s",
        world.order,
    )
    return world.order


# 8: attempts


@finds(I.ATTEMPTS, "3 attempts")
def it_was_tried_too_often(world: World) -> UUID:
    world.sql(
        """UPDATE activitytask SET retry_policy = '{"maximum_attempts":2}', attempt = 3, token = 5 """
        "WHERE execution_id = %s",
        world.order,
    )
    return world.order


@finds(I.ATTEMPTS, "token 1 after 2 attempts")
def a_token_was_used_twice(world: World) -> UUID:
    world.sql("UPDATE activitytask SET attempt = 2, token = 1 WHERE execution_id = %s", world.order)
    return world.order


@finds(I.ATTEMPTS, "COMPLETED without an attempt")
def it_completed_without_an_attempt(world: World) -> UUID:
    world.sql("UPDATE activitytask SET started_at = NULL WHERE execution_id = %s", world.failed)
    return world.failed


@finds(I.ATTEMPTS, "the outcome of attempt 1 where 2 were begun")
def a_stale_attempt_was_believed(world: World) -> UUID:
    world.sql("UPDATE activitytask SET attempt = 2, token = 2 WHERE execution_id = %s", world.failed)
    return world.failed


@finds(I.ATTEMPTS, "a FAILED task whose run was told activity_completed")
def task_and_history_disagree(world: World) -> UUID:
    world.sql("UPDATE activitytask SET status = 'FAILED' WHERE execution_id = %s", world.failed)
    return world.failed


@finds(I.ATTEMPTS, "another result in its history than in its task")
def task_and_history_have_other_results(world: World) -> UUID:
    world.sql("UPDATE activitytask SET result = '2' WHERE execution_id = %s", world.failed)
    return world.failed


# 9: family


@finds(I.FAMILY, "that is its child")
def a_child_lost_its_parent(world: World) -> UUID:
    world.sql("UPDATE workflowexecution SET parent_id = NULL WHERE id = %s", world.child)
    return world.done


@finds(I.FAMILY, "that it never started")
def a_child_was_never_started(world: World) -> UUID:
    world.sql(
        "UPDATE workflowexecution SET parent_id = %s, cancel_with_parent = %s WHERE id = %s",
        world.done,
        False,
        world.asks,
    )
    return world.done


@finds(I.FAMILY, "by call 99")
def a_child_belongs_to_another_call(world: World) -> UUID:
    world.sql("UPDATE workflowexecution SET parent_call_id = '99' WHERE id = %s", world.child)
    return world.done


@finds(I.FAMILY, "child_workflow_completed of child", I.ONE_END)
def a_child_had_another_result(world: World) -> UUID:
    world.sql("UPDATE workflowexecution SET result = '2' WHERE id = %s", world.child)
    return world.done


@finds(I.FAMILY, "of whose end its open parent has not heard", I.ONE_END, I.QUIESCENCE)
def a_childs_end_is_not_told(world: World) -> UUID:
    world.sql("UPDATE workflowexecution SET status = 'COMPLETED', result = '1' WHERE id = %s", world.open_child)
    return world.parent


@finds(I.FAMILY, "RUNNING, although its parent is COMPLETED", I.ONE_END, I.QUIESCENCE)
def a_child_is_orphaned(world: World) -> UUID:
    world.sql("UPDATE workflowexecution SET status = 'COMPLETED', result = '1' WHERE id = %s", world.parent)
    return world.parent


# 10: signals, 11: timers, 13: starts


@finds(I.SIGNALS, "an unread signal of a closed run")
def a_closed_run_was_sent_a_signal(world: World) -> UUID:
    write_to(world, world.canceled, "signal_received", SIGNAL)
    return world.canceled


@finds(I.TIMERS, "fired at")
def a_timer_fired_early(world: World) -> UUID:
    [started] = world.site.execution(world.done).history.filter(type="timer_started")
    world.sql(
        "UPDATE historyevent SET details = REPLACE(details, %s, %s) WHERE type = 'timer_started' AND execution_id = %s",
        f'"{started.details["fire_at"]}"',
        '"2999-01-01T00:00:00+00:00"',
        world.done,
    )
    return world.done


@finds(I.TIMERS, "timer_fired of a timer that had ended", I.OUTCOMES)
def a_timer_fired_twice(world: World) -> UUID:
    [fired] = world.site.execution(world.done).history.filter(type="timer_fired")
    world.sql(
        "UPDATE historyevent SET type = 'timer_fired', call_id = %s, details = '{}' "
        "WHERE type = 'signal_received' AND execution_id = %s",
        fired.call_id,
        world.done,
    )
    return world.done


@finds(I.STARTS, "open runs with the same workflow_id 'a'")
def two_open_runs_have_one_name(world: World) -> UUID:
    world.sql("DROP INDEX durable_one_open_run_per_id")
    world.sql("UPDATE workflowexecution SET workflow_id = 'a' WHERE id = %s", world.asks_too)
    return world.asks


# 17: updates


@finds(I.UPDATES, "update 'a' COMPLETED")
def a_sender_was_told_another_result(world: World) -> UUID:
    world.sql("UPDATE message SET result = '4' WHERE execution_id = %s AND result = '3'", world.account)
    return world.account


@finds(I.UPDATES, "update 'b' SENT, but neither answered nor in the mailbox")
def an_update_was_lost(world: World) -> UUID:
    world.sql("UPDATE message SET status = 'SENT' WHERE execution_id = %s AND status = 'REJECTED'", world.account)
    return world.account


@finds(I.UPDATES, "update 'a' REJECTED, but accepted in the history")
def an_update_was_rejected_and_accepted(world: World) -> UUID:
    world.sql("UPDATE message SET status = 'REJECTED' WHERE execution_id = %s AND status = 'COMPLETED'", world.account)
    return world.account


@finds(I.UPDATES, "workflow_update_failed of nothing that waits for it")
def an_update_was_answered_twice(world: World) -> UUID:
    append(world, world.account, "workflow_update_failed", '{"failure": {}}', "u0")
    return world.account


@finds(I.UPDATES, "update 'a' accepted again")
def an_update_was_accepted_twice(world: World) -> UUID:
    details = '{"name":"add","update_id":"a","input":{"amount":3}}'
    append(world, world.account, "workflow_update_accepted", details, "u1")
    return world.account


# 18: outputs


@finds(I.OUTPUTS, "event 'stage' with another value")
def an_event_has_another_value(world: World) -> UUID:
    world.sql("UPDATE eventvalue SET value = '\"lost\"' WHERE execution_id = %s", world.done)
    return world.done


@finds(I.OUTPUTS, "event 'stage' without a value")
def an_event_has_no_value(world: World) -> UUID:
    world.sql("DELETE FROM eventvalue WHERE execution_id = %s", world.done)
    return world.done


@finds(I.OUTPUTS, "a value of event 'never'")
def a_value_was_never_set(world: World) -> UUID:
    world.sql("UPDATE eventvalue SET \"key\" = 'never' WHERE execution_id = %s", world.done)
    return world.done


@finds(I.OUTPUTS, "no item of stream 'default'")
def an_item_is_gone(world: World) -> UUID:
    world.sql("DELETE FROM publisheditem WHERE execution_id = %s", world.done)
    return world.done


@finds(I.OUTPUTS, "an item of stream 'default' by a call that never published")
def an_item_comes_from_nowhere(world: World) -> UUID:
    world.sql(
        "INSERT INTO publisheditem (execution_id, chain_id, stream, call_id, number, item, created_at) SELECT "
        "execution_id, chain_id, stream, '4711', number, item, created_at FROM publisheditem WHERE execution_id = %s",
        world.done,
    )
    return world.done


# 19: people


@finds(I.PEOPLE, "no row of a human task")
def a_question_has_no_row(world: World) -> UUID:
    world.sql("DELETE FROM humantask WHERE execution_id = %s AND assignee = 'ben'", world.asking)
    return world.asking


@finds(I.PEOPLE, "a human task that nobody has asked")
def a_question_comes_from_nowhere(world: World) -> UUID:
    world.sql(
        "INSERT INTO humantask (id, execution_id, call_id, question, status, reason, asked_at) "
        "SELECT %s, execution_id, '4711', question, status, reason, asked_at "
        "FROM humantask WHERE execution_id = %s AND assignee = 'ben'",
        NOBODY,
        world.asking,
    )
    return world.asking


@finds(I.PEOPLE, "a human task that is ANSWERED")
def an_answer_never_came(world: World) -> UUID:
    world.sql("UPDATE humantask SET status = 'ANSWERED' WHERE execution_id = %s AND assignee = 'ben'", world.asking)
    return world.asking


@finds(I.PEOPLE, "a human task that is OPEN")
def an_answered_question_is_open(world: World) -> UUID:
    world.sql("UPDATE humantask SET status = 'OPEN' WHERE execution_id = %s AND assignee = 'ann'", world.asking)
    return world.asking


@finds(I.PEOPLE, "an answer by ann")
def an_answer_was_another(world: World) -> UUID:
    world.sql("UPDATE humantask SET answer = '\"no\"' WHERE execution_id = %s AND assignee = 'ann'", world.asking)
    return world.asking


@finds(I.PEOPLE, "an answer by ben")
def an_answer_was_another_persons(world: World) -> UUID:
    world.sql("UPDATE humantask SET answered_by = 'ben' WHERE execution_id = %s AND assignee = 'ann'", world.asking)
    return world.asking
