"""A shop that tells of its own events: ``python embed_shop.py FOLDER RECEIVER_URL``."""

import asyncio
import sys
from uuid import UUID

from notification_core.errors import InvalidEvent
from notification_entrypoints.embedded import WebhookDraft, migrate, open_notifications, settings

ENVIRONMENT = UUID("0b6f2e0c-5d0c-4d7e-8a57-2f7a3f0f6f10")
SECRET = "change-me-change-me-change-me-32"  # noqa: S105 - an example's

REFUND = {
    "type": "object",
    "required": ["order_id", "amount"],
    "properties": {
        "order_id": {"type": "string"},
        "amount": {"type": "number", "exclusiveMinimum": 0},
    },
}
# What shop.yaml is as a file, here as a value.
CATALOGUE = {
    "openapi": "3.1.0",
    "info": {"title": "Events of the shop", "version": "1.0"},
    "webhooks": {
        "order.refunded": {
            "post": {
                "summary": "A customer has their money back",
                "requestBody": {
                    "content": {
                        "application/json": {
                            "schema": REFUND,
                            "example": {"order_id": "1017", "amount": 24.9},
                        }
                    }
                },
            }
        }
    },
}


async def main(folder: str, url: str) -> None:
    """Subscribe a receiver, publish a refund, and find out that another one is wrong."""
    chosen = settings(
        CATALOGUE,
        DB_URI=f"sqlite:///{folder}/shop.sqlite",
        DB_ENCRYPTION_SECRET=SECRET,
        EVENT_VALIDATION="reject",
        WEBHOOKS_ALLOWED_NETWORKS="127.0.0.0/8",  # the receiver of this example is on loopback
    )
    await migrate(chosen)
    async with open_notifications(chosen) as notifications:
        draft = WebhookDraft(name="books", url=url, events=["order.refunded"])
        await notifications.webhooks.create(ENVIRONMENT, draft)
        for amount in (24.9, -24.9):
            data = {"order_id": "1017", "amount": amount}
            event = notifications.event(ENVIRONMENT, "order.refunded", data)
            try:
                await notifications.publish([event])
            except InvalidEvent as error:
                for field, message in error.details:
                    print(f"{field}: {message}")
        await notifications.drain()


if __name__ == "__main__":
    match sys.argv[1:]:
        case [folder, url]:
            asyncio.run(main(folder, url))
        case _:
            sys.exit("Usage: embed_shop.py FOLDER RECEIVER_URL")
