"""Lies in the words that all else is made of: payloads, retries, ids, patches, limits."""

from tests.teeth.mutation import Mutation

CORE = "packages/durable-core/src/durable_core"

MUTATIONS = (
    Mutation(
        "NaN is let through",
        f"{CORE}/codec.py",
        'chunks = make_chunks(None, _default, quote, None, ":", ",", False, False, False)',
        'chunks = make_chunks(None, _default, quote, None, ":", ",", False, False, True)',
        ("tests/core/test_codec.py::test_what_json_cannot_hold_is_refused_by_name_and_place",),
    ),
    Mutation(
        "a payload of just the limit is refused",
        f"{CORE}/codec.py",
        "    if len(text) > limit:",
        "    if len(text) >= limit:",
        ("tests/core/test_codec.py::test_the_limit_is_in_encoded_bytes",),
    ),
    Mutation(
        "a history may be one event longer than its limit",
        f"{CORE}/engine.py",
        "if self.history_length >= MAX_HISTORY:",
        "if self.history_length > MAX_HISTORY:",
        ("tests/core/test_replay.py::test_the_history_has_a_limit_and_a_replay_meets_it_at_the_same_place",),
    ),
    Mutation(
        "jitter makes delays longer than their bound",
        f"{CORE}/retry.py",
        "delay *= 1 - self.jitter * int",
        "delay *= 1 + self.jitter * int",
        ("tests/core/test_retry.py::test_jitter_takes_off_its_share_and_is_the_same_for_the_same_seed",),
    ),
    Mutation(
        "backoff grows without a bound",
        f"{CORE}/retry.py",
        "        delay = min(delay, self.maximum_interval)\n",
        "        delay = max(delay, 0.0)\n",
        ("tests/core/test_retry.py::test_delays_double_up_to_a_minute",),
    ),
    Mutation(
        "an attempt too many is made",
        f"{CORE}/retry.py",
        "if self.maximum_attempts and attempt >= self.maximum_attempts:",
        "if self.maximum_attempts and attempt > self.maximum_attempts:",
        ("tests/core/test_retry.py::test_the_last_attempt_is_followed_by_none",),
    ),
    Mutation(
        "an error's base classes do not count for the retry policy",
        f"{CORE}/failures.py",
        "return [cls.__name__ for cls in kind.__mro__ if cls is not object]",
        "return [kind.__name__]",
        ("tests/core/test_failures.py::test_a_record_has_type_bases_message_traceback_and_attempt",),
    ),
    Mutation(
        "all children of a run have one id",
        f"{CORE}/ports/ids.py",
        "return uuid5(run_id, call_id)",
        'return uuid5(run_id, "")',
        ("tests/core/test_replay_errors.py::test_a_child_has_the_same_id_on_every_replay_and_no_two_the_same",),
    ),
    Mutation(
        "patched() takes a call id",
        f"{CORE}/engine.py",
        "        self.branch.check_caller()\n        chosen =",
        "        self.branch.next_call_id()\n        chosen =",
        ("tests/core/test_replay_patches.py::test_a_patch_takes_no_call_id",),
    ),
    Mutation(
        "patched() may change its answer within a run",
        f"{CORE}/patches.py",
        "        return self._chosen.get(change_id)",
        "        return None",
        ("tests/core/test_replay_patches.py::test_in_a_loop_all_iterations_get_one_answer",),
    ),
    Mutation(
        "a run that is past the change takes the new branch",
        f"{CORE}/engine.py",
        "return self.patches.choose(change_id, 0)",
        "return self.patches.choose(change_id, version)",
        ("tests/core/test_replay_patches.py::test_a_run_that_is_past_the_point_does_not_take_the_patch",),
    ),
    Mutation(
        "an activity may be renamed under its runs",
        f"{CORE}/mismatch.py",
        "            return event.type, event.call_id, event.activity_name",
        "            return event.type, event.call_id",
        ("tests/core/test_replay_mismatch.py::test_a_renamed_activity_is_a_mismatch_that_says_how_to_rename",),
    ),
    Mutation(
        "an eviction can be caught by `except Exception`",
        f"{CORE}/errors.py",
        "class RunEvicted(BaseException):",
        "class RunEvicted(Exception):",
        ("tests/core/test_replay_eviction.py::test_eviction_unwinds_the_code_and_writes_nothing",),
    ),
    Mutation(
        "an error that names a result too large is tried again",
        f"{CORE}/worker/calling.py",
        "retryable = not isinstance(error, PayloadError | TransactionRefused)",
        "retryable = True",
        ("tests/core/test_executor.py::test_a_result_that_cannot_be_stored_is_not_tried_again",),
    ),
    Mutation(
        "schedule_to_close lets a retry begin behind it",
        f"{CORE}/worker/attempts.py",
        "if task.expires_at is not None and retry_at >= task.expires_at:",
        "if task.expires_at is not None and task.queued_at >= task.expires_at:",
        ("tests/core/test_attempts.py::test_schedule_to_close_ends_retries",),
    ),
    Mutation(
        "an activity that was tried again never runs out of schedule_to_close",
        f"{CORE}/worker/attempts.py",
        "    if task.expires_at is not None and task.expires_at <= now:",
        "    if task.retry_at is None and task.expires_at is not None and task.expires_at <= now:",
        ("tests/core/test_attempts.py::test_which_limit_has_passed",),
    ),
    Mutation(
        "an activity may kill one worker more",
        f"{CORE}/worker/attempts.py",
        "    if crashes >= max_crashes:",
        "    if crashes > max_crashes:",
        ("tests/core/test_attempts.py::test_a_dead_worker_is_a_failed_attempt_until_there_were_too_many",),
    ),
)
