-- Version 1: the table, and the functions that are all that touches it but for statistics.
--
-- Functions, because a claim must have the same plan whatever is known of the table: it is nearly empty when it is
-- analyzed and full when it matters. Their settings leave the planner nothing but the indexes, and each connection of
-- the server plans them once, behind a pooler of transactions too.
--
-- Times are statement_timestamp(): now() is when the caller's transaction began, which may be long ago, and
-- clock_timestamp() is another one for each row, so that no index can be searched for it.

CREATE TABLE {table} (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    kind text COLLATE "C" NOT NULL CHECK (kind IN ('run', 'activity')),
    ref uuid NOT NULL,                       -- the run, or the activity's task
    queue text COLLATE "C" NOT NULL,
    priority smallint NOT NULL,              -- higher first
    preferred uuid,                          -- the worker that has the run in memory
    ready_at timestamptz NOT NULL,           -- since when, or from when on, it may be claimed
    place bigint,                            -- number of the transaction that made it ready; NULL while it is delayed
    rank bigint GENERATED ALWAYS AS (        -- what is claimed first: kind and priority, then place; see frontier.py
        (CASE kind WHEN 'run' THEN 32767 ELSE 98303 END - priority)::bigint << 45 | place
    ) STORED,
    worker uuid,                             -- who has claimed it
    leased_until timestamptz,                -- when the claim ends by itself
    deliveries integer NOT NULL DEFAULT 0,
    rings boolean NOT NULL                   -- whether those who listen are told when it is committed
) WITH (
    -- A claim writes one new version of a row, a quarter longer than the first. With room for it on the row's own page,
    -- and with no index on what it changes, the indexes do not hear of it. Measured, share of such updates: 100 % at 45
    -- and at 50, 99 % at 70, 79 % at 100; while a snapshot is held and nothing can be removed, 100, 89, 51 and 0 %.
    fillfactor = 45,
    -- A queue is small and dies fast: vacuum by the number of dead rows (not by a share of rows that change by the
    -- second), at full speed, and the indexes each time (they are skipped when few pages have dead rows).
    autovacuum_vacuum_scale_factor = 0,
    autovacuum_vacuum_threshold = 2000,
    autovacuum_vacuum_cost_delay = 0,
    vacuum_index_cleanup = on,
    -- To give pages back, vacuum would lock everybody out of a table that will need them again in a minute.
    vacuum_truncate = off
);

-- What can be claimed, or is claimed, in the order in which it is.
CREATE INDEX {name}_ready ON {table} (rank, id) WHERE rank IS NOT NULL;

-- What is delayed, by when its delay is over.
CREATE INDEX {name}_delayed ON {table} (ready_at) WHERE rank IS NULL;

-- Wake-ups of one run.
CREATE INDEX {name}_twins ON {table} (ref) WHERE kind = 'run';

-- When somebody was notified last, in ms. A sequence, because what is written to it is seen by all at once, and makes
-- nobody wait.
CREATE SEQUENCE {schema}.{name}_bell MINVALUE 0 START 0 OWNED BY {table}.id;


-- Tell those who listen, unless somebody has just done so: commits that notify go one by one in the whole server, each
-- with its own wait for the disk. Listeners look again a little later for what was not told.
CREATE FUNCTION {schema}.{name}_ring() RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    moment bigint := extract(epoch FROM clock_timestamp()) * 1000;
BEGIN
    IF moment - (SELECT last_value FROM {schema}.{name}_bell) NOT BETWEEN 0 AND {quiet} THEN
        PERFORM setval('{schema}.{name}_bell', moment);
        PERFORM pg_notify('{channel}', '');
    END IF;
END $$;

CREATE FUNCTION {schema}.{name}_ring_at_commit() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM {schema}.{name}_ring();
    RETURN NULL;
END $$;

-- At the commit: others would be silent for the sake of a transaction that goes on for long, or is rolled back.
CREATE CONSTRAINT TRIGGER {name}_rings AFTER INSERT ON {table} DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW WHEN (NEW.rings) EXECUTE FUNCTION {schema}.{name}_ring_at_commit();


-- New entries, in the order given.
--
-- A wake-up is left out where the run has another that is ready and unclaimed (a twin), because who claims that will
-- see what this one stands for. That is so in two cases:
--
-- * Nothing is pending (*settled*: this statement is a transaction of its own, and what it stands for was committed
--   before). The twin was unclaimed when this statement's snapshot was taken, so its claim commits later, and the
--   claimer reads the mailbox later still.
-- * The twin is of this very transaction: nobody can claim it before both are committed.
--
-- Any other twin could be claimed now, and its claimer read the mailbox before our transaction commits. To lock it
-- would keep it from its claimer until then, and with it all who had left theirs out for it: a long transaction would
-- put the run to sleep. So the entry is added, and a later claim takes both.
CREATE FUNCTION {schema}.{name}_enqueue(
    kinds text[], refs uuid[], queues text[], priorities smallint[], preferences uuid[],
    delay double precision, settled boolean, loud boolean
) RETURNS void LANGUAGE plpgsql {steered} AS $$
#variable_conflict use_column
DECLARE
    current bigint := pg_current_xact_id()::text::bigint;
