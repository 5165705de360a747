"""Lies in the queue on Redis."""

from tests.teeth.mutation import Mutation

REDIS = "packages/durable-redis-queue/src/durable_redis_queue"
ON_REDIS = "tests/redis_queue/test_contract.py::TestRedis"

MUTATIONS = (
    Mutation(
        "a new group begins at the end of its stream",
        f"{REDIS}/lua/common.py",
        "'XGROUP', 'CREATE', stream(member), GROUP, '0', 'MKSTREAM')",
        "'XGROUP', 'CREATE', stream(member), GROUP, '$', 'MKSTREAM')",
        ("tests/redis_queue/test_losses.py::test_group_begins_at_the_beginning_of_what_is_there",),
    ),
    Mutation(
        "a group that was lost begins at the end of its stream",
        f"{REDIS}/lua/common.py",
        "  redis.call('XGROUP', 'CREATE', stream(member), GROUP, '0')",
        "  redis.call('XGROUP', 'CREATE', stream(member), GROUP, '$')",
        ("tests/redis_queue/test_losses.py::test_lost_group_is_made_again_and_drops_nothing",),
    ),
    Mutation(
        "what is done stays in its stream",
        f"{REDIS}/lua/common.py",
        "  with_ids({'XDEL', stream(member)}, ids)\n",
        "",
        (
            f"{ON_REDIS}::test_completed_entry_is_gone",
            "tests/redis_queue/test_queue.py::test_memory_does_not_grow_with_the_work_done",
        ),
    ),
    Mutation(
        "streams are cut, and drop what nobody has claimed",
        f"{REDIS}/lua/common.py",
        "    return redis.pcall('XADD', stream(member), id, 'ref'",
        "    return redis.pcall('XADD', stream(member), 'MAXLEN', 1000, id, 'ref'",
        (f"{ON_REDIS}::test_thousands_of_entries_may_come_and_go_at_once",),
    ),
    Mutation(
        "a lost claim completes its entry",
        f"{REDIS}/lua/entries.py",
        "  if consumer == ARGV[i + 2] and count == tonumber(ARGV[i + 3]) then\n    done[member] =",
        "  if consumer then\n    done[member] =",
        (
            f"{ON_REDIS}::test_completing_a_lost_claim_does_not_take_the_entry_from_its_holder",
            "tests/redis_queue/test_queue.py::test_lost_claim_completes_nothing_for_the_same_worker_either",
        ),
    ),
    Mutation(
        "claims whose lease is over stay claimed",
        f"{REDIS}/lua/entries.py",
        "if is_time_to('swept', ARGV[4]) then sweep(lease) end",
        "if is_time_to('swept', ARGV[4]) then sweep(lease * 1000) end",
        (f"{ON_REDIS}::test_entry_is_delivered_again_when_its_lease_ends",),
    ),
    Mutation(
        "a consumer goes with what it holds",
        f"{REDIS}/lua/upkeep.py",
        "    if name ~= FREE and value(consumer, 'pending') == 0 and value(consumer, 'idle') > idle_for then",
        "    if name ~= FREE and value(consumer, 'idle') > idle_for then",
        ("tests/redis_queue/test_queue.py::test_consumers_of_workers_that_left_are_cleared_away",),
    ),
    Mutation(
        "private queues of the dead stay private",
        f"{REDIS}/lua/upkeep.py",
        "  if is_private[member.queue] then move(member) end",
        "  if is_private[member] then move(member) end",
        (f"{ON_REDIS}::test_private_queue_of_a_dead_worker_goes_to_the_default_queue",),
    ),
    Mutation(
        "nobody looks around after the connection came back",
        f"{REDIS}/watcher.py",
        "            self._wake()  # what came while nobody listened\n",
        "",
        ("tests/redis_queue/test_watcher.py::test_watcher_comes_back_after_its_connection_was_killed",),
    ),
    Mutation(
        "a claim whose reply was lost is made again",
        f"{REDIS}/queue.py",
        "            repeatable=False,",
        "            repeatable=True,",
        ("tests/redis_queue/test_connection.py::test_claim_whose_reply_was_lost_is_not_made_twice",),
    ),
)
