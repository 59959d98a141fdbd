CREATE TABLE notification_schema (
    version_num VARCHAR(32) NOT NULL, 
    CONSTRAINT notification_schema_pkc PRIMARY KEY (version_num)
);

-- Running upgrade  -> 0001

CREATE TABLE events (
    event_id TEXT NOT NULL, 
    environment_id CHAR(32) NOT NULL, 
    type TEXT NOT NULL, 
    occurred_at BIGINT NOT NULL, 
    body BLOB, 
    stored_at BIGINT NOT NULL, 
    CONSTRAINT events_pkey PRIMARY KEY (event_id, environment_id)
);

CREATE INDEX events_environment ON events (environment_id, stored_at, event_id);

CREATE TABLE webhooks (
    webhook_id CHAR(32) NOT NULL, 
    environment_id CHAR(32) NOT NULL, 
    name TEXT NOT NULL, 
    url TEXT NOT NULL, 
    method TEXT NOT NULL, 
    events TEXT NOT NULL, 
    description TEXT, 
    custom_headers TEXT, 
    disabled_until BIGINT, 
    disabled_reason TEXT, 
    disabled_at BIGINT, 
    version INTEGER NOT NULL, 
    created_at BIGINT NOT NULL, 
    updated_at BIGINT NOT NULL, 
    deleted_at BIGINT, 
    CONSTRAINT webhooks_pkey PRIMARY KEY (webhook_id, environment_id)
);

CREATE INDEX webhooks_environment ON webhooks (environment_id, webhook_id);

CREATE TABLE deliveries (
    delivery_id CHAR(32) NOT NULL, 
    environment_id CHAR(32) NOT NULL, 
    webhook_id CHAR(32) NOT NULL, 
    event_id TEXT NOT NULL, 
    state TEXT NOT NULL, 
    reason TEXT, 
    origin TEXT, 
    replay_id CHAR(32), 
    due_at BIGINT NOT NULL, 
    attempt INTEGER NOT NULL, 
    failures INTEGER NOT NULL, 
    interruptions INTEGER NOT NULL, 
    worker CHAR(32), 
    leased_until BIGINT, 
    started_at BIGINT, 
    created_at BIGINT NOT NULL, 
    event_stored_at BIGINT NOT NULL, 
    ended_at BIGINT, 
    CONSTRAINT deliveries_pkey PRIMARY KEY (delivery_id, environment_id)
);

CREATE INDEX deliveries_event ON deliveries (event_id, environment_id);

CREATE INDEX deliveries_webhook ON deliveries (webhook_id, delivery_id);

CREATE INDEX deliveries_leased ON deliveries (worker, leased_until) WHERE worker IS NOT NULL;

CREATE INDEX deliveries_waiting ON deliveries (webhook_id, due_at, delivery_id, event_stored_at) WHERE state = 'pending' AND worker IS NULL;

CREATE TABLE attempts (
    log_id CHAR(32) NOT NULL, 
    environment_id CHAR(32) NOT NULL, 
    webhook_id CHAR(32) NOT NULL, 
    delivery_id CHAR(32) NOT NULL, 
    event_id TEXT NOT NULL, 
    event_type TEXT NOT NULL, 
    attempt INTEGER NOT NULL, 
    outcome TEXT NOT NULL, 
    started_at BIGINT NOT NULL, 
    error_code TEXT, 
    error_message TEXT, 
    method TEXT, 
    url TEXT, 
    request_headers TEXT, 
    http_code INTEGER, 
    response_headers TEXT, 
    response_body BLOB, 
    truncated BOOLEAN, 
    duration_us BIGINT, 
    next_attempt_at BIGINT, 
    CONSTRAINT attempts_pkey PRIMARY KEY (delivery_id, attempt, environment_id)
);

CREATE INDEX attempts_log ON attempts (webhook_id, log_id);

CREATE INDEX attempts_errors ON attempts (webhook_id, log_id) WHERE outcome <> 'succeeded';