BEGIN
    INSERT INTO {table} (kind, ref, queue, priority, preferred, ready_at, place, rings)
    SELECT e.kind, e.ref, e.queue, e.priority, e.preferred, statement_timestamp() + make_interval(secs => delay),
        CASE WHEN delay = 0 THEN current END, loud AND delay = 0 AND row_number() OVER (ORDER BY n) = 1
    FROM unnest(kinds, refs, queues, priorities, preferences)
        WITH ORDINALITY AS e(kind, ref, queue, priority, preferred, n)
    WHERE delay > 0 OR e.kind <> 'run' OR NOT EXISTS (
        SELECT FROM {table} twin
        WHERE twin.kind = 'run' AND twin.ref = e.ref AND twin.queue = e.queue AND twin.priority = e.priority
            AND twin.worker IS NULL AND (twin.place = current OR settled AND twin.place IS NOT NULL)
            AND (twin.preferred IS NULL OR twin.preferred = e.preferred)
    )
    ORDER BY n;
END $$;


-- Up to so many ready entries of each kind for one worker.
--
-- *ranges* say where to look: the rank to begin at and the rank to end before, the first range first; see frontier.py.
-- Nothing here waits for anybody.
CREATE FUNCTION {schema}.{name}_claim(
    claimer uuid, run_limit integer, activity_limit integer, run_ranges bigint[], activity_ranges bigint[],
    named boolean, queues text[], lease double precision, preference double precision, settled boolean
) RETURNS SETOF {table} LANGUAGE plpgsql {steered} AS $$
#variable_conflict use_column
BEGIN
    -- A claim that a crash of the server loses is ready again, so one that is a transaction of its own (*settled*) need
    -- not wait for the disk. What its worker commits later is written behind it, and not without it.
    IF settled THEN
        PERFORM set_config('synchronous_commit', 'off', true);
    END IF;
    -- What was delayed and is due is ready now, whoever may have it.
    UPDATE {table} SET place = pg_current_xact_id()::text::bigint
    WHERE id = ANY (ARRAY(
        SELECT id FROM {table} WHERE rank IS NULL AND ready_at <= statement_timestamp()
        ORDER BY ready_at LIMIT 1000 FOR UPDATE SKIP LOCKED
    ));

    RETURN QUERY
    WITH runs AS (
        SELECT found.* FROM generate_subscripts(run_ranges, 1) n CROSS JOIN LATERAL (
            SELECT id, ref, queue FROM {table}
            WHERE rank >= run_ranges[n][1] AND rank < run_ranges[n][2]
                AND CASE WHEN named THEN queue = ANY (queues)
                    ELSE queue <> ALL (queues) AND NOT starts_with(queue, '{private}') END
                AND (worker IS NULL OR leased_until <= statement_timestamp())
                AND (preferred IS NULL OR preferred = claimer OR deliveries > 0
                    OR ready_at <= statement_timestamp() - make_interval(secs => preference))
            ORDER BY rank, id LIMIT run_limit FOR UPDATE SKIP LOCKED
        ) found LIMIT run_limit
    ), activities AS (
        SELECT found.* FROM generate_subscripts(activity_ranges, 1) n CROSS JOIN LATERAL (
            SELECT id, ref, queue FROM {table}
            WHERE rank >= activity_ranges[n][1] AND rank < activity_ranges[n][2]
                AND CASE WHEN named THEN queue = ANY (queues)
                    ELSE queue <> ALL (queues) AND NOT starts_with(queue, '{private}') END
                AND (worker IS NULL OR leased_until <= statement_timestamp())
                AND (preferred IS NULL OR preferred = claimer OR deliveries > 0
                    OR ready_at <= statement_timestamp() - make_interval(secs => preference))
            ORDER BY rank, id LIMIT activity_limit FOR UPDATE SKIP LOCKED
        ) found LIMIT activity_limit
    ), twins AS (
        -- Other wake-ups of the same runs: what they stand for is committed, so this claim stands for it too.
        SELECT twin.id FROM runs CROSS JOIN LATERAL (
            SELECT id FROM {table}
            WHERE kind = 'run' AND ref = runs.ref AND queue = runs.queue AND place IS NOT NULL AND worker IS NULL
                AND id <> ALL (ARRAY(SELECT id FROM runs))
            OFFSET 0 FOR UPDATE SKIP LOCKED
        ) twin
    ), spared AS (
        DELETE FROM {table} WHERE id = ANY (ARRAY(SELECT id FROM twins))
    )
    UPDATE {table} entry SET
        worker = claimer, leased_until = statement_timestamp() + make_interval(secs => lease),
        deliveries = LEAST(deliveries, 2147483646) + 1  -- what somebody has written there must not stop every claim
    WHERE id = ANY (ARRAY(SELECT id FROM runs UNION ALL SELECT id FROM activities))
    RETURNING entry.*;
