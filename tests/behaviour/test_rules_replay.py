"""Rules 1 to 4 of semantics.md: what code sees is the same on every replay. Rules 5 to 8: test_rules_deploys.py."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from django_durable import send_signal
from tests.scenarios import ledger
from tests.waiting import wait_until


def noted(key):
    """What a scenario has noted, without the pids."""
    return [line.partition(" ")[2] for line in ledger.effects(key)]


def is_replayed(site):
    return site.project.settings.get("WORKFLOW_CACHE_SIZE") == 0


# 1: encode and decode


def test_rule_1_first_run_sees_what_replay_sees(site, key):
    handle = site.start("same_values", key=key)
    site.until_waiting(handle, "signal")
    send_signal(handle, "go", (1, {2: None}))
    plain = [1, {"2": "x", "null": []}]
    assert handle.result(timeout=30) == [plain, plain, [1, {"2": None}]]
    seen = noted(key)
    assert len(seen) >= (2 if is_replayed(site) else 1)
    assert set(seen) == {repr([plain, plain])}


def test_rule_1_each_value_is_a_fresh_copy(site, key):
    """The scenario spoils a result that it asks for again, and a later replay asks for both."""
    handle = site.start("same_values", key=key)
    send_signal(handle, "go")
    value, again, _ = handle.result(timeout=30)
    assert again == value
    assert all(line.endswith("None]") for line in noted(f"{key}-end"))


def test_rule_1_input_and_results_are_plain_data(site):
    assert site.run("returns", value=(1, {2: ("x",)})) == [1, {"2": ["x"]}]
    assert site.run("echoes", value={True: 1.5, None: -0.0}) == {"true": 1.5, "null": -0.0}


def test_rule_1_chance_is_the_same_on_every_replay(site, key):
    handle = site.start("chance", key=key)
    site.until_waiting(handle, "signal")
    send_signal(handle, "go")
    *values, last = handle.result(timeout=30)
    assert set(noted(key)) == {repr(values)}
    assert last != values[0]
    assert site.history(handle).count("side_effect_recorded") == 1


def test_rule_1_chance_is_the_same_after_a_change_of_workers(quiet_site, queue, key):
    site = quiet_site
    handle = site.start(site.on_queue("chance", queue), key=key)
    with site.project.worker("--queue-name", queue):
        site.until_waiting(handle, "signal")
    with site.project.worker("--queue-name", queue):
        send_signal(handle, "go")
        *values, _ = handle.result(timeout=30)
    assert noted(key) == [repr(values)] * 2
    assert len({line.partition(" ")[0] for line in ledger.effects(key)}) == 2  # two processes


# 2: timeouts are logged


def test_rule_2_a_wait_that_timed_out_stays_timed_out(site, key):
    """The activity ends after the time-out and before the code is replayed."""
    handle = site.start("late_activity", key=key)
    site.until_waiting(handle, "signal")
    assert "timer_fired" in site.history(handle)
    ledger.open_gate(key)
    wait_until(lambda: "activity_completed" in site.history(handle), "the activity's outcome")
    send_signal(handle, "go", 1)
    assert handle.result(timeout=30) == ["timeout", 1, "late"]


def test_rule_2_the_winner_of_a_race_is_read_from_the_log(site, key):
    handle = site.start("late_activity", key=key, patience=0.6)
    ledger.open_gate(key)
    site.until_waiting(handle, "signal")
    wait_until(lambda: _is_past(site.execution(handle).history.get(type="timer_started")), "the timer's time to pass")
    send_signal(handle, "go")
    assert handle.result(timeout=30) == ["late", None, "late"]
    assert "timer_fired" not in site.history(handle)


def _is_past(event):
    return datetime.fromisoformat(event.details["fire_at"]) < datetime.now(UTC)


def test_rule_2_a_signal_behind_a_timeout_is_for_the_next_wait(site):
    handle = site.start("waits_for_answer", patience=0.02)
    outcome, message = handle.result(timeout=30)
    assert outcome == "timeout"
    assert "'answer'" in message
    assert "0.02 s" in message


# 3: three different things


def test_rule_3_timeout_none_and_falsy_are_three_things(site):
    handles = [site.start("waits_for_answer", patience=30) for _ in range(4)]
    payloads = [None, 0, False, ""]
    for handle, payload in zip(handles, payloads, strict=True):
        send_signal(handle, "answer", payload)
    results = [handle.result(timeout=30) for handle in handles]
    assert results == [["answer", None], ["answer", 0], ["answer", False], ["answer", ""]]
    assert site.run("waits_for_answer", patience=0)[0] == "timeout"


def test_rule_3_a_workflow_that_returns_none_completes_with_null(site):
    handle = site.start("returns")
    assert handle.result(timeout=30) is None
    assert site.execution(handle).status == "COMPLETED"
    assert site.execution(handle).history.get(type="workflow_completed").details == {"result": None}
    assert site.run("echoes", value=None) is None


def test_rule_3_both_activities_of_two_that_fail_are_heard(site):
    assert site.run("two_failures") == ["one", "two"]


# 4: time


def test_rule_4_now_is_the_logged_time_and_never_goes_back(site):
    handle = site.start("clock")
    send_signal(handle, "go")
    moments = [[datetime.fromisoformat(text) for text in pair] for pair in handle.result(timeout=30)]
    assert all(before == after for before, after in moments)  # one step, one time
    times = [before for before, _ in moments]
    assert times == sorted(times)
    assert all(time.utcoffset() == timedelta(0) for time in times)
    assert times[2] > times[1]  # it slept
    logged = set(site.execution(handle).history.values_list("created_at", flat=True))
    assert set(times) <= logged


def test_rule_4_the_log_never_goes_back(site):
    handle = site.start("clock")
    send_signal(handle, "go")
    handle.result(timeout=30)
    times = list(site.execution(handle).history.order_by("seq").values_list("created_at", flat=True))
    assert times == sorted(times)


def test_side_effects_that_raise_are_recorded(site):
    assert site.run("failing_side_effect") == ["ZeroDivisionError", "integer division or modulo by zero"]
