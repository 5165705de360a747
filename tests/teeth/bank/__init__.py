"""All lies, from the core outwards."""

from tests.teeth.bank import (
    canceling,
    commands,
    core,
    forks,
    kinds,
    messages,
    outputs,
    people,
    pg_queue,
    programs,
    redis_queue,
    replay,
    sealing,
    store,
    store_sql,
    worker,
)

BANK = (
    *core.MUTATIONS,
    *replay.MUTATIONS,
    *canceling.MUTATIONS,
    *worker.MUTATIONS,
    *kinds.MUTATIONS,
    *store.MUTATIONS,
    *store_sql.MUTATIONS,
    *messages.MUTATIONS,
    *outputs.MUTATIONS,
    *forks.MUTATIONS,
    *people.MUTATIONS,
    *sealing.MUTATIONS,
    *pg_queue.MUTATIONS,
    *redis_queue.MUTATIONS,
    *commands.MUTATIONS,
    *programs.MUTATIONS,
)