END $$;


-- For each range the first entry in it that a worker of these queues may get to see, claimed or not, or NULL; the
-- snapshot in which that is so; and which server says it (transactions of another one are numbered otherwise).
CREATE FUNCTION {schema}.{name}_survey(ranges bigint[], named boolean, queues text[])
RETURNS TABLE (n integer, rank bigint, snapshot text, server text) LANGUAGE plpgsql {steered} AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY
    SELECT n, first.rank, pg_current_snapshot()::text,
        extract(epoch FROM pg_postmaster_start_time())::text
    FROM generate_subscripts(ranges, 1) n LEFT JOIN LATERAL (
        SELECT rank FROM {table}
        WHERE rank >= ranges[n][1] AND rank < ranges[n][2]
            AND CASE WHEN named THEN queue = ANY (queues)
                ELSE queue <> ALL (queues) AND NOT starts_with(queue, '{private}') END
        ORDER BY rank, id LIMIT 1
    ) first ON true;
END $$;


-- Remove what a worker has claimed. A claim that it lost has another worker or another number by now.
CREATE FUNCTION {schema}.{name}_complete(workers uuid[], ids bigint[], numbers integer[])
RETURNS void LANGUAGE plpgsql {steered} AS $$
#variable_conflict use_column
BEGIN
    DELETE FROM {table} entry USING unnest(workers, ids, numbers) AS claim(worker, id, number)
    WHERE entry.id = claim.id AND entry.worker = claim.worker AND entry.deliveries = claim.number;
END $$;


-- Give back what a worker has claimed. It keeps its place, unless it is delayed.
CREATE FUNCTION {schema}.{name}_release(
    workers uuid[], ids bigint[], numbers integer[], delay double precision, loud boolean
) RETURNS void LANGUAGE plpgsql {steered} AS $$
#variable_conflict use_column
BEGIN
    UPDATE {table} entry SET
        worker = NULL, leased_until = NULL, ready_at = statement_timestamp() + make_interval(secs => delay),
        place = CASE WHEN delay = 0 THEN entry.place END
    FROM unnest(workers, ids, numbers) AS claim(worker, id, number)
    WHERE entry.id = claim.id AND entry.worker = claim.worker AND entry.deliveries = claim.number;
    IF FOUND AND loud AND delay = 0 THEN
        PERFORM {schema}.{name}_ring();
    END IF;
END $$;


-- Give back what dead workers had claimed, and move what stands in their private queues; answers the former.
-- What one of them is just completing, in a transaction that goes on, is left to it.
CREATE FUNCTION {schema}.{name}_release_dead(workers uuid[], private text[], destination text, loud boolean)
RETURNS SETOF {table} LANGUAGE plpgsql SET jit = off AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY
    WITH theirs AS (
        SELECT id, worker = ANY (workers) AND leased_until > statement_timestamp() AS claimed FROM {table}
        WHERE worker = ANY (workers) AND leased_until > statement_timestamp() OR queue = ANY (private)
        FOR UPDATE SKIP LOCKED
    ), moved AS (
        UPDATE {table} entry SET
            queue = CASE WHEN queue = ANY (private) THEN destination ELSE queue END,
            -- Those who serve the new queue have not seen it coming: it goes to the end.
            place = CASE WHEN queue = ANY (private) AND place IS NOT NULL
                THEN pg_current_xact_id()::text::bigint ELSE place END,
            ready_at = CASE WHEN theirs.claimed THEN statement_timestamp() ELSE ready_at END,
            worker = CASE WHEN theirs.claimed THEN NULL ELSE worker END,
            leased_until = CASE WHEN theirs.claimed THEN NULL ELSE leased_until END
        FROM theirs WHERE entry.id = theirs.id
        RETURNING entry AS given_back, theirs.claimed
    )
    SELECT (given_back).* FROM moved WHERE claimed;
    IF loud THEN
        PERFORM {schema}.{name}_ring();
    END IF;
END $$;
