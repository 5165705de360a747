SET check_function_bodies = false;
CREATE TABLE public.durable_queue (
    id bigint NOT NULL,
    kind text NOT NULL COLLATE pg_catalog."C",
    ref uuid NOT NULL,
    queue text NOT NULL COLLATE pg_catalog."C",
    priority smallint NOT NULL,
    preferred uuid,
    ready_at timestamp with time zone NOT NULL,
    place bigint,
    rank bigint GENERATED ALWAYS AS (((((
CASE kind
    WHEN 'run'::text THEN 32767
    ELSE 98303
END - priority))::bigint << 45) | place)) STORED,
    worker uuid,
    leased_until timestamp with time zone,
    deliveries integer DEFAULT 0 NOT NULL,
    rings boolean NOT NULL,
    CONSTRAINT durable_queue_kind_check CHECK ((kind = ANY (ARRAY['run'::text, 'activity'::text])))
)
WITH (fillfactor='45', autovacuum_vacuum_scale_factor='0', autovacuum_vacuum_threshold='2000', autovacuum_vacuum_cost_delay='0', vacuum_index_cleanup='on', vacuum_truncate=off);
COMMENT ON TABLE public.durable_queue IS 'durable-pg-queue, version 1';
CREATE FUNCTION public.durable_queue_claim(claimer uuid, run_limit integer, activity_limit integer, run_ranges bigint[], activity_ranges bigint[], named boolean, queues text[], lease double precision, preference double precision, settled boolean) RETURNS SETOF public.durable_queue
    LANGUAGE plpgsql
    SET plan_cache_mode TO 'force_generic_plan'
    SET enable_seqscan TO 'off'
    SET enable_bitmapscan TO 'off'
    SET enable_sort TO 'off'
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
    SET jit TO 'off'
    AS $$
#variable_conflict use_column
BEGIN
    -- A claim that a crash of the server loses is ready again, so one that is a transaction of its own (*settled*) need
    -- not wait for the disk. What its worker commits later is written behind it, and not without it.
    IF settled THEN
        PERFORM set_config('synchronous_commit', 'off', true);
    END IF;
    -- What was delayed and is due is ready now, whoever may have it.
    UPDATE "public"."durable_queue" SET place = pg_current_xact_id()::text::bigint
    WHERE id = ANY (ARRAY(
        SELECT id FROM "public"."durable_queue" WHERE rank IS NULL AND ready_at <= statement_timestamp()
        ORDER BY ready_at LIMIT 1000 FOR UPDATE SKIP LOCKED
    ));
    RETURN QUERY
    WITH runs AS (
        SELECT found.* FROM generate_subscripts(run_ranges, 1) n CROSS JOIN LATERAL (
            SELECT id, ref, queue FROM "public"."durable_queue"
            WHERE rank >= run_ranges[n][1] AND rank < run_ranges[n][2]
                AND CASE WHEN named THEN queue = ANY (queues)
                    ELSE queue <> ALL (queues) AND NOT starts_with(queue, 'local:') END
                AND (worker IS NULL OR leased_until <= statement_timestamp())
                AND (preferred IS NULL OR preferred = claimer OR deliveries > 0
                    OR ready_at <= statement_timestamp() - make_interval(secs => preference))
            ORDER BY rank, id LIMIT run_limit FOR UPDATE SKIP LOCKED
        ) found LIMIT run_limit
    ), activities AS (
        SELECT found.* FROM generate_subscripts(activity_ranges, 1) n CROSS JOIN LATERAL (
            SELECT id, ref, queue FROM "public"."durable_queue"
            WHERE rank >= activity_ranges[n][1] AND rank < activity_ranges[n][2]
                AND CASE WHEN named THEN queue = ANY (queues)
                    ELSE queue <> ALL (queues) AND NOT starts_with(queue, 'local:') END
                AND (worker IS NULL OR leased_until <= statement_timestamp())
                AND (preferred IS NULL OR preferred = claimer OR deliveries > 0
                    OR ready_at <= statement_timestamp() - make_interval(secs => preference))
            ORDER BY rank, id LIMIT activity_limit FOR UPDATE SKIP LOCKED
        ) found LIMIT activity_limit
    ), twins AS (
        -- Other wake-ups of the same runs: what they stand for is committed, so this claim stands for it too.
        SELECT twin.id FROM runs CROSS JOIN LATERAL (
            SELECT id FROM "public"."durable_queue"
            WHERE kind = 'run' AND ref = runs.ref AND queue = runs.queue AND place IS NOT NULL AND worker IS NULL
                AND id <> ALL (ARRAY(SELECT id FROM runs))
            OFFSET 0 FOR UPDATE SKIP LOCKED
        ) twin
    ), spared AS (
        DELETE FROM "public"."durable_queue" WHERE id = ANY (ARRAY(SELECT id FROM twins))
    )
    UPDATE "public"."durable_queue" entry SET
        worker = claimer, leased_until = statement_timestamp() + make_interval(secs => lease),
        deliveries = LEAST(deliveries, 2147483646) + 1  -- what somebody has written there must not stop every claim
    WHERE id = ANY (ARRAY(SELECT id FROM runs UNION ALL SELECT id FROM activities))
    RETURNING entry.*;
END $$;
CREATE FUNCTION public.durable_queue_complete(workers uuid[], ids bigint[], numbers integer[]) RETURNS void
    LANGUAGE plpgsql
    SET plan_cache_mode TO 'force_generic_plan'
    SET enable_seqscan TO 'off'
    SET enable_bitmapscan TO 'off'
    SET enable_sort TO 'off'
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
    SET jit TO 'off'
    AS $$
#variable_conflict use_column
BEGIN
    DELETE FROM "public"."durable_queue" entry USING unnest(workers, ids, numbers) AS claim(worker, id, number)
    WHERE entry.id = claim.id AND entry.worker = claim.worker AND entry.deliveries = claim.number;
END $$;
CREATE FUNCTION public.durable_queue_enqueue(kinds text[], refs uuid[], queues text[], priorities smallint[], preferences uuid[], delay double precision, settled boolean, loud boolean) RETURNS void
    LANGUAGE plpgsql
    SET plan_cache_mode TO 'force_generic_plan'
    SET enable_seqscan TO 'off'
    SET enable_bitmapscan TO 'off'
    SET enable_sort TO 'off'
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
    SET jit TO 'off'
    AS $$
#variable_conflict use_column
DECLARE
    current bigint := pg_current_xact_id()::text::bigint;
