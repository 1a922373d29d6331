"""Convoy's own Python client, unchanged, against the product: every operation it shares with this release, and what it
makes of each answer. Its strict points are in contracts/convoy.md §11.1."""

import os
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from convoy import AuthenticatedClient
from convoy.api.delivery_attempts import get_delivery_attempt, get_delivery_attempts
from convoy.api.endpoints import (
    activate_endpoint,
    create_endpoint,
    delete_endpoint,
    expire_secret,
    get_endpoint,
    get_endpoints,
    pause_endpoint,
    update_endpoint,
)
from convoy.api.event_deliveries import (
    force_resend_event_deliveries,
    get_event_deliveries_paged,
    get_event_delivery,
    resend_event_delivery,
)
from convoy.api.event_types import create_event_type, get_event_types
from convoy.api.events import create_endpoint_event, get_endpoint_event, get_events_paged, replay_endpoint_event
from convoy.api.projects import get_project, update_project
from convoy.api.subscriptions import (
    create_subscription,
    delete_subscription,
    get_subscription,
    get_subscriptions,
    update_subscription,
)
from convoy import models as m

WITHIN_SECONDS = 20.0
POLL_SECONDS = 0.05

PROJECT = os.environ["DACAPO_PROJECT_ID"]
CLIENT = AuthenticatedClient(
    base_url=os.environ["DACAPO_URL"] + "/api", token=os.environ["DACAPO_API_KEY"], raise_on_unexpected_status=True
)