CREATE TABLE replays (
    replay_id CHAR(32) NOT NULL, 
    environment_id CHAR(32) NOT NULL, 
    webhook_id CHAR(32) NOT NULL, 
    since BIGINT NOT NULL, 
    until BIGINT NOT NULL, 
    states TEXT NOT NULL, 
    state TEXT NOT NULL, 
    cursor CHAR(32), 
    done_until BIGINT, 
    replayed BIGINT NOT NULL, 
    created_at BIGINT NOT NULL, 
    ended_at BIGINT, 
    CONSTRAINT replays_pkey PRIMARY KEY (replay_id, environment_id)
);

CREATE INDEX replays_webhook ON replays (webhook_id, replay_id);

CREATE UNIQUE INDEX replays_running ON replays (webhook_id, environment_id) WHERE state = 'running';

CREATE TABLE erasures (
    environment_id CHAR(32) NOT NULL, 
    requested_at BIGINT NOT NULL, 
    erased BIGINT NOT NULL, 
    ended_at BIGINT, 
    CONSTRAINT erasures_pkey PRIMARY KEY (environment_id)
);

CREATE INDEX erasures_running ON erasures (environment_id) WHERE ended_at IS NULL;

CREATE TABLE environment_keys (
    key_id TEXT NOT NULL, 
    environment_id CHAR(32) NOT NULL, 
    number INTEGER NOT NULL, 
    private_key TEXT NOT NULL, 
    public_key BLOB NOT NULL, 
    created_at BIGINT NOT NULL, 
    not_before BIGINT NOT NULL, 
    expires_at BIGINT, 
    CONSTRAINT environment_keys_pkey PRIMARY KEY (key_id, environment_id), 
    CONSTRAINT environment_keys_environment_id_number_key UNIQUE (environment_id, number)
);

CREATE TABLE idempotent_responses (
    request TEXT NOT NULL, 
    environment_id CHAR(32) NOT NULL, 
    fingerprint TEXT NOT NULL, 
    response TEXT NOT NULL, 
    responded_at BIGINT NOT NULL, 
    CONSTRAINT idempotent_responses_pkey PRIMARY KEY (request, environment_id)
);

CREATE INDEX idempotent_responses_age ON idempotent_responses (responded_at);

CREATE INDEX idempotent_responses_environment ON idempotent_responses (environment_id);

CREATE TABLE api_keys (
    key_id CHAR(32) NOT NULL, 
    name TEXT NOT NULL, 
    scope TEXT NOT NULL, 
    environments TEXT, 
    digest BLOB NOT NULL, 
    created_at BIGINT NOT NULL, 
    expires_at BIGINT, 
    revoked_at BIGINT, 
    CONSTRAINT api_keys_pkey PRIMARY KEY (key_id)
);

CREATE TABLE audit (
    entry_id CHAR(32) NOT NULL, 
    environment_id CHAR(32) NOT NULL, 
    at BIGINT NOT NULL, 
    actor TEXT NOT NULL, 
    address TEXT NOT NULL, 
    action TEXT NOT NULL, 
    subject TEXT NOT NULL, 
    request_id TEXT NOT NULL, 
    CONSTRAINT audit_pkey PRIMARY KEY (entry_id, environment_id)
);

CREATE INDEX audit_environment ON audit (environment_id, entry_id);

CREATE TABLE dead_letters (
    letter_id CHAR(32) NOT NULL, 
    message_id CHAR(32) NOT NULL, 
    reason TEXT NOT NULL, 
    topic TEXT NOT NULL, 
    topic_partition INTEGER NOT NULL, 
    topic_offset BIGINT NOT NULL, 
    timestamp_ms BIGINT NOT NULL, 
    "key" BLOB, 
    value BLOB, 
    headers TEXT NOT NULL, 
    stored_at BIGINT NOT NULL, 
    CONSTRAINT dead_letters_pkey PRIMARY KEY (letter_id), 
    CONSTRAINT dead_letters_message_id_key UNIQUE (message_id)
);

CREATE TABLE outbox (
    message_id CHAR(32) NOT NULL, 
    topic TEXT NOT NULL, 
    "key" BLOB, 
    value BLOB, 
    headers TEXT NOT NULL, 
    stored_at BIGINT NOT NULL, 
    CONSTRAINT outbox_pkey PRIMARY KEY (message_id)
);

