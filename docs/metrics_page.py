"""The page of the metrics: their names and labels from the code, and what one learns from each."""

from collections.abc import Mapping, Sequence

from notification_entrypoints.observability.metric_registry import MetricDescription
from notification_entrypoints.observability.metrics import Metrics

# A metric that is missing here fails `nox -s generate`: somebody has to say what it is good for.
LEARNED: Mapping[str, str] = {
    "notification_events_total": "How much is published, by `http`, from `kafka` and by the "
    "system itself (`operational`). `duplicate` shows publishers that retry, or messages "
    "that were read again after a crash; `rejected` one that sends invalid events.",
    "notification_kafka_consumer_lag_messages": "Whether events are stored as fast as they are "
    "sent. A consumer shows its own partitions; `api` with `KAFKA_BROKERS` shows all of them every "
    "15 seconds, as the brokers know them, also while no consumer runs. It should come back to 0.",
    "notification_outbox_messages_relayed_total": "What the outbox sends to `webhook-events` and "
    "to the topic of dead letters. If it does not grow while webhooks are disabled or deliveries "
    "fail, Kafka is unavailable or rejects them: see the log.",
    "notification_dead_letters_total": "A producer sends messages that are not events. "
    "`notification-management dead-letters list` and `GET /api/dead-letters` show them with the "
    "reason.",
    "notification_event_conflicts_total": "A publisher uses one `event_id` for two events. The "
    "first one stands; the log names it.",
    "notification_data_schema_mismatches_total": "The platform sends other `data` than the "
    "catalogue describes. It is delivered all the same.",
    "notification_deliveries_stored_total": "How events fan out. `claimed` deliveries were "
    "handed to this process's sender with the insert, `unclaimed` ones wait in storage, for "
    "instance since memory was full; `skipped` is what disabled webhooks missed.",
    "notification_attempts_total": "Whether receivers are well, and if not, what is wrong. "
    "`error_code` is empty for those that succeeded.",
    "notification_attempt_duration_seconds": "How fast receivers respond. The duration of an "
    "interrupted attempt is unknown, so it is not in here.",
    "notification_delivery_duration_seconds": "How long it takes until a customer has an event, "
    "with all retries and pauses that its own receiver causes: for a service level objective use "
    "`notification_first_attempt_delay_seconds`, which no receiver moves.",
    "notification_attempt_phase_duration_seconds": "Where the time goes. `dns`, `connect` and "
    "`tls` are of new connections, if they complete; if they are slow for all receivers, it is "
    "your own network. `first_byte` is how long a receiver takes to respond. Only the native "
    "sender measures it.",
    "notification_attempts_in_flight": "How close the process is to its bound.",
    "notification_attempts_in_flight_limit": "The value of `WEBHOOKS_MAX_IN_FLIGHT`.",
    "notification_db_batch_size": "Whether work is done in batches: with little to do they are "
    "small, under load large, or each event costs more than it should. Claims that find nothing "
    "do not count.",
    "notification_deliveries_pending": "`unclaimed` deliveries wait for their time or for a "
    "process, `claimed` ones are held by a process under a lease; both in the whole storage. It "
    "is capped at 100,000, and measured every 10 seconds at most. It is absent while the storage "
    "does not respond.",
    "notification_oldest_due_delivery_age_seconds": "Whether deliveries keep up. It should stay "
    "at a few seconds. What the process has claimed and not sent yet counts as well. Webhooks that "
    "are disabled do not count, nor those that had as many requests in flight as they may have "
    "since then: one receiver does not move it, but many slow ones do once all requests in flight "
    "are taken. Processes with a dispatcher show it.",
    "notification_first_attempt_delay_seconds": "How long receivers wait for an event. Not in "
    "here are deliveries that waited for their own webhook, which had as many requests in flight "
    "as it may have or was changed meanwhile: no receiver moves it.",
    "notification_environments_attempted": "Whether it is one customer or you. An environment "
    "succeeded if the latest attempt of any of its webhooks did, so that one customer counts as "
    "one, however many attempts fail.",
    "notification_db_transactions_open": "How close the process is to waiting for connections.",
    "notification_db_transaction_duration_seconds": "How fast the database is, without the wait "
    "for a connection. Transactions of maintenance are in it, and may take longer.",
    "notification_db_connection_wait_seconds": "Whether there are enough connections: it should "
    "be near 0. If it is not, and transactions are fast, raise `DB_POOL_SIZE`.",
    "notification_db_transactions_open_limit": "The value of `DB_POOL_SIZE`; of a SQLite file "
    "one that writes and four that read.",
    "notification_deliveries_queued": "Whether sending keeps up. It should come back to 0.",
    "notification_deliveries_failed_total": "Events that a customer will not get unless they are "
    "redelivered or replayed.",
    "notification_webhooks_disabled_total": "Webhooks that returned 410 (`gone`), or only failed "
    "for `WEBHOOKS_DISABLE_AFTER` (`failing`). Their owners should be told.",
    "notification_circuit_breaker_changes_total": "How often webhooks were paused since they kept "
    "failing (`opened`), and resumed (`closed`). Many at once are a sign of trouble on this side.",
    "notification_webhooks_paused": "Webhooks whose deliveries wait until a probe succeeds.",
    "notification_leases_reaped_total": "A process was killed, or hung for a lease's time: its "
    "attempts are interrupted, and other processes make the next ones.",
    "notification_resource_exhausted_total": "Anything here is a fault of this host, not of a "
    "receiver: the log says what ran out. No retry is used up; while it lasts, nothing is "
    "claimed.",
    "notification_leases_released_total": "Deliveries whose turn came too late to be sent within "
    "their lease. They are sent later; many of them mean that the process is overloaded.",
    "notification_results_fenced_total": "A result came after the lease had ended, so the "
    "attempt was another worker's by then. Each may be an event that a receiver got twice.",
    "notification_api_requests_total": "Traffic and errors of the API. `route` is the path's "
    "template; `unmatched` is a path that does not exist. `method` is `other` for one that HTTP "
    "does not have.",
    "notification_api_request_duration_seconds": "How fast the API is, from the head of a request "
    "to its response; a test of a webhook takes as long as its receiver.",
    "notification_event_loop_lag_seconds": "Whether a process is at the end of its CPU, or "
    "something blocks it: all else is late by as much. It is measured twice a second.",
    "notification_part_unavailable": "What `/readyz` says of each part: 1 if it does not work. It "
    "is the same in every process for what they share.",
    "notification_background_task_errors_total": "A background task failed and was retried. The "
    "log says why.",
    "notification_log_lines_dropped_total": "Whatever reads the log is stuck, or its disk is "
    "full. The processes go on; once the log can be written again, `log_lines_dropped` says how "
    "many.",
    "notification_processes": "With `--workers`, how many serve; the supervisor is not one of "
    "them. It should be the number that was configured.",
    "notification_worker_restarts_total": "Workers were killed, or failed: the log says how each "
    "one ended. The others were not affected.",
    "notification_deliveries_pending_is_exact": "0 if there are more pending deliveries than are "
    "counted, which is 100,000.",
    "notification_deliveries_ended_total": "How deliveries end. `skipped` and `cancelled` ended "
    "without an attempt: the webhook was disabled or deleted, or did not want the event.",
    "notification_unfinished": "What is under way in storage, capped at 100,000: messages in the "
    "`outbox` to Kafka, `operational_events` on their way to webhooks, running `replays` and "
    "`erasures`. It is measured every 10 seconds at most, and absent while the storage does not "
    "respond.",
    "notification_unfinished_age_seconds": "Whether it gets anywhere. An outbox that is minutes "
    "old: Kafka is unavailable or rejects messages. A replay may take long, since it waits for its "
    "receiver; `notification_deliveries_replayed_total` says whether it goes on.",
    "notification_deliveries_replayed_total": "The progress of replays: 0 per second while "
    '`notification_unfinished{kind="replays"}` is not 0 means that their webhooks take no more.',
    "notification_rows_erased_total": "The progress of erasures: it should grow while "
    '`notification_unfinished{kind="erasures"}` is not 0.',
    "notification_retention_lag_seconds": "Whether deletion keeps up: all that was too old as long "
    "ago has been deleted. It is the time since the last complete round over all tables began, "
    "some minutes; days mean that the tables grow. Processes with a dispatcher show it.",
    "notification_worker_lock_held": "Which processes may send: 1 if the process dispatches and "
    "holds its lock, 0 without a dispatcher or after the loss of the lock. The sum is how many "
    "processes deliver.",
    "notification_build_info": "Which version runs where; `pod_name` is `POD_NAME`.",
}


def metrics_page() -> Sequence[str]:
    """Return the parts of the page."""
    return [
        "# Metrics",
        (
            "`/metrics` of the ops server, in Prometheus' text format. No label names a webhook or "
            "an environment, so that the number of series stays bounded. Counters begin at 0 "
            "with each start of the command. With `--workers` the supervisor returns the sums over "
            "all of them; what a worker has counted stays in the sums when it ends. Where the set "
            "of labels is known, series exist from the start, so that `rate()` sees a first error."
        ),
        *map(_metric, Metrics("", "").registry.descriptions),
        (
            "On Linux also Prometheus' usual `process_*` of each process: CPU, memory, open files "
            "and the time of its start; with `--workers` by `worker`, where 0 is the supervisor."
        ),
    ]


def _metric(metric: MetricDescription) -> str:
    if metric.name not in LEARNED:
        raise SystemExit(f"Say in docs/metrics_page.py what one learns from {metric.name}.")
    labels = ", ".join(f"`{label}`" for label in metric.labels)
    return (
        f"`{metric.name}`\n: {metric.kind}{f', by {labels}' if labels else ''}. "
        f"{metric.documentation}\n  {LEARNED[metric.name]}"
    )