class Receiver(BaseHTTPRequestHandler):
    """Answers what `status` says and counts."""

    status = 200
    count = 0

    def do_POST(self) -> None:  # noqa: N802 (the base class names it)
        self.rfile.read(int(self.headers["Content-Length"]))
        type(self).count += 1
        self.send_response(type(self).status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        pass


def ok(response: Any, message: str) -> Any:
    """The `data` of a success with this message, as the client's own type."""
    assert response.parsed is not None, f"{response.status_code} is not documented: {response.content!r}"
    assert response.parsed.status is True, response.content
    assert response.parsed.message == message, f"{response.parsed.message!r} instead of {message!r}"
    return response.parsed.data


def until(what: str, probe: Callable[[], Any]) -> Any:
    deadline = time.monotonic() + WITHIN_SECONDS
    while time.monotonic() < deadline:
        value = probe()
        if value:
            return value
        time.sleep(POLL_SECONDS)
    raise AssertionError(f"not within {WITHIN_SECONDS} s: {what}")


def projects() -> None:
    project = ok(get_project.sync_detailed(PROJECT, client=CLIENT), "Project fetched successfully")
    assert project.uid == PROJECT
    strategy = m.ModelsStrategyConfiguration(type_="linear", duration=1, retry_count=1)
    body = m.ModelsUpdateProject(name=project.name, config=m.ModelsProjectConfig(strategy=strategy))
    updated = ok(update_project.sync_detailed(PROJECT, client=CLIENT, body=body), "Project updated successfully")
    assert updated.config.strategy.retry_count == 1


def event_types() -> None:
    body = m.ModelsCreateEventType(name="invoice.paid", category="billing", description="paid")
    created = ok(
        create_event_type.sync_detailed(PROJECT, client=CLIENT, body=body), "Event type created successfully"
    )
    assert created.name == "invoice.paid" and created.category == "billing"
    listed = ok(get_event_types.sync_detailed(PROJECT, client=CLIENT), "Event types fetched successfully")
    assert {"invoice.paid", "*"} <= {row.name for row in listed}, listed


def endpoints(url: str) -> str:
    body = m.ModelsCreateEndpoint(url=url, name="python", description="d", http_timeout=5, rate_limit=0)
    created = ok(create_endpoint.sync_detailed(PROJECT, client=CLIENT, body=body), "Endpoint created successfully")
    uid = created.uid
    assert len(created.secrets) == 1 and len(created.secrets[0].value) == 25, created.secrets
    assert created.advanced_signatures is True
    page = ok(get_endpoints.sync_detailed(PROJECT, client=CLIENT, per_page=50), "Endpoints fetched successfully")
    assert uid in [row.uid for row in page.content]
    got = ok(get_endpoint.sync_detailed(PROJECT, uid, client=CLIENT), "Endpoint fetched successfully")
    assert got.url == url and got.http_timeout == 5

    body = m.ModelsUpdateEndpoint(url=url, name="python two", description="e")
    updated = ok(update_endpoint.sync_detailed(PROJECT, uid, client=CLIENT, body=body), "Endpoint updated successfully")
    assert updated.name == "python two"
    paused = ok(
        pause_endpoint.sync_detailed(PROJECT, uid, client=CLIENT), "endpoint status updated successfully"
    )
    assert paused.status == "paused"
    active = ok(
        activate_endpoint.sync_detailed(PROJECT, uid, client=CLIENT), "endpoint status successfully activated"
    )
    assert active.status == "active"
    body = m.ModelsExpireSecret(secret="a new secret", expiration=1)
    rolled = ok(
        expire_secret.sync_detailed(PROJECT, uid, client=CLIENT, body=body), "endpoint secret expired successfully"
    )
    assert [secret.value for secret in rolled.secrets][-1] == "a new secret", rolled.secrets
    return uid


def subscriptions(endpoint: str) -> str:
    types = m.ModelsFilterConfiguration(event_types=["invoice.paid"])
    body = m.ModelsCreateSubscription(name="python", endpoint_id=endpoint, filter_config=types)
    created = ok(
        create_subscription.sync_detailed(PROJECT, client=CLIENT, body=body), "Subscription created successfully"
    )
    uid = created.uid
    page = ok(get_subscriptions.sync_detailed(PROJECT, client=CLIENT), "Subscriptions fetched successfully")
    assert [row.uid for row in page.content] == [uid]
    got = ok(get_subscription.sync_detailed(PROJECT, uid, client=CLIENT), "Subscription fetched successfully")
    assert got.endpoint_metadata.uid == endpoint and got.filter_config.event_types == ["invoice.paid"]
    types = m.ModelsFilterConfiguration(event_types=["*"])
    body = m.ModelsUpdateSubscription(name="python two", filter_config=types)
    updated = ok(
        update_subscription.sync_detailed(PROJECT, uid, client=CLIENT, body=body), "Subscription updated successfully"
    )
    assert updated.filter_config.event_types == ["*"] and updated.name == "python two"
    return uid


def send(endpoint: str, key: str) -> str:
    data = m.ModelsCreateEventDataType0.from_dict({"amount": 1})
    body = m.ModelsCreateEvent(endpoint_id=endpoint, event_type="invoice.paid", data=data, idempotency_key=key)
    ok(create_endpoint_event.sync_detailed(PROJECT, client=CLIENT, body=body), "Event queued successfully")
    page = ok(
        get_events_paged.sync_detailed(PROJECT, client=CLIENT, idempotency_key=key), "App events fetched successfully"
    )
    return page.content[0].uid


def delivered(event: str, status: str, count: int = 1) -> list[Any]:
    def probe() -> list[Any]:
        response = get_event_deliveries_paged.sync_detailed(PROJECT, client=CLIENT, event_id=event)
        rows = ok(response, "Event deliveries fetched successfully").content
        return rows if len(rows) == count and all(row.status == status for row in rows) else []

    return until(f"{count} deliveries {status}", probe)


def events(endpoint: str) -> None:
    event = send(endpoint, "py-1")
    delivery = delivered(event, "Success")[0]
    got = ok(get_endpoint_event.sync_detailed(PROJECT, event, client=CLIENT), "Endpoint event fetched successfully")
    assert got.event_type == "invoice.paid" and got.status == "Success" and got.data.to_dict() == {"amount": 1}
    got = ok(get_event_delivery.sync_detailed(PROJECT, delivery.uid, client=CLIENT), "Event Delivery fetched successfully")
    assert got.endpoint_id == endpoint and got.metadata.num_trials == 1
    attempts = ok(
        get_delivery_attempts.sync_detailed(PROJECT, delivery.uid, client=CLIENT),
        "Event delivery attempts fetched successfully",
    )
    assert len(attempts) == 1 and attempts[0].status is True and attempts[0].http_status == "200 OK"
    attempt = ok(
        get_delivery_attempt.sync_detailed(PROJECT, delivery.uid, attempts[0].uid, client=CLIENT),
        "Event delivery attempt fetched successfully",
    )
    assert attempt.msg_id == delivery.uid
    ok(replay_endpoint_event.sync_detailed(PROJECT, event, client=CLIENT), "Endpoint event replayed successfully")
    delivered(event, "Success", 2)
    body = m.ModelsIDs(ids=[delivery.uid])
    ok(
        force_resend_event_deliveries.sync_detailed(PROJECT, client=CLIENT, body=body), "1 successful, 0 failed"
    )


def resend(endpoint: str) -> None:
    Receiver.status = 500
    event = send(endpoint, "py-2")
    delivery = delivered(event, "Failure")[0]
    assert delivery.description == "Retry limit exceeded", delivery.description
    Receiver.status = 200
    ok(
        resend_event_delivery.sync_detailed(PROJECT, delivery.uid, client=CLIENT),
        "App event processed for retry successfully",
    )
    delivered(event, "Success")


def deletes(endpoint: str, subscription: str) -> None:
    ok(
        delete_subscription.sync_detailed(PROJECT, subscription, client=CLIENT), "Subscription deleted successfully"
    )
    ok(delete_endpoint.sync_detailed(PROJECT, endpoint, client=CLIENT), "Endpoint deleted successfully")
    gone = get_endpoint.sync_detailed(PROJECT, endpoint, client=CLIENT)
    assert gone.status_code == 404 and gone.parsed.status is False, gone.content


def main() -> None:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        projects()
        event_types()
        endpoint = endpoints(f"http://127.0.0.1:{server.server_port}/hook")
        subscription = subscriptions(endpoint)
        events(endpoint)
        resend(endpoint)
        deletes(endpoint, subscription)
    finally:
        server.shutdown()
    print("Convoy's Python client: every shared operation answers as it expects")


if __name__ == "__main__":
    main()