CREATE TABLE outbox_lease (
    id SMALLINT NOT NULL, 
    worker CHAR(32), 
    leased_until BIGINT, 
    CONSTRAINT outbox_lease_pkey PRIMARY KEY (id)
);

CREATE TABLE webhooks_revision (
    id SMALLINT NOT NULL, 
    revision BIGINT NOT NULL, 
    CONSTRAINT webhooks_revision_pkey PRIMARY KEY (id)
);

CREATE TABLE instance (
    id SMALLINT NOT NULL, 
    canary TEXT, 
    oldest_compatible TEXT NOT NULL, 
    CONSTRAINT instance_pkey PRIMARY KEY (id)
);

INSERT INTO outbox_lease (id) VALUES (1);

INSERT INTO webhooks_revision (id, revision) VALUES (1, 0);

INSERT INTO instance (id, oldest_compatible) VALUES (1, '0001');

INSERT INTO notification_schema (version_num) VALUES ('0001') RETURNING version_num;

-- Running upgrade 0001 -> 0002

ALTER TABLE webhooks ADD COLUMN filter TEXT;

ALTER TABLE webhooks ADD COLUMN retry TEXT;

ALTER TABLE webhooks ADD COLUMN timeout_us BIGINT;

ALTER TABLE webhooks ADD COLUMN signing_secrets TEXT;

ALTER TABLE events ADD COLUMN traceparent TEXT;

ALTER TABLE replays ADD COLUMN includes_filtered BOOLEAN DEFAULT 1 NOT NULL;

ALTER TABLE attempts ADD COLUMN instance TEXT;

CREATE TABLE workers (
    worker CHAR(32) NOT NULL, 
    begun BLOB NOT NULL, 
    closed BOOLEAN NOT NULL, 
    CONSTRAINT workers_pkey PRIMARY KEY (worker)
);

ALTER TABLE webhooks ADD COLUMN ordered BOOLEAN DEFAULT 0 NOT NULL;

ALTER TABLE events ADD COLUMN ordering_key TEXT;

ALTER TABLE deliveries ADD COLUMN ordering_key TEXT;

ALTER TABLE deliveries ADD COLUMN position BIGINT;

ALTER TABLE instance ADD COLUMN last_position BIGINT DEFAULT 0 NOT NULL;

CREATE TABLE ordering_keys (
    webhook_id CHAR(32) NOT NULL, 
    ordering_key TEXT NOT NULL, 
    environment_id CHAR(32) NOT NULL, 
    CONSTRAINT ordering_keys_pkey PRIMARY KEY (webhook_id, ordering_key, environment_id)
);

CREATE INDEX ordering_keys_environment ON ordering_keys (environment_id);

CREATE INDEX deliveries_in_line ON deliveries (webhook_id, ordering_key, position) WHERE ordering_key IS NOT NULL AND (state = 'pending' OR worker IS NOT NULL);

ALTER TABLE webhooks ADD COLUMN resumed_at BIGINT;

CREATE TABLE webhook_health (
    webhook_id CHAR(32) NOT NULL, 
    environment_id CHAR(32) NOT NULL, 
    failures INTEGER NOT NULL, 
    since BIGINT NOT NULL, 
    first_log_id CHAR(32) NOT NULL, 
    paused_at BIGINT, 
    pause_us BIGINT, 
    next_probe_at BIGINT, 
    fresh_probe_at BIGINT, 
    probe_id CHAR(32), 
    probe_until BIGINT, 
    CONSTRAINT webhook_health_pkey PRIMARY KEY (webhook_id, environment_id)
);

