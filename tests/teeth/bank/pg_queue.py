"""Lies in the queues on SQL: the one in the store's database, and the one of Postgres."""

from tests.teeth.mutation import Mutation

CLAIMS = "tests/pg_queue/test_claims.py"

DJANGO = "packages/durable-django/src/django_durable"
PG = "packages/durable-pg-queue/src/durable_pg_queue"
SQLITE_QUEUE = "tests/test_store_contracts.py::TestQueueOnSqlite"
POSTGRES_QUEUE = "tests/test_store_contracts.py::TestQueueOnPostgres"
JOINED = "tests/pg_queue/test_contracts.py::TestJoined"

MUTATIONS = (
    Mutation(
        "the database queue: a lost claim can still be given back",
        f"{DJANGO}/queue.py",
        'f"AND {ENTRY}.deliveries = v.deliveries",',
        '"",',
        (
            f"{SQLITE_QUEUE}::test_releasing_a_lost_claim_does_not_take_the_entry_from_its_holder",
            f"{POSTGRES_QUEUE}::test_releasing_a_lost_claim_does_not_take_the_entry_from_its_holder",
        ),
    ),
    Mutation(
        "the database queue: entries of dead workers wait for the end of their leases",
        f"{DJANGO}/queue.py",
        'f"WHERE worker_id {d.among} AND visible_at > {d.instant} ORDER BY id {d.own_free}) "',
        'f"WHERE worker_id {d.among} AND visible_at < {d.instant} ORDER BY id {d.own_free}) "',
        (
            f"{SQLITE_QUEUE}::test_entries_of_dead_workers_are_given_back_and_answered",
            f"{POSTGRES_QUEUE}::test_entries_of_dead_workers_are_given_back_and_answered",
        ),
    ),
    Mutation(
        "the database queue: private queues of the dead stay private",
        f"{DJANGO}/queue.py",
        "            self.db.run(self.sql.make_public, DEFAULT_QUEUE, private)\n",
        "",
        (
            f"{SQLITE_QUEUE}::test_private_queue_of_a_dead_worker_goes_to_the_default_queue",
            f"{POSTGRES_QUEUE}::test_private_queue_of_a_dead_worker_goes_to_the_default_queue",
        ),
    ),
    Mutation(
        "the database queue: nobody looks around after LISTEN came back",
        f"{DJANGO}/wakeup.py",
        "        wake()  # what came while nobody listened\n",
        "",
        ("tests/store/test_queue.py::test_listener_comes_back_after_its_connection_was_killed",),
    ),
    Mutation(
        "a listener that has lost its connection does not come back",
        f"{PG}/listening.py",
        "            if self._is_stopped_within(self._pause * random.uniform(0.5, 1.0)):",
        "            if not self._is_stopped_within(self._pause * random.uniform(0.5, 1.0)):",
        ("tests/pg_queue/test_listening.py::test_listener_comes_back_and_looks_at_once",),
    ),
    Mutation(
        "what came in the quiet after a notification is not looked at",
        f"{PG}/listening.py",
        "    return [time.monotonic() + echo for echo in ECHOES]",
        "    return []",
        ("tests/pg_queue/test_listening.py::test_many_commits_ring_a_few_times_and_the_last_one_is_heard",),
    ),
    Mutation(
        "a claim waits for whoever holds an entry",
        f"{PG}/versions/1.sql",
        "ORDER BY rank, id LIMIT run_limit FOR UPDATE SKIP LOCKED",
        "ORDER BY rank, id LIMIT run_limit FOR UPDATE",
        ("tests/pg_queue/test_claims.py::test_claim_passes_over_what_somebody_has_locked",),
    ),
    Mutation(
        "an entry of a long transaction is left behind the frontier",
        f"{PG}/frontier.py",
        "else cls(place, pending)",
        "else cls(place)",
        (
            "tests/pg_queue/test_frontier.py::test_place_of_a_running_transaction_is_looked_at_until_it_is_over",
            "tests/pg_queue/test_claims.py::test_entry_of_a_transaction_that_began_long_ago_is_found",
        ),
    ),
    Mutation(
        "a wake-up is left out for one that was claimed before it counts",
        f"{PG}/versions/1.sql",
        "(twin.place = current OR settled AND twin.place IS NOT NULL)",
        "twin.place IS NOT NULL",
        ("tests/pg_queue/test_wake_ups.py::test_twin_of_another_transaction_is_claimed_meanwhile_and_ours_afterwards",),
    ),
    Mutation(
        "a wake-up is left out for one that somebody has claimed",
        f"{PG}/versions/1.sql",
        "            AND twin.worker IS NULL AND (twin.place",
        "            AND (twin.place",
        (f"{JOINED}::test_twin_of_a_claimed_entry_can_be_claimed",),
    ),
    Mutation(
        "a lost claim completes its entry",
        f"{PG}/versions/1.sql",
        "AS claim(worker, id, number)\n"
        "    WHERE entry.id = claim.id AND entry.worker = claim.worker AND entry.deliveries = claim.number;\nEND $$;",
        "AS claim(worker, id, number)\n    WHERE entry.id = claim.id;\nEND $$;",
        (f"{JOINED}::test_completing_a_lost_claim_does_not_take_the_entry_from_its_holder",),
    ),
    Mutation(
        "entries of a dead worker's private queue keep the place that others have gone past",
        f"{PG}/versions/1.sql",
        "                THEN pg_current_xact_id()::text::bigint ELSE place END,",
        "                THEN place ELSE place END,",
        (f"{CLAIMS}::test_entry_of_a_dead_workers_private_queue_is_found_by_those_who_went_past_it",),
    ),
    Mutation(
        "private queues of the dead stay private",
        f"{PG}/versions/1.sql",
        "            queue = CASE WHEN queue = ANY (private) THEN destination ELSE queue END,",
        "            queue = queue,",
        (f"{JOINED}::test_private_queue_of_a_dead_worker_goes_to_the_default_queue",),
    ),
    Mutation(
        "what was delayed is never due",
        f"{PG}/versions/1.sql",
        "        SELECT id FROM {table} WHERE rank IS NULL AND ready_at <= statement_timestamp()",
        "        SELECT id FROM {table} WHERE rank IS NULL AND ready_at <= statement_timestamp() - interval '1 day'",
        (f"{JOINED}::test_delayed_entry_is_claimed_after_its_delay",),
    ),
)