BEGIN
    INSERT INTO "public"."durable_queue" (kind, ref, queue, priority, preferred, ready_at, place, rings)
    SELECT e.kind, e.ref, e.queue, e.priority, e.preferred, statement_timestamp() + make_interval(secs => delay),
        CASE WHEN delay = 0 THEN current END, loud AND delay = 0 AND row_number() OVER (ORDER BY n) = 1
    FROM unnest(kinds, refs, queues, priorities, preferences)
        WITH ORDINALITY AS e(kind, ref, queue, priority, preferred, n)
    WHERE delay > 0 OR e.kind <> 'run' OR NOT EXISTS (
        SELECT FROM "public"."durable_queue" twin
        WHERE twin.kind = 'run' AND twin.ref = e.ref AND twin.queue = e.queue AND twin.priority = e.priority
            AND twin.worker IS NULL AND (twin.place = current OR settled AND twin.place IS NOT NULL)
            AND (twin.preferred IS NULL OR twin.preferred = e.preferred)
    )
    ORDER BY n;
END $$;
CREATE FUNCTION public.durable_queue_release(workers uuid[], ids bigint[], numbers integer[], delay double precision, loud boolean) RETURNS void
    LANGUAGE plpgsql
    SET plan_cache_mode TO 'force_generic_plan'
    SET enable_seqscan TO 'off'
    SET enable_bitmapscan TO 'off'
    SET enable_sort TO 'off'
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
    SET jit TO 'off'
    AS $$
#variable_conflict use_column
BEGIN
    UPDATE "public"."durable_queue" entry SET
        worker = NULL, leased_until = NULL, ready_at = statement_timestamp() + make_interval(secs => delay),
        place = CASE WHEN delay = 0 THEN entry.place END
    FROM unnest(workers, ids, numbers) AS claim(worker, id, number)
    WHERE entry.id = claim.id AND entry.worker = claim.worker AND entry.deliveries = claim.number;
    IF FOUND AND loud AND delay = 0 THEN
        PERFORM "public".durable_queue_ring();
    END IF;
