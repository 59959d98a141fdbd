"""The document as an installation serves it: with its own event types.

Its ``webhooks`` are what a receiver gets of each type, with every header and the whole body. They
are marked as generated, since a catalogue has the schemas of ``data`` instead. Operational events
are among them if the installation sends them to webhooks.
"""

from collections.abc import Iterator, Mapping
from itertools import cycle
from typing import TypeAlias, cast

import msgspec

from notification_adapters.event_formats.catalogue import default_catalogue
from notification_core.model.event_catalogue import GENERATED, with_references
from notification_core.model.event_types import EventCatalogue, EventCatalogues, EventType, Json
from notification_core.signing.signatures import SignatureHeaders

Object: TypeAlias = "dict[str, Json]"

_SCHEMAS, _PARAMETERS = "#/components/schemas/", "#/components/parameters/"
# What the names of generated components begin with; no component of the document does.
_OF_DATA, _OF_REQUEST = "data.", "sent."
_TEXT: Object = {"type": "string"}


def served_document(
    document: Mapping[str, Json], catalogues: EventCatalogues, headers: SignatureHeaders
) -> bytes:
    """Return the document as JSON, for the catalogues and the configured signature headers."""
    catalogue = catalogues.published
    components = cast("dict[str, Object]", document["components"])
    names: list[Json] = [*catalogue.types]
    known: Json = {**cast("Object", components["schemas"]["KnownEventName"]), "enum": names}
    examples = components["examples"]
    if catalogue is not default_catalogue():
        examples = cast("Object", _retold(examples, catalogue))
    sent = dict(_sent_headers(headers))
    served = {
        **document,
        "webhooks": {
            event_type.name: _webhook(event_type, [*sent])
            for event_type in catalogues.known.types.values()
        },
        "components": {
            **components,
            "schemas": {
                **components["schemas"],
                "KnownEventName": known,
                **dict(_data_schemas(catalogues.known)),
            },
            "parameters": {**components["parameters"], **sent},
            "examples": examples,
        },
    }
    return msgspec.json.encode(served)


def _webhook(event_type: EventType, headers: list[str]) -> Object:
    """Return the request that a receiver gets of an event type, as a path item of OpenAPI."""
    data = cast("Object", _rewritten(dict(event_type.schema)))
    for name in ("$schema", "$defs"):
        data.pop(name, None)
    properties: Object = {
        "id": {"$ref": f"{_SCHEMAS}EventId"},
        "type": {"const": event_type.name},
        "timestamp": {
            "description": "When it happened.",
            "type": "string",
            "format": "date-time",
        },
        "environment_id": {"type": "string", "format": "uuid"},
        "data": data,
    }
    example: Object = {
        "id": "019ab5c3-7f00-7aa1-8c11-2d6f0b8e4c77",
        "type": event_type.name,
        "timestamp": "2026-11-24T09:31:00.000000Z",
        "environment_id": "0b6f2e0c-5d0c-4d7e-8a57-2f7a3f0f6f10",
        "data": event_type.example,
    }
    schema: Object = {"type": "object", "required": [*properties], "properties": properties}
    content: Json = {"application/json": {"schema": schema, "example": example}}
    post: Object = {
        "tags": ["Events"],
        "summary": event_type.summary or event_type.name,
        "description": event_type.description,
        "security": [],
        "parameters": [{"$ref": f"{_PARAMETERS}{name}"} for name in headers],
        "requestBody": {"required": True, "content": content},
        "responses": {
            "2XX": {"description": "It was received. The body is only logged."},
            "410": {"description": "Nothing more is to be sent here: the webhook is disabled."},
            "default": {"description": "Not received: the delivery is retried."},
        },
    }
    if event_type.deprecated:
        post["deprecated"] = True
    return {GENERATED: True, "post": post}


def _sent_headers(headers: SignatureHeaders) -> Iterator[tuple[str, Json]]:
    """Yield the headers of a request beside the customer's own, as parameters of OpenAPI."""
    number: Object = {"type": "integer", "minimum": 1}
    seconds: Object = {"type": "string", "pattern": "^[0-9]{10}$"}
    described: list[tuple[str, str, Object]] = [
        (
            headers.signature,
            "The Ed25519 signature of timestamp and body, in hex.",
            _TEXT,
        ),
        (headers.timestamp, "The time of the signature in unix seconds.", seconds),
        (headers.key_id, "The id of the key that it was made with.", _TEXT),
        ("webhook-delivery", "The id of the delivery.", {"type": "string", "format": "uuid"}),
        ("webhook-attempt", "Which attempt of the delivery it is: 1, 2, …", number),
        ("User-Agent", "notification-management and its version.", _TEXT),
    ]
    signatures = (
        "Signatures of the Standard Webhooks scheme: v1a of each key, and v1 of each signing "
        "secret that the webhook has."
    )
    described += [
        ("webhook-id", "The id of the message: the same for each attempt.", _TEXT),
        ("webhook-timestamp", "The time of the signature in unix seconds.", seconds),
        ("webhook-signature", signatures, _TEXT),
    ]
    for name, description, schema in described:
        required = headers.standard or name != "webhook-signature"
        parameter: Object = {"name": name, "in": "header", "required": required}
        yield f"{_OF_REQUEST}{name}", {**parameter, "description": description, "schema": schema}


def _data_schemas(catalogue: EventCatalogue) -> Iterator[tuple[str, Json]]:
    """Yield the schemas that those of data refer to."""
    for event_type in catalogue.types.values():
        for name, schema in cast("Object", event_type.schema.get("$defs", {})).items():
            yield f"{_OF_DATA}{name}", _rewritten(schema)


def _rewritten(schema: Json) -> Json:
    """Return a schema of data that refers to the schemas of the document."""
    return with_references(schema, "#/$defs/", f"{_SCHEMAS}{_OF_DATA}")


def _retold(node: Json, catalogue: EventCatalogue) -> Json:
    """Return examples that tell of the events of a catalogue, and not of pipelines and jobs."""
    renamed = dict(zip(default_catalogue().types, cycle(catalogue.types), strict=False))

    def retold(node: Json) -> Json:
        match node:
            case str():
                return renamed.get(node, node)
            case list():
                told = [retold(element) for element in node]
                # Two types of the document may have become one.
                are_names = all(isinstance(element, str) for element in told)
                return [*dict.fromkeys(cast("list[str]", told))] if are_names else told
            case {"name": str(name), "schema": _, "example": _}:
                event_type = catalogue.types[renamed[name]]
                return {
                    "name": event_type.name,
                    "description": event_type.description,
                    "schema": dict(event_type.schema),
                    "example": event_type.example,
                }
            case {"event": str(name), "data": _} | {"type": str(name), "data": _}:
                data = catalogue.types[renamed[name]].example
                fields = cast("Object", node)
                return {key: retold(value) for key, value in fields.items()} | {"data": data}
            case dict():
                return {name: retold(value) for name, value in node.items()}
            case _:
                return node

    return retold(node)