CREATE TABLE statistics (
    webhook_id CHAR(32) NOT NULL, 
    environment_id CHAR(32) NOT NULL, 
    bucket_start BIGINT NOT NULL, 
    writer CHAR(32) NOT NULL, 
    minutes SMALLINT NOT NULL, 
    attempts_succeeded INTEGER NOT NULL, 
    attempts_failed INTEGER NOT NULL, 
    attempts_interrupted INTEGER NOT NULL, 
    deliveries_succeeded INTEGER NOT NULL, 
    deliveries_failed INTEGER NOT NULL, 
    deliveries_skipped INTEGER NOT NULL, 
    deliveries_cancelled INTEGER NOT NULL, 
    figures BLOB NOT NULL, 
    CONSTRAINT statistics_pkey PRIMARY KEY (webhook_id, environment_id, bucket_start, writer)
);

CREATE INDEX statistics_age ON statistics (minutes, bucket_start);

ALTER TABLE webhooks ADD COLUMN rate_limit INTEGER;

CREATE TABLE webhook_rates (
    webhook_id CHAR(32) NOT NULL, 
    environment_id CHAR(32) NOT NULL, 
    next_at BIGINT NOT NULL, 
    CONSTRAINT webhook_rates_pkey PRIMARY KEY (webhook_id, environment_id)
);

UPDATE notification_schema SET version_num='0002' WHERE notification_schema.version_num = '0001';

-- Running upgrade 0002 -> 0003

CREATE TABLE portal_sessions (
    session_id CHAR(32) NOT NULL, 
    environment_id CHAR(32) NOT NULL, 
    scope TEXT NOT NULL, 
    name TEXT, 
    code_digest BLOB, 
    token_digest BLOB, 
    created_at BIGINT NOT NULL, 
    expires_at BIGINT NOT NULL, 
    CONSTRAINT portal_sessions_pkey PRIMARY KEY (session_id, environment_id)
);

CREATE INDEX portal_sessions_age ON portal_sessions (expires_at);

CREATE INDEX portal_sessions_environment ON portal_sessions (environment_id, session_id);

CREATE TABLE console_sessions (
    session_id CHAR(32) NOT NULL, 
    name TEXT NOT NULL, 
    scope TEXT NOT NULL, 
    environments TEXT, 
    credential TEXT NOT NULL, 
    token_digest BLOB NOT NULL, 
    created_at BIGINT NOT NULL, 
    expires_at BIGINT NOT NULL, 
    CONSTRAINT console_sessions_pkey PRIMARY KEY (session_id)
);

CREATE INDEX console_sessions_age ON console_sessions (expires_at);

UPDATE notification_schema SET version_num='0003' WHERE notification_schema.version_num = '0002';

-- Running upgrade 0003 -> 0004

CREATE TABLE operational_events (
    event_id CHAR(32) NOT NULL, 
    type TEXT NOT NULL, 
    occurred_at BIGINT NOT NULL, 
    data BLOB NOT NULL, 
    ordering_key TEXT, 
    CONSTRAINT operational_events_pkey PRIMARY KEY (event_id)
);

UPDATE notification_schema SET version_num='0004' WHERE notification_schema.version_num = '0003';

-- Running upgrade 0004 -> 0005

CREATE TABLE statistics_minutes (
    webhook_id CHAR(32) NOT NULL, 
    environment_id CHAR(32) NOT NULL, 
    bucket_start BIGINT NOT NULL, 
    writer CHAR(32) NOT NULL, 
    attempts_succeeded INTEGER NOT NULL, 
    attempts_failed INTEGER NOT NULL, 
    attempts_interrupted INTEGER NOT NULL, 
    deliveries_succeeded INTEGER NOT NULL, 
    deliveries_failed INTEGER NOT NULL, 
    deliveries_skipped INTEGER NOT NULL, 
    deliveries_cancelled INTEGER NOT NULL, 
    figures BLOB NOT NULL, 
    CONSTRAINT statistics_minutes_pkey PRIMARY KEY (webhook_id, environment_id, bucket_start, writer)
);

CREATE INDEX statistics_minutes_age ON statistics_minutes (bucket_start);

UPDATE notification_schema SET version_num='0005' WHERE notification_schema.version_num = '0004';

-- Running upgrade 0005 -> 0006

ALTER TABLE attempts ADD COLUMN phases TEXT DEFAULT '';

UPDATE notification_schema SET version_num='0006' WHERE notification_schema.version_num = '0005';