END $$;
CREATE FUNCTION public.durable_queue_release_dead(workers uuid[], private text[], destination text, loud boolean) RETURNS SETOF public.durable_queue
    LANGUAGE plpgsql
    SET jit TO 'off'
    AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY
    WITH theirs AS (
        SELECT id, worker = ANY (workers) AND leased_until > statement_timestamp() AS claimed FROM "public"."durable_queue"
        WHERE worker = ANY (workers) AND leased_until > statement_timestamp() OR queue = ANY (private)
        FOR UPDATE SKIP LOCKED
    ), moved AS (
        UPDATE "public"."durable_queue" entry SET
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
        PERFORM "public".durable_queue_ring();
    END IF;
END $$;
CREATE FUNCTION public.durable_queue_ring() RETURNS void
    LANGUAGE plpgsql
    AS $$
DECLARE
    moment bigint := extract(epoch FROM clock_timestamp()) * 1000;
BEGIN
    IF moment - (SELECT last_value FROM "public".durable_queue_bell) NOT BETWEEN 0 AND 10 THEN
        PERFORM setval('"public".durable_queue_bell', moment);
        PERFORM pg_notify('durable_queue', '');
    END IF;
END $$;
CREATE FUNCTION public.durable_queue_ring_at_commit() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
BEGIN
    PERFORM "public".durable_queue_ring();
    RETURN NULL;
END $$;
CREATE FUNCTION public.durable_queue_survey(ranges bigint[], named boolean, queues text[]) RETURNS TABLE(n integer, rank bigint, snapshot text, server text)
    LANGUAGE plpgsql
    SET plan_cache_mode TO 'force_generic_plan'
    SET enable_seqscan TO 'off'
    SET enable_bitmapscan TO 'off'
    SET enable_sort TO 'off'
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
    SET jit TO 'off'
    AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY
    SELECT n, first.rank, pg_current_snapshot()::text,
        extract(epoch FROM pg_postmaster_start_time())::text
    FROM generate_subscripts(ranges, 1) n LEFT JOIN LATERAL (
        SELECT rank FROM "public"."durable_queue"
        WHERE rank >= ranges[n][1] AND rank < ranges[n][2]
            AND CASE WHEN named THEN queue = ANY (queues)
                ELSE queue <> ALL (queues) AND NOT starts_with(queue, 'local:') END
        ORDER BY rank, id LIMIT 1
    ) first ON true;
END $$;
CREATE TABLE public.django_durable_activitytask (
    id uuid NOT NULL,
    activity_name character varying(255) NOT NULL,
    status character varying(24) NOT NULL,
    attempt integer NOT NULL,
    call_id character varying(255) NOT NULL,
    input text NOT NULL,
    result text,
    error text NOT NULL,
    failure text,
    token integer NOT NULL,
    worker_id uuid,
    queue character varying(255) NOT NULL,
    priority smallint NOT NULL,
    retry_policy text NOT NULL,
    scheduled_at timestamp with time zone NOT NULL,
    queued_at timestamp with time zone NOT NULL,
    started_at timestamp with time zone,
    finished_at timestamp with time zone,
    retry_at timestamp with time zone,
    expires_at timestamp with time zone,
    schedule_to_start double precision,
    start_to_close double precision,
    heartbeat_timeout double precision,
    heartbeat_at timestamp with time zone,
    heartbeat_details text,
    crashes integer NOT NULL,
    cancel_requested boolean NOT NULL,
    due_at timestamp with time zone,
    execution_id uuid NOT NULL
);
CREATE TABLE public.django_durable_historyevent (
    id bigint NOT NULL,
    seq integer NOT NULL,
    type character varying(64) NOT NULL,
    call_id character varying(255),
    details text NOT NULL,
    created_at timestamp with time zone NOT NULL,
    execution_id uuid NOT NULL
);
ALTER TABLE public.django_durable_historyevent ALTER COLUMN id ADD GENERATED BY DEFAULT AS IDENTITY (
    SEQUENCE NAME public.django_durable_historyevent_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);
CREATE TABLE public.django_durable_mail (
    id bigint NOT NULL,
    type character varying(64) NOT NULL,
    call_id character varying(255),
    details text NOT NULL,
    created_at timestamp with time zone NOT NULL,
    due_at timestamp with time zone,
    execution_id uuid NOT NULL
)
WITH (autovacuum_vacuum_scale_factor='0', autovacuum_vacuum_threshold='2000');
ALTER TABLE public.django_durable_mail ALTER COLUMN id ADD GENERATED BY DEFAULT AS IDENTITY (
    SEQUENCE NAME public.django_durable_mail_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);
CREATE TABLE public.django_durable_queueentry (
    id bigint NOT NULL,
    kind character varying(8) NOT NULL,
    ref uuid NOT NULL,
    queue character varying(255) NOT NULL,
    priority smallint NOT NULL,
    preferred uuid,
    visible_at timestamp with time zone NOT NULL,
    worker_id uuid,
    deliveries integer NOT NULL
)
WITH (fillfactor='50', autovacuum_vacuum_scale_factor='0', autovacuum_vacuum_threshold='2000');
ALTER TABLE public.django_durable_queueentry ALTER COLUMN id ADD GENERATED BY DEFAULT AS IDENTITY (
    SEQUENCE NAME public.django_durable_queueentry_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);
CREATE TABLE public.django_durable_worker (
    id uuid NOT NULL,
    host character varying(255) NOT NULL,
    pid integer NOT NULL,
    queues text NOT NULL,
    started_at timestamp with time zone NOT NULL,
    heartbeat_at timestamp with time zone NOT NULL,
    exclude text
);
CREATE TABLE public.django_durable_workflowexecution (
    id uuid NOT NULL,
    workflow_name character varying(255) NOT NULL,
    workflow_id character varying(255),
    input text NOT NULL,
    status character varying(24) NOT NULL,
    result text,
    error text NOT NULL,
    parent_call_id character varying(255),
    cancel_with_parent boolean NOT NULL,
    queue character varying(255) NOT NULL,
    priority smallint NOT NULL,
    version bigint NOT NULL,
    history_length integer NOT NULL,
    start_at timestamp with time zone,
    deadline timestamp with time zone,
    due_at timestamp with time zone,
    waiting_for text,
    worker_id uuid,
    failures integer NOT NULL,
    crashes integer NOT NULL,
    created_at timestamp with time zone NOT NULL,
    updated_at timestamp with time zone NOT NULL,
    started_at timestamp with time zone,
    finished_at timestamp with time zone,
    parent_id uuid
);
CREATE TABLE public.django_migrations (
    id bigint NOT NULL,
    app character varying(255) NOT NULL,
    name character varying(255) NOT NULL,
    applied timestamp with time zone NOT NULL
);
ALTER TABLE public.django_migrations ALTER COLUMN id ADD GENERATED BY DEFAULT AS IDENTITY (
    SEQUENCE NAME public.django_migrations_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);
CREATE SEQUENCE public.durable_queue_bell
    START WITH 0
    INCREMENT BY 1
    MINVALUE 0
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE public.durable_queue_bell OWNED BY public.durable_queue.id;
ALTER TABLE public.durable_queue ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public.durable_queue_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);
INSERT INTO public.django_durable_activitytask VALUES ('01a2084b-cc22-7df6-beef-62c00356c997', 'echo', 'QUEUED', 0, '0', '{"args":["elsewhere"],"kwargs":{}}', NULL, '', NULL, 0, NULL, 'later', 0, '{"maximum_attempts":1}', '2026-11-23 12:05:14.929528+00', '2026-11-23 12:05:14.929528+00', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, 0, false, NULL, '01a2084b-ca78-7925-b094-404c5f650354');
INSERT INTO public.django_durable_activitytask VALUES ('01a2084b-cc2e-7dd9-a350-adb46c499178', 'echo', 'COMPLETED', 1, '0', '{"args":[1],"kwargs":{}}', '1', '', NULL, 1, '01a2084b-cbd5-70f6-aca2-b2a362ba98cf', 'strict', 0, '{"initial_interval":0.01,"maximum_interval":0.05}', '2026-11-23 12:05:14.931302+00', '2026-11-23 12:05:14.931302+00', '2026-11-23 12:05:14.931302+00', '2026-11-23 12:05:14.955946+00', NULL, NULL, NULL, NULL, NULL, NULL, NULL, 0, false, NULL, '01a2084b-ca7c-70d6-af9d-ac8e6e56e7e4');
INSERT INTO public.django_durable_activitytask VALUES ('01a2084b-cc21-75d7-9474-6a3057414a3b', 'echo', 'COMPLETED', 1, '0', '{"args":[1],"kwargs":{}}', '1', '', NULL, 1, '01a2084b-cbcc-7661-9ca8-3a4dcbe3dddd', 'default', 0, '{"initial_interval":0.01,"maximum_interval":0.05}', '2026-11-23 12:05:14.929528+00', '2026-11-23 12:05:14.929528+00', '2026-11-23 12:05:14.929528+00', '2026-11-23 12:05:14.968717+00', NULL, NULL, NULL, NULL, NULL, NULL, NULL, 0, false, NULL, '01a2084b-ca3c-7d69-a2e8-02c5a0ffc769');
INSERT INTO public.django_durable_activitytask VALUES ('01a2084b-cc22-7b4f-b94c-0a20bdab2a8c', 'fails_until_open', 'QUEUED', 1, '0', '{"args":["backoff"],"kwargs":{}}', NULL, 'ConnectionError: not yet', '{"type": "ConnectionError", "bases": ["OSError", "Exception", "BaseException"], "message": "not yet", "traceback": "  File \"/srv/project/packages/durable-core/src/durable_core/worker/executor.py\", line 285, in _call\n    value = self._value_of(attempt)\n            ^^^^^^^^^^^^^^^^^^^^^^^\n  File \"/srv/project/packages/durable-core/src/durable_core/worker/executor.py\", line 300, in _value_of\n    return _perform(attempt, args, kwargs)\n           ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^\n  File \"/srv/project/packages/durable-core/src/durable_core/worker/executor.py\", line 352, in _perform\n    value = attempt.definition.fn(*args, **kwargs)\n            ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^\n  File \"/srv/project/tests/histories/v0_1_0/durable_activities.py\", line 36, in fails_until_open\n    raise ConnectionError(\"not yet\")\n", "attempt": 1, "cause": null}', 2, NULL, 'default', 0, '{"initial_interval":20}', '2026-11-23 12:05:14.929528+00', '2026-11-23 12:05:34.970378+00', '2026-11-23 12:05:14.929528+00', NULL, '2026-11-23 12:05:34.970378+00', NULL, NULL, NULL, NULL, NULL, NULL, 0, false, '2026-11-23 12:05:34.970378+00', '01a2084b-ca6e-7608-8c2b-19e67330b02e');
INSERT INTO public.django_durable_activitytask VALUES ('01a2084b-cc21-79b8-9c75-7a3188fb1dc7', 'echo', 'FAILED', 0, '0', '{"args":[1],"kwargs":{}}', NULL, 'workflow canceled', NULL, 0, NULL, 'nobody', 0, '{"initial_interval":0.01,"maximum_interval":0.05}', '2026-11-23 12:05:14.929528+00', '2026-11-23 12:05:14.929528+00', NULL, '2026-11-23 12:05:14.99378+00', NULL, NULL, NULL, NULL, NULL, NULL, NULL, 0, false, NULL, '01a2084b-ca42-7fe1-8538-d1ce06fc5888');
INSERT INTO public.django_durable_activitytask VALUES ('01a2084b-cc22-7c9c-b673-8a0e08c39a37', 'goes_on', 'RUNNING', 1, '0', '{"args":["crash"],"kwargs":{}}', NULL, '', NULL, 1, '01a2084b-cbcc-7661-9ca8-3a4dcbe3dddd', 'default', 0, '{"initial_interval":0.01,"maximum_interval":0.05}', '2026-11-23 12:05:14.929528+00', '2026-11-23 12:05:14.929528+00', '2026-11-23 12:05:14.929528+00', NULL, NULL, NULL, NULL, NULL, NULL, '2026-11-23 12:05:15.857544+00', '{"at":7}', 0, false, NULL, '01a2084b-ca74-75c7-ae9c-21e1d98fa89b');
INSERT INTO public.django_durable_historyevent VALUES (1, 1, 'workflow_started', NULL, '{"workflow_name":"returns_none","input":{}}', '2026-11-23 12:05:14.912601+00', '01a2084b-ca27-7def-bef6-4bd2eddafe2b');
INSERT INTO public.django_durable_historyevent VALUES (2, 2, 'workflow_completed', NULL, '{"result":null}', '2026-11-23 12:05:14.912601+00', '01a2084b-ca27-7def-bef6-4bd2eddafe2b');
INSERT INTO public.django_durable_historyevent VALUES (3, 1, 'workflow_started', NULL, '{"workflow_name":"fails","input":{}}', '2026-11-23 12:05:14.912601+00', '01a2084b-ca3c-7d69-a2e8-02c5a0ffc769');
INSERT INTO public.django_durable_historyevent VALUES (4, 2, 'activity_scheduled', '0', '{"activity_name":"echo","input":{"args":[1],"kwargs":{}}}', '2026-11-23 12:05:14.912601+00', '01a2084b-ca3c-7d69-a2e8-02c5a0ffc769');
INSERT INTO public.django_durable_historyevent VALUES (5, 1, 'workflow_started', NULL, '{"workflow_name":"canceled_outside","input":{}}', '2026-11-23 12:05:14.912601+00', '01a2084b-ca42-7fe1-8538-d1ce06fc5888');
INSERT INTO public.django_durable_historyevent VALUES (6, 2, 'activity_scheduled', '0', '{"activity_name":"echo","input":{"args":[1],"kwargs":{}}}', '2026-11-23 12:05:14.912601+00', '01a2084b-ca42-7fe1-8538-d1ce06fc5888');
INSERT INTO public.django_durable_historyevent VALUES (7, 3, 'signal_wait_started', '1', '{"name":"never","fire_at":null}', '2026-11-23 12:05:14.912601+00', '01a2084b-ca42-7fe1-8538-d1ce06fc5888');
INSERT INTO public.django_durable_historyevent VALUES (8, 1, 'workflow_started', NULL, '{"workflow_name":"child","input":{"then":"waits"}}', '2026-11-23 12:05:14.912601+00', '01a2084b-ca44-73ea-b77b-c4cef84963f0');
INSERT INTO public.django_durable_historyevent VALUES (9, 2, 'signal_wait_started', '0', '{"name":"never","fire_at":null}', '2026-11-23 12:05:14.912601+00', '01a2084b-ca44-73ea-b77b-c4cef84963f0');
INSERT INTO public.django_durable_historyevent VALUES (10, 3, 'workflow_timed_out', NULL, '{"deadline":"2026-11-23T12:05:14.482643+00:00"}', '2026-11-23 12:05:14.912601+00', '01a2084b-ca44-73ea-b77b-c4cef84963f0');
INSERT INTO public.django_durable_historyevent VALUES (11, 1, 'workflow_started', NULL, '{"workflow_name":"sleeps","input":{"seconds":20}}', '2026-11-23 12:05:14.912601+00', '01a2084b-ca49-7205-bdb1-a801ea4323d3');
INSERT INTO public.django_durable_historyevent VALUES (12, 2, 'timer_started', '0', '{"fire_at":"2026-11-23T12:05:14.912601+00:00","waits_for":null}', '2026-11-23 12:05:14.912601+00', '01a2084b-ca49-7205-bdb1-a801ea4323d3');
INSERT INTO public.django_durable_historyevent VALUES (13, 3, 'timer_fired', '0', '{}', '2026-11-23 12:05:14.912601+00', '01a2084b-ca49-7205-bdb1-a801ea4323d3');
INSERT INTO public.django_durable_historyevent VALUES (14, 4, 'timer_started', '1', '{"fire_at":"2026-11-23T12:05:34.912601+00:00","waits_for":null}', '2026-11-23 12:05:14.912601+00', '01a2084b-ca49-7205-bdb1-a801ea4323d3');
INSERT INTO public.django_durable_historyevent VALUES (15, 1, 'workflow_started', NULL, '{"workflow_name":"child_that_waits","input":{}}', '2026-11-23 12:05:14.912601+00', '01a2084b-ca60-72a5-8b77-c90cab540662');
INSERT INTO public.django_durable_historyevent VALUES (16, 2, 'signal_wait_started', '0', '{"name":"go","fire_at":null}', '2026-11-23 12:05:14.912601+00', '01a2084b-ca60-72a5-8b77-c90cab540662');
INSERT INTO public.django_durable_historyevent VALUES (17, 1, 'workflow_started', NULL, '{"workflow_name":"child_that_waits","input":{}}', '2026-11-23 12:05:14.912601+00', '01a2084b-ca61-70bd-8bd9-a046c0088e0f');
INSERT INTO public.django_durable_historyevent VALUES (18, 2, 'signal_wait_started', '0', '{"name":"go","fire_at":null}', '2026-11-23 12:05:14.912601+00', '01a2084b-ca61-70bd-8bd9-a046c0088e0f');
INSERT INTO public.django_durable_historyevent VALUES (19, 1, 'workflow_started', NULL, '{"workflow_name":"canceled_inside","input":{}}', '2026-11-23 12:05:14.912601+00', '01a2084b-ca61-7d67-96d3-a85ffc351530');
INSERT INTO public.django_durable_historyevent VALUES (20, 2, 'signal_wait_started', '0', '{"name":"never","fire_at":null}', '2026-11-23 12:05:14.912601+00', '01a2084b-ca61-7d67-96d3-a85ffc351530');
INSERT INTO public.django_durable_historyevent VALUES (21, 1, 'workflow_started', NULL, '{"workflow_name":"values","input":{"given":{"text":"ASCII, \u00e9, e\u0301, \u2603, \ud83d\ude42, \u0000, \ud800, \u2028, \"quotes\" and \\ and </script>","numbers":[0,-1,9007199254740993,1000000000000000000000000000000,0.1,-0.0,1e+22,1e-07,1.7976931348623157e+308],"names":{"":1,"z":2,"a":3,"\u00e9":4,"1":5},"falsy":[null,false,0,"",[],{}],"tuple":[1,[2,3]],"keys":{"7":"seven","null":"none","true":"true"},"result":"\"result\":{\"payload\":null}","long":"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"}}}', '2026-11-23 12:05:14.912601+00', '01a2084b-ca64-7b43-88bd-ef92eb3f3da9');
INSERT INTO public.django_durable_historyevent VALUES (22, 2, 'side_effect_recorded', '0', '{"failure":null,"result":{"text":"ASCII, \u00e9, e\u0301, \u2603, \ud83d\ude42, \u0000, \ud800, \u2028, \"quotes\" and \\ and </script>","numbers":[0,-1,9007199254740993,1000000000000000000000000000000,0.1,-0.0,1e+22,1e-07,1.7976931348623157e+308],"names":{"":1,"z":2,"a":3,"\u00e9":4,"1":5},"falsy":[null,false,0,"",[],{}],"tuple":[1,[2,3]],"keys":{"7":"seven","null":"none","true":"true"},"result":"\"result\":{\"payload\":null}","long":"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"}}', '2026-11-23 12:05:14.912601+00', '01a2084b-ca64-7b43-88bd-ef92eb3f3da9');
INSERT INTO public.django_durable_historyevent VALUES (23, 3, 'signal_wait_started', '1', '{"name":"values","fire_at":null}', '2026-11-23 12:05:14.912601+00', '01a2084b-ca64-7b43-88bd-ef92eb3f3da9');
INSERT INTO public.django_durable_historyevent VALUES (24, 1, 'workflow_started', NULL, '{"workflow_name":"waits_for_child","input":{}}', '2026-11-23 12:05:14.912601+00', '01a2084b-ca67-7db9-87f5-f6c23396db2c');
INSERT INTO public.django_durable_historyevent VALUES (25, 2, 'child_workflow_scheduled', '0', '{"workflow_name":"child_that_waits","child_id":"820ffac8-0f4b-58bd-9fd2-78e5aa37ba8f","input":{}}', '2026-11-23 12:05:14.912601+00', '01a2084b-ca67-7db9-87f5-f6c23396db2c');
INSERT INTO public.django_durable_historyevent VALUES (26, 1, 'workflow_started', NULL, '{"workflow_name":"in_backoff","input":{"gate":"backoff"}}', '2026-11-23 12:05:14.912601+00', '01a2084b-ca6e-7608-8c2b-19e67330b02e');
INSERT INTO public.django_durable_historyevent VALUES (27, 2, 'activity_scheduled', '0', '{"activity_name":"fails_until_open","input":{"args":["backoff"],"kwargs":{}}}', '2026-11-23 12:05:14.912601+00', '01a2084b-ca6e-7608-8c2b-19e67330b02e');
INSERT INTO public.django_durable_historyevent VALUES (28, 1, 'workflow_started', NULL, '{"workflow_name":"hit_by_a_crash","input":{"gate":"crash"}}', '2026-11-23 12:05:14.912601+00', '01a2084b-ca74-75c7-ae9c-21e1d98fa89b');
INSERT INTO public.django_durable_historyevent VALUES (29, 2, 'activity_scheduled', '0', '{"activity_name":"goes_on","input":{"args":["crash"],"kwargs":{}}}', '2026-11-23 12:05:14.912601+00', '01a2084b-ca74-75c7-ae9c-21e1d98fa89b');
INSERT INTO public.django_durable_historyevent VALUES (30, 1, 'workflow_started', NULL, '{"workflow_name":"queued_elsewhere","input":{}}', '2026-11-23 12:05:14.912601+00', '01a2084b-ca78-7925-b094-404c5f650354');
INSERT INTO public.django_durable_historyevent VALUES (31, 2, 'activity_scheduled', '0', '{"activity_name":"echo","input":{"args":["elsewhere"],"kwargs":{}}}', '2026-11-23 12:05:14.912601+00', '01a2084b-ca78-7925-b094-404c5f650354');
INSERT INTO public.django_durable_historyevent VALUES (32, 1, 'workflow_started', NULL, '{"workflow_name":"child","input":{"then":"waits"}}', '2026-11-23 12:05:14.912601+00', '01a2084b-ca7c-7a86-9940-6db30177ee24');
INSERT INTO public.django_durable_historyevent VALUES (33, 2, 'signal_wait_started', '0', '{"name":"never","fire_at":null}', '2026-11-23 12:05:14.912601+00', '01a2084b-ca7c-7a86-9940-6db30177ee24');
INSERT INTO public.django_durable_historyevent VALUES (34, 1, 'workflow_started', NULL, '{"workflow_name":"blocked","input":{"gate":"mended"}}', '2026-11-23 12:05:14.925878+00', '01a2084b-ca7c-70d6-af9d-ac8e6e56e7e4');
INSERT INTO public.django_durable_historyevent VALUES (35, 2, 'activity_scheduled', '0', '{"activity_name":"echo","input":{"args":[1],"kwargs":{}}}', '2026-11-23 12:05:14.925878+00', '01a2084b-ca7c-70d6-af9d-ac8e6e56e7e4');
INSERT INTO public.django_durable_historyevent VALUES (36, 3, 'activity_completed', '0', '{"attempt":1,"result":1}', '2026-11-23 12:05:14.966754+00', '01a2084b-ca3c-7d69-a2e8-02c5a0ffc769');
INSERT INTO public.django_durable_historyevent VALUES (37, 4, 'workflow_failed', NULL, '{"failure":{"type":"RuntimeError","bases":["Exception","BaseException"],"message":"the workflow''s own","traceback":"  File \"/srv/project/packages/durable-core/src/durable_core/replay.py\", line 209, in _main\n    value = self._definition.fn(WorkflowContext(self._engine), **decode(self._input))\n            ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^\n  File \"/srv/project/tests/histories/v0_1_0/durable_workflows.py\", line 224, in fails\n    raise RuntimeError(\"the workflow''s own\") from cause\n","attempt":0,"cause":{"type":"KeyError","bases":["LookupError","Exception","BaseException"],"message":"''cause''","traceback":"  File \"/srv/project/tests/histories/v0_1_0/durable_workflows.py\", line 222, in fails\n    raise KeyError(\"cause\")\n","attempt":0,"cause":null}}}', '2026-11-23 12:05:14.966754+00', '01a2084b-ca3c-7d69-a2e8-02c5a0ffc769');
INSERT INTO public.django_durable_historyevent VALUES (38, 1, 'workflow_started', NULL, '{"workflow_name":"child_that_waits","input":{}}', '2026-11-23 12:05:14.966754+00', '820ffac8-0f4b-58bd-9fd2-78e5aa37ba8f');
INSERT INTO public.django_durable_historyevent VALUES (39, 2, 'signal_wait_started', '0', '{"name":"go","fire_at":null}', '2026-11-23 12:05:14.966754+00', '820ffac8-0f4b-58bd-9fd2-78e5aa37ba8f');
INSERT INTO public.django_durable_historyevent VALUES (40, 4, 'workflow_canceled', NULL, '{"reason":"not wanted"}', '2026-11-23 12:05:14.992809+00', '01a2084b-ca42-7fe1-8538-d1ce06fc5888');
INSERT INTO public.django_durable_mail VALUES (1, 'activity_completed', '0', '{"attempt":1,"result":1}', '2026-11-23 12:05:14.964001+00', '2026-11-23 12:05:44.964001+00', '01a2084b-ca7c-70d6-af9d-ac8e6e56e7e4');
INSERT INTO public.django_durable_mail VALUES (2, 'signal_received', NULL, '{"name":"go","payload":"went before"}', '2026-11-23 12:05:15.90285+00', '2026-11-23 12:05:45.90285+00', '01a2084b-ca61-70bd-8bd9-a046c0088e0f');
INSERT INTO public.django_durable_mail VALUES (3, 'workflow_cancel_requested', NULL, '{"reason":"please end","graceful":true}', '2026-11-23 12:05:15.91244+00', '2026-11-23 12:05:45.91244+00', '01a2084b-ca61-7d67-96d3-a85ffc351530');
INSERT INTO public.django_durable_worker VALUES ('01a2084b-cbd5-70f6-aca2-b2a362ba98cf', 'vm', 20137, '["strict"]', '2026-11-23 12:05:14.852454+00', '2026-11-23 12:05:14.852454+00', '[]');
INSERT INTO public.django_durable_worker VALUES ('01a2084b-cbcc-7661-9ca8-3a4dcbe3dddd', 'vm', 20136, '["default"]', '2026-11-23 12:05:14.848279+00', '2026-11-23 12:05:15.857544+00', '[]');
INSERT INTO public.django_durable_workflowexecution VALUES ('01a2084b-ca27-7def-bef6-4bd2eddafe2b', 'returns_none', 'completed', '{}', 'COMPLETED', 'null', '', NULL, true, 'default', 0, 1, 2, NULL, NULL, NULL, NULL, '01a2084b-cbcc-7661-9ca8-3a4dcbe3dddd', 0, 0, '2026-11-23 12:05:14.404444+00', '2026-11-23 12:05:14.929528+00', '2026-11-23 12:05:14.929528+00', '2026-11-23 12:05:14.929528+00', NULL);
INSERT INTO public.django_durable_workflowexecution VALUES ('01a2084b-ca44-73ea-b77b-c4cef84963f0', 'child', 'timed out', '{"then":"waits"}', 'TIMED_OUT', NULL, 'WorkflowTimeout: not closed by 2026-11-23T12:05:14.482643+00:00', NULL, true, 'default', 0, 1, 3, NULL, '2026-11-23 12:05:14.482643+00', NULL, NULL, '01a2084b-cbcc-7661-9ca8-3a4dcbe3dddd', 0, 0, '2026-11-23 12:05:14.435506+00', '2026-11-23 12:05:14.929528+00', '2026-11-23 12:05:14.929528+00', '2026-11-23 12:05:14.929528+00', NULL);
INSERT INTO public.django_durable_workflowexecution VALUES ('01a2084b-ca49-7205-bdb1-a801ea4323d3', 'sleeps', 'sleeping', '{"seconds":20}', 'RUNNING', NULL, '', NULL, true, 'default', 0, 1, 4, NULL, NULL, '2026-11-23 12:05:34.912601+00', '{"kind":"timer","what":"sleep","at":"/srv/project/tests/histories/v0_1_0/durable_workflows.py:104","since":"2026-11-23T12:05:14.912601+00:00","until":"2026-11-23T12:05:34.912601+00:00"}', '01a2084b-cbcc-7661-9ca8-3a4dcbe3dddd', 0, 0, '2026-11-23 12:05:14.437579+00', '2026-11-23 12:05:14.929528+00', '2026-11-23 12:05:14.929528+00', NULL, NULL);
INSERT INTO public.django_durable_workflowexecution VALUES ('01a2084b-ca60-72a5-8b77-c90cab540662', 'child_that_waits', 'waiting for a signal', '{}', 'RUNNING', NULL, '', NULL, true, 'default', 0, 1, 2, NULL, NULL, NULL, '{"kind":"signal","what":"go","at":"/srv/project/tests/histories/v0_1_0/durable_workflows.py:287","since":"2026-11-23T12:05:14.912601+00:00","until":null}', '01a2084b-cbcc-7661-9ca8-3a4dcbe3dddd', 0, 0, '2026-11-23 12:05:14.460629+00', '2026-11-23 12:05:14.929528+00', '2026-11-23 12:05:14.929528+00', NULL, NULL);
INSERT INTO public.django_durable_workflowexecution VALUES ('01a2084b-ca61-70bd-8bd9-a046c0088e0f', 'child_that_waits', 'waiting, with the signal in its mailbox', '{}', 'RUNNING', NULL, '', NULL, true, 'default', 0, 1, 2, NULL, NULL, NULL, '{"kind":"signal","what":"go","at":"/srv/project/tests/histories/v0_1_0/durable_workflows.py:287","since":"2026-11-23T12:05:14.912601+00:00","until":null}', '01a2084b-cbcc-7661-9ca8-3a4dcbe3dddd', 0, 0, '2026-11-23 12:05:14.461492+00', '2026-11-23 12:05:14.929528+00', '2026-11-23 12:05:14.929528+00', NULL, NULL);
INSERT INTO public.django_durable_workflowexecution VALUES ('01a2084b-ca61-7d67-96d3-a85ffc351530', 'canceled_inside', 'waiting, with a cancel in its mailbox', '{}', 'RUNNING', NULL, '', NULL, true, 'default', 0, 1, 2, NULL, NULL, NULL, '{"kind":"signal","what":"never","at":"/srv/project/tests/histories/v0_1_0/durable_workflows.py:236","since":"2026-11-23T12:05:14.912601+00:00","until":null}', '01a2084b-cbcc-7661-9ca8-3a4dcbe3dddd', 0, 0, '2026-11-23 12:05:14.462283+00', '2026-11-23 12:05:14.929528+00', '2026-11-23 12:05:14.929528+00', NULL, NULL);
INSERT INTO public.django_durable_workflowexecution VALUES ('01a2084b-ca64-7b43-88bd-ef92eb3f3da9', 'values', 'waiting, with values in its history', '{"given":{"text":"ASCII, \u00e9, e\u0301, \u2603, \ud83d\ude42, \u0000, \ud800, \u2028, \"quotes\" and \\ and </script>","numbers":[0,-1,9007199254740993,1000000000000000000000000000000,0.1,-0.0,1e+22,1e-07,1.7976931348623157e+308],"names":{"":1,"z":2,"a":3,"\u00e9":4,"1":5},"falsy":[null,false,0,"",[],{}],"tuple":[1,[2,3]],"keys":{"7":"seven","null":"none","true":"true"},"result":"\"result\":{\"payload\":null}","long":"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"}}', 'RUNNING', NULL, '', NULL, true, 'default', 0, 1, 3, NULL, NULL, NULL, '{"kind":"signal","what":"values","at":"/srv/project/tests/histories/v0_1_0/durable_workflows.py:156","since":"2026-11-23T12:05:14.912601+00:00","until":null}', '01a2084b-cbcc-7661-9ca8-3a4dcbe3dddd', 0, 0, '2026-11-23 12:05:14.465143+00', '2026-11-23 12:05:14.929528+00', '2026-11-23 12:05:14.929528+00', NULL, NULL);
INSERT INTO public.django_durable_workflowexecution VALUES ('01a2084b-ca67-7db9-87f5-f6c23396db2c', 'waits_for_child', 'waiting for its child', '{}', 'RUNNING', NULL, '', NULL, true, 'default', 0, 1, 2, NULL, NULL, NULL, '{"kind":"child","what":"child_that_waits","at":"/srv/project/tests/histories/v0_1_0/durable_workflows.py:282","since":"2026-11-23T12:05:14.912601+00:00","until":null}', '01a2084b-cbcc-7661-9ca8-3a4dcbe3dddd', 0, 0, '2026-11-23 12:05:14.468301+00', '2026-11-23 12:05:14.929528+00', '2026-11-23 12:05:14.929528+00', NULL, NULL);
INSERT INTO public.django_durable_workflowexecution VALUES ('01a2084b-ca6e-7608-8c2b-19e67330b02e', 'in_backoff', 'in backoff', '{"gate":"backoff"}', 'RUNNING', NULL, '', NULL, true, 'default', 0, 1, 2, NULL, NULL, NULL, '{"kind":"activity","what":"fails_until_open","at":"/srv/project/tests/histories/v0_1_0/durable_workflows.py:277","since":"2026-11-23T12:05:14.912601+00:00","until":null}', '01a2084b-cbcc-7661-9ca8-3a4dcbe3dddd', 0, 0, '2026-11-23 12:05:14.474819+00', '2026-11-23 12:05:14.929528+00', '2026-11-23 12:05:14.929528+00', NULL, NULL);
INSERT INTO public.django_durable_workflowexecution VALUES ('01a2084b-ca74-75c7-ae9c-21e1d98fa89b', 'hit_by_a_crash', 'running in a worker that died', '{"gate":"crash"}', 'RUNNING', NULL, '', NULL, true, 'default', 0, 1, 2, NULL, NULL, NULL, '{"kind":"activity","what":"goes_on","at":"/srv/project/tests/histories/v0_1_0/durable_workflows.py:272","since":"2026-11-23T12:05:14.912601+00:00","until":null}', '01a2084b-cbcc-7661-9ca8-3a4dcbe3dddd', 0, 0, '2026-11-23 12:05:14.480801+00', '2026-11-23 12:05:14.929528+00', '2026-11-23 12:05:14.929528+00', NULL, NULL);
INSERT INTO public.django_durable_workflowexecution VALUES ('01a2084b-ca78-7925-b094-404c5f650354', 'queued_elsewhere', 'queued where no worker is', '{}', 'RUNNING', NULL, '', NULL, true, 'default', 0, 1, 2, NULL, NULL, NULL, '{"kind":"activity","what":"echo","at":"/srv/project/tests/histories/v0_1_0/durable_workflows.py:292","since":"2026-11-23T12:05:14.912601+00:00","until":null}', '01a2084b-cbcc-7661-9ca8-3a4dcbe3dddd', 0, 0, '2026-11-23 12:05:14.485012+00', '2026-11-23 12:05:14.929528+00', '2026-11-23 12:05:14.929528+00', NULL, NULL);
INSERT INTO public.django_durable_workflowexecution VALUES ('01a2084b-ca7c-7a86-9940-6db30177ee24', 'child', 'about to time out', '{"then":"waits"}', 'RUNNING', NULL, '', NULL, true, 'default', 0, 1, 2, NULL, '2026-11-23 12:05:34.489057+00', '2026-11-23 12:05:34.489057+00', '{"kind":"signal","what":"never","at":"/srv/project/tests/histories/v0_1_0/durable_workflows.py:168","since":"2026-11-23T12:05:14.912601+00:00","until":null}', '01a2084b-cbcc-7661-9ca8-3a4dcbe3dddd', 0, 0, '2026-11-23 12:05:14.489093+00', '2026-11-23 12:05:14.929528+00', '2026-11-23 12:05:14.929528+00', NULL, NULL);
INSERT INTO public.django_durable_workflowexecution VALUES ('01a2084b-ca3c-7d69-a2e8-02c5a0ffc769', 'fails', 'failed', '{}', 'FAILED', NULL, 'RuntimeError: the workflow''s own', NULL, true, 'default', 0, 2, 4, NULL, NULL, NULL, NULL, '01a2084b-cbcc-7661-9ca8-3a4dcbe3dddd', 0, 0, '2026-11-23 12:05:14.425311+00', '2026-11-23 12:05:14.968717+00', '2026-11-23 12:05:14.929528+00', '2026-11-23 12:05:14.968717+00', NULL);
INSERT INTO public.django_durable_workflowexecution VALUES ('01a2084b-ca42-7fe1-8538-d1ce06fc5888', 'canceled_outside', 'canceled', '{}', 'CANCELED', NULL, 'WorkflowCanceled: not wanted', NULL, true, 'default', 0, 2, 4, NULL, NULL, NULL, NULL, NULL, 0, 0, '2026-11-23 12:05:14.431566+00', '2026-11-23 12:05:14.99378+00', '2026-11-23 12:05:14.929528+00', '2026-11-23 12:05:14.99378+00', NULL);
INSERT INTO public.django_durable_workflowexecution VALUES ('01a2084b-cffc-74e9-921a-430cb294c37e', 'returns_none', 'not begun', '{}', 'PENDING', NULL, '', NULL, true, 'default', 0, 0, 0, NULL, NULL, NULL, NULL, NULL, 0, 0, '2026-11-23 12:05:15.900354+00', '2026-11-23 12:05:15.900354+00', NULL, NULL, NULL);
INSERT INTO public.django_durable_workflowexecution VALUES ('01a2084b-cffd-7c5b-8ced-1eacfe2cc914', 'returns_none', 'put off', '{}', 'PENDING', NULL, '', NULL, true, 'default', 0, 0, 0, '2026-11-23 12:05:35.901697+00', NULL, '2026-11-23 12:05:35.901697+00', NULL, NULL, 0, 0, '2026-11-23 12:05:15.901752+00', '2026-11-23 12:05:15.901752+00', NULL, NULL, NULL);
INSERT INTO public.django_durable_workflowexecution VALUES ('820ffac8-0f4b-58bd-9fd2-78e5aa37ba8f', 'child_that_waits', NULL, '{}', 'RUNNING', NULL, '', '0', true, 'default', 0, 1, 2, NULL, NULL, NULL, '{"kind":"signal","what":"go","at":"/srv/project/tests/histories/v0_1_0/durable_workflows.py:287","since":"2026-11-23T12:05:14.966754+00:00","until":null}', '01a2084b-cbcc-7661-9ca8-3a4dcbe3dddd', 0, 0, '2026-11-23 12:05:14.933836+00', '2026-11-23 12:05:14.968717+00', '2026-11-23 12:05:14.968717+00', NULL, '01a2084b-ca67-7db9-87f5-f6c23396db2c');
INSERT INTO public.django_durable_workflowexecution VALUES ('01a2084b-ca7c-70d6-af9d-ac8e6e56e7e4', 'blocked', 'blocked', '{"gate":"mended"}', 'BLOCKED', NULL, 'CodeFailed: RuntimeError: mend me', NULL, true, 'strict', 0, 3, 2, NULL, NULL, '2026-11-23 12:05:16.971739+00', '{"kind":"code","what":"a rollback, a patch or a fix","since":"2026-11-23T12:05:14.971739+00:00","until":"2026-11-23T12:05:16.971739+00:00"}', NULL, 2, 0, '2026-11-23 12:05:14.488492+00', '2026-11-23 12:05:14.975687+00', '2026-11-23 12:05:14.931302+00', NULL, NULL);
INSERT INTO public.django_migrations VALUES (1, 'django_durable', '0001_initial', '2026-11-23 12:05:13.297265+00');
INSERT INTO public.django_migrations VALUES (2, 'django_durable', '0002_tune_postgres', '2026-11-23 12:05:13.305954+00');
INSERT INTO public.django_migrations VALUES (3, 'django_durable', '0003_worker_exclude', '2026-11-23 12:05:13.313+00');
INSERT INTO public.django_migrations VALUES (4, 'django_durable', '0004_newest_runs', '2026-11-23 12:05:13.321268+00');
INSERT INTO public.durable_queue OVERRIDING SYSTEM VALUE VALUES (17, 'activity', '01a2084b-cc21-79b8-9c75-7a3188fb1dc7', 'nobody', 0, NULL, '2026-11-23 12:05:14.943752+00', 781, DEFAULT, NULL, NULL, 0, true);
INSERT INTO public.durable_queue OVERRIDING SYSTEM VALUE VALUES (19, 'activity', '01a2084b-cc22-7df6-beef-62c00356c997', 'later', 0, NULL, '2026-11-23 12:05:14.943752+00', 781, DEFAULT, NULL, NULL, 0, false);
INSERT INTO public.durable_queue OVERRIDING SYSTEM VALUE VALUES (21, 'run', '01a2084b-cffc-74e9-921a-430cb294c37e', 'default', 0, NULL, '2026-11-23 12:05:15.901111+00', 793, DEFAULT, NULL, NULL, 0, true);
INSERT INTO public.durable_queue OVERRIDING SYSTEM VALUE VALUES (22, 'run', '01a2084b-ca61-70bd-8bd9-a046c0088e0f', 'default', 0, '01a2084b-cbcc-7661-9ca8-3a4dcbe3dddd', '2026-11-23 12:05:15.903403+00', 795, DEFAULT, NULL, NULL, 0, true);
INSERT INTO public.durable_queue OVERRIDING SYSTEM VALUE VALUES (23, 'run', '01a2084b-ca61-7d67-96d3-a85ffc351530', 'default', 0, '01a2084b-cbcc-7661-9ca8-3a4dcbe3dddd', '2026-11-23 12:05:15.912828+00', 796, DEFAULT, NULL, NULL, 0, true);
SELECT pg_catalog.setval('public.django_durable_historyevent_id_seq', 40, true);
SELECT pg_catalog.setval('public.django_durable_mail_id_seq', 3, true);
SELECT pg_catalog.setval('public.django_durable_queueentry_id_seq', 1, false);
SELECT pg_catalog.setval('public.django_migrations_id_seq', 4, true);
SELECT pg_catalog.setval('public.durable_queue_bell', 1795435515916, true);
SELECT pg_catalog.setval('public.durable_queue_id_seq', 23, true);
ALTER TABLE ONLY public.django_durable_activitytask
    ADD CONSTRAINT django_durable_activitytask_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.django_durable_historyevent
    ADD CONSTRAINT django_durable_historyevent_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.django_durable_mail
    ADD CONSTRAINT django_durable_mail_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.django_durable_queueentry
    ADD CONSTRAINT django_durable_queueentry_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.django_durable_worker
    ADD CONSTRAINT django_durable_worker_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.django_durable_workflowexecution
    ADD CONSTRAINT django_durable_workflowexecution_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.django_migrations
    ADD CONSTRAINT django_migrations_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.django_durable_historyevent
    ADD CONSTRAINT durable_event_seq UNIQUE (execution_id, seq);
