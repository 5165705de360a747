"""Text comes back as it went in, whatever it holds."""

from __future__ import annotations

from durable_core.codec import decode, encode
from durable_core.execution import Status
from durable_core.ports import Beat, Verdict
from durable_core.testing.contracts.builders import StoreCases, a_letter, a_run, a_task, a_worker

AWKWARD = {
    "z before a": 1,
    "a after z": 2,
    "nul": "a\x00b",
    "lone surrogate": "\ud800",
    "four bytes": "\U0001f600",
    "composed": "\u00e9",
    "decomposed": "e\u0301",
    "line separator": "\u2028",
    "big": 2**70,
    "beyond floats": 2**53 + 1,
    "negative zero": -0.0,
    "huge": 1e308,
    "tiny": 5e-324,
    "sum": 0.1 + 0.2,
    "empty": {"": [None, True, False, [], {}]},
    "quotes": "'\"\\`;-- %s %% {} $1 :x ?",
}
PAYLOAD = encode(AWKWARD)
NAME = 'd\'été \U0001f600; DROP TABLE runs;-- %s "quoted" \\'


class TextCases(StoreCases):
    """Payloads are compared as text: equal values are not enough, a reordered key would be another history."""

    def test_input_and_result_keep_every_character(self) -> None:
        run_id = self.start(input=PAYLOAD)
        assert self.store.load([run_id])[run_id].record.input == PAYLOAD
        self.close(run_id, result=PAYLOAD)
        assert self.record_of(run_id).result == PAYLOAD
        assert repr(decode(self.record_of(run_id).input)) == repr(AWKWARD)  # repr: -0.0 == 0.0

    def test_events_and_mail_keep_every_character(self) -> None:
        run_id = self.start()
        decision = self.decision(run_id, "signal_received")
        decision.events = [event._replace(details=PAYLOAD) for event in decision.events]
        self.store.commit([decision])
        self.deliver(a_letter(run_id)._replace(details=PAYLOAD))
        assert [event.details for event in self.store.load([run_id])[run_id].events] == [PAYLOAD]
        assert self.mail_details(run_id) == [PAYLOAD]

    def test_tasks_keep_every_character(self) -> None:
        worker = a_worker()
        self.store.add_worker(worker)
        task = self.begin(self.start(), input=PAYLOAD, retry_policy=AWKWARD, worker_id=worker.id)
        assert task.input == PAYLOAD
        assert repr(dict(task.retry_policy)) == repr(AWKWARD)
        with self.store.transaction():
            self.store.beat(worker.id, [Beat(task.id, task.token, PAYLOAD, None, is_sign_of_life=True)])
        self.retry(task, self.store.now(), failure=AWKWARD)
        (second,) = self.claim(task.id)
        assert second.heartbeat_details == PAYLOAD
        assert second.failure is not None
        assert repr(dict(second.failure)) == repr(AWKWARD)

    def test_waiting_for_keeps_every_character(self) -> None:
        run_id = self.start()
        self.commit(run_id, waiting_for=PAYLOAD)
        assert self.read_waiting_for(run_id) == PAYLOAD

    def test_names_are_text_and_nothing_else(self) -> None:
        parent = self.start()
        run = a_run(
            workflow_name=NAME,
            workflow_id=NAME,
            queue=NAME,
            parent_id=parent,
            parent_call_id="0",
        )
        self.store.create([run])
        task = a_task(activity_name=NAME, queue=NAME)
        self.commit(run.id, tasks=[task])
        record = self.record_of(run.id)
        assert (record.workflow_name, record.workflow_id, record.queue) == (NAME, NAME, NAME)
        (claimed,) = self.claim(task.id)
        assert (claimed.activity_name, claimed.queue) == (NAME, NAME)

    def test_workflow_ids_differ_by_case_accent_and_space(self) -> None:
        names = ["user", "User", "us\u00e9r", "use\u0301r", "user ", " user"]
        assert len({self.start(workflow_id=name) for name in names}) == len(names)

    def test_error_that_no_database_can_hold_does_not_lose_the_decision(self) -> None:
        run_id = self.start()
        result = self.commit(run_id, status=Status.FAILED, error="ValueError: bad \x00 and \ud800")
        assert result.verdict is Verdict.COMMITTED
        assert self.record_of(run_id).error.startswith("ValueError: bad ")

    def test_large_payload_is_kept(self) -> None:
        payload = encode({"text": "x" * 900_000})
        run_id = self.start(input=payload)
        assert self.record_of(run_id).input == payload
