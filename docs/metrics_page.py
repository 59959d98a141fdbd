"""The page of the metrics: their names and labels from the code, and what one learns from each."""

from collections.abc import Iterator, Mapping, Sequence

from prometheus_client import Counter, Gauge, Histogram
from prometheus_client.metrics import MetricWrapperBase

from notification_entrypoints.observability.metrics import Metrics
from notification_entrypoints.observability.timings import Timings

# A metric that is missing here fails `nox -s generate`: somebody has to say what it is good for.
LEARNED: Mapping[str, str] = {
    "notification_events_total": "How much comes in, by `http` and from `kafka`. `duplicate` shows "
    "publishers that try again, or messages that were read again after a crash; `refused` one that "
    "sends what cannot be read.",
    "notification_ingest_lag": "Whether events come in as fast as they are sent. Only the "
    "partitions of this process are shown. It should come back to 0.",
    "notification_messages_relayed_total": "Facts and dead letters on their way. When it stands "
    "still while facts happen, Kafka is away or refuses them: see the log.",
    "notification_dead_letters_total": "Some producer sends messages that are no events. "
    "`notification-management dead-letters list` shows them with the reason.",
    "notification_event_conflicts_total": "A publisher uses one `event_id` for two events. The "
    "first one stands; the log names it.",
    "notification_data_schema_mismatches_total": "The platform sends other `data` than the "
    "catalogue says. It is delivered all the same.",
    "notification_deliveries_total": "How events fan out. `due` is what had to wait in storage "
    "since memory was full; `skipped` is what disabled webhooks missed.",
    "notification_attempts_total": "Whether receivers are well, and what is wrong where not. "
    "`error_code` is empty for those that succeeded.",
    "notification_attempt_duration_seconds": "How fast receivers answer. What an interrupted "
    "attempt took is not known, so it is not in here.",
    "notification_attempt_phase_seconds": "Where the time goes. `look_up`, `connect` and `tls` are "
    "of new connections and that come to their end; slow ones for all receivers are your own "
    "network. `first_byte` is how long a receiver thinks. Only the native sender tells.",
    "notification_in_flight": "How close the process is to its bound.",
    "notification_in_flight_limit": "What `WEBHOOKS_MAX_IN_FLIGHT` says.",
    "notification_batch_size": "Whether work is done in batches: with little to do they are small, "
    "under load large, or each event costs more than it should. Claims that find nothing do not "
    "count.",
    "notification_deliveries_pending": "What waits for its time or for a process to take it, and "
    "what is in the hands of one, in the whole storage. It stops at 100,000, and is measured every "
    "10 seconds at most. It is not there while the storage does not answer.",
    "notification_oldest_due_seconds": "Whether deliveries keep up. It should stay at a few "
    "seconds. Webhooks that are disabled do not count, nor those that had as many requests in "
    "flight as they may have since then: no receiver moves it. Processes that send show it.",
    "notification_first_attempt_seconds": "How long receivers wait for news. Not in here are "
    "deliveries that waited for their own webhook, which had as many requests in flight as it may "
    "have or was changed meanwhile: no receiver moves it.",
    "notification_environments_sent_to": "Whether it is one customer or you. An environment "
    "succeeded if the latest attempt of any of its webhooks did, so that one customer counts as "
    "one, however many attempts fail.",
    "notification_db_transactions": "How close the process is to waiting for connections.",
    "notification_db_transactions_limit": "What `DB_POOL_SIZE` says; of a SQLite file one that "
    "writes and four that read.",
    "notification_waiting": "Whether sending keeps up. It should come back to 0.",
    "notification_deliveries_failed_total": "Events that a customer will not get unless asked for.",
    "notification_webhooks_disabled_total": "Webhooks that answered 410 (`gone`), or only failed "
    "for `WEBHOOKS_DISABLE_AFTER` (`failing`). Their owners should be told.",
    "notification_leases_reaped_total": "A process was killed, or hung for a lease's time.",
    "notification_resource_short_total": "Anything here is a fault of this machine, not of a "
    "receiver: the log says what ran out. No retry is used up; while it lasts, nothing is claimed.",
    "notification_leases_given_back_total": "Deliveries that came too late to be sent within "
    "their lease. They are sent later; many of them mean that the process is overloaded.",
    "notification_results_fenced_total": "A result came after the lease had ended. Each may be an "
    "event that a receiver got twice.",
    "notification_api_requests_total": "Traffic and errors of the API. `route` is the path's "
    "template; `unmatched` is a path that does not exist.",
    "notification_loop_errors_total": "Something in the background failed and was tried again. "
    "The log says what.",
    "notification_log_lines_dropped_total": "Whatever reads the log is stuck, or its disk is full. "
    "The processes go on; once the log can be written again, `log_lines_dropped` says how many.",
    "notification_processes": "With `--workers`, how many serve; the supervisor is not one of "
    "them. It should be as many as were asked for.",
    "notification_worker_restarts_total": "Workers were killed, or failed: the log says how each "
    "one ended. The others have gone on meanwhile.",
    "notification_build_info": "Which version runs where; `pod` is `POD_NAME`.",
}


class _Collected(Metrics):
    """The metrics as the registry knows them."""

    def collectors(self) -> Iterator[MetricWrapperBase | Timings]:
        """Yield each metric in the order of its making."""
        known = self._registry._collector_to_names  # noqa: SLF001 - it tells its labels nowhere else
        yield from (each for each in known if isinstance(each, MetricWrapperBase | Timings))


def metrics_page() -> Sequence[str]:
    """Return the parts of the page."""
    return [
        "# Metrics",
        (
            "`/metrics` of the ops server, in Prometheus' text format. No label names a webhook or "
            "an environment, so that the number of series stays bounded. Counters begin at 0 "
            "with each start of the command. With `--workers` the supervisor answers for all of "
            "them: it adds up, and a worker that ends takes nothing of what it has counted away."
        ),
        *(_metric(each) for each in _Collected("", "").collectors()),
    ]


def _metric(metric: MetricWrapperBase | Timings) -> str:
    (described,) = metric.collect() if isinstance(metric, Timings) else metric.describe()
    name = f"{described.name}_total" if isinstance(metric, Counter) else described.name
    named = metric.labels if isinstance(metric, Timings) else metric._labelnames  # noqa: SLF001 - as above
    labels = ", ".join(f"`{label}`" for label in named)
    if name not in LEARNED:
        raise SystemExit(f"Say in docs/metrics_page.py what one learns from {name}.")
    return (
        f"`{name}`\n: {_kind(metric)}{f', by {labels}' if labels else ''}. "
        f"{described.documentation}\n  {LEARNED[name]}"
    )


def _kind(metric: MetricWrapperBase | Timings) -> str:
    kinds: Mapping[type, str] = {
        Counter: "Counter",
        Gauge: "Gauge",
        Histogram: "Histogram",
        Timings: "Histogram",
    }
    return kinds[type(metric)]
