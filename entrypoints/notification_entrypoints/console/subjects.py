"""What the paths of pages name: the webhook, the delivery that a page is about."""

from aiohttp import web

from notification_entrypoints.console.api import ApiResult
from notification_entrypoints.console.page import ConsolePage, id_in

_WEBHOOK = web.RequestKey("webhook", ApiResult)


async def webhook_of(page: ConsolePage) -> ApiResult:
    """Return the webhook that a path names.

    It is read once for a page, also if that shows again what was refused. Raises
    :class:`aiohttp.web.HTTPNotFound` if it is of another environment than the path says, and
    :class:`RequestRefused` if there is none.
    """
    if _WEBHOOK in page.request:
        return page.request[_WEBHOOK]
    webhook_id = id_in(page.request.match_info["webhook_id"])
    webhook = await page.api.call("getWebhook", webhook_id=webhook_id)
    if webhook.json["environment_id"] != str(page.environment):
        raise web.HTTPNotFound
    page.request[_WEBHOOK] = webhook
    return webhook