ALTER TABLE ONLY public.durable_queue
    ADD CONSTRAINT durable_queue_pkey PRIMARY KEY (id);
CREATE INDEX django_durable_activitytask_execution_id_21685fdb ON public.django_durable_activitytask USING btree (execution_id);
CREATE INDEX django_durable_mail_execution_id_7f82a6d3 ON public.django_durable_mail USING btree (execution_id);
CREATE INDEX durable_mail_due ON public.django_durable_mail USING btree (due_at) WHERE (due_at IS NOT NULL);
CREATE UNIQUE INDEX durable_one_open_run_per_id ON public.django_durable_workflowexecution USING btree (workflow_id) WHERE (((status)::text = ANY ((ARRAY['PENDING'::character varying, 'RUNNING'::character varying, 'BLOCKED'::character varying])::text[])) AND (workflow_id IS NOT NULL));
CREATE INDEX durable_queue_delayed ON public.durable_queue USING btree (ready_at) WHERE (rank IS NULL);
CREATE INDEX durable_queue_order ON public.django_durable_queueentry USING btree (kind, priority DESC, id);
CREATE INDEX durable_queue_ready ON public.durable_queue USING btree (rank, id) WHERE (rank IS NOT NULL);
CREATE INDEX durable_queue_twins ON public.durable_queue USING btree (ref) WHERE (kind = 'run'::text);
CREATE INDEX durable_run_created ON public.django_durable_workflowexecution USING btree (created_at DESC);
CREATE INDEX durable_run_due ON public.django_durable_workflowexecution USING btree (due_at) WHERE (due_at IS NOT NULL);
CREATE INDEX durable_run_name ON public.django_durable_workflowexecution USING btree (workflow_name, created_at);
CREATE INDEX durable_run_parent ON public.django_durable_workflowexecution USING btree (parent_id) WHERE (parent_id IS NOT NULL);
CREATE INDEX durable_run_status ON public.django_durable_workflowexecution USING btree (status, created_at);
CREATE INDEX durable_task_due ON public.django_durable_activitytask USING btree (due_at) WHERE (due_at IS NOT NULL);
CREATE INDEX durable_task_worker ON public.django_durable_activitytask USING btree (worker_id) WHERE ((status)::text = 'RUNNING'::text);
CREATE CONSTRAINT TRIGGER durable_queue_rings AFTER INSERT ON public.durable_queue DEFERRABLE INITIALLY DEFERRED FOR EACH ROW WHEN (new.rings) EXECUTE FUNCTION public.durable_queue_ring_at_commit();
ALTER TABLE ONLY public.django_durable_mail
    ADD CONSTRAINT django_durable_mail_execution_id_7f82a6d3_fk_django_du FOREIGN KEY (execution_id) REFERENCES public.django_durable_workflowexecution(id) DEFERRABLE INITIALLY DEFERRED;
ALTER TABLE ONLY public.django_durable_workflowexecution
    ADD CONSTRAINT django_durable_workf_parent_id_a7a2f67d_fk_django_du FOREIGN KEY (parent_id) REFERENCES public.django_durable_workflowexecution(id) DEFERRABLE INITIALLY DEFERRED;
