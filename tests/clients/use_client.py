"""Use the client that openapi-python-client makes: create a webhook, publish, and read both back.

Arguments: the folder of the generated package, API, environment. It runs where that package's own
dependencies are installed, and nothing of this project.
"""

import importlib
import sys
from uuid import UUID


def main(folder: str, api: str, environment: str) -> None:
    """Do all of it, and print the delivery status."""
    sys.path.insert(0, folder)
    name = "notification_management_client"
    package = importlib.import_module(name)
    models = importlib.import_module(f"{name}.models")
    operations = {
        operation: importlib.import_module(f"{name}.api.{tag}.{operation}")
        for tag, operation in (
            ("webhooks", "create_webhook"),
            ("webhooks", "get_webhook"),
            ("events", "publish_events"),
            ("deliveries", "list_deliveries"),
        )
    }
    client, environment_id = package.Client(base_url=api), UUID(environment)
    draft = models.WebhookDraft("Python", "https://example.com/hook", ["job-completed"])
    webhook = operations["create_webhook"].sync(environment_id, client=client, body=draft)
    data = {
        "job_id": "0b9a4c1e-6f43-4a55-8a4b-6e3cf2f3c001",
        "pipeline_id": "7d0a2c34-6c1f-4c7e-9a57-2f7a3f0f6f10",
        "status": "succeeded",
    }
    event_type = models.KnownEventName("job-completed")
    event = models.NewEvent(event_type, data, event_id="from-python")
    published = operations["publish_events"].sync(environment_id, client=client, body=event)
    assert not published.duplicate, published
    deliveries = operations["list_deliveries"].sync(webhook.webhook_id, client=client)
    refused = operations["get_webhook"].sync(environment_id, client=client)
    print(",".join(delivery.event_id for delivery in deliveries), refused.error_code)


if __name__ == "__main__":
    main(*sys.argv[1:])
