//! The table of contents: every path that is served, a line per operation.

use crate::convoy::{deliveries, endpoints, event_types, events, meta_events, projects, replays, subscriptions};
use crate::{Shared, connect, convoy, edge, ops};
use axum::Router;
use axum::routing::{any, get, post, put};
use std::sync::Arc;

/// Paths are written out, not nested: nesting would rewrite the URI of every request.
pub fn routes(shared: Arc<Shared>) -> Router {
    let convoy = Router::new()
        .route("/api/v1/projects/{project}", get(projects::get).put(projects::update).post(projects::update))
        .route("/api/v1/projects/{project}/endpoints", get(endpoints::list).post(endpoints::create))
        .route(
            "/api/v1/projects/{project}/endpoints/{id}",
            get(endpoints::get).put(endpoints::update).delete(endpoints::delete),
        )
        .route("/api/v1/projects/{project}/endpoints/{id}/pause", put(endpoints::pause))
        .route("/api/v1/projects/{project}/endpoints/{id}/activate", post(endpoints::activate))
        .route("/api/v1/projects/{project}/endpoints/{id}/expire_secret", put(endpoints::expire_secret))
        .route("/api/v1/projects/{project}/subscriptions", get(subscriptions::list).post(subscriptions::create))
        // What is no POST is about a subscription of that name.
        .route(
            "/api/v1/projects/{project}/subscriptions/test_filter",
            post(subscriptions::test_filter)
                .get(subscriptions::get)
                .put(subscriptions::update)
                .delete(subscriptions::delete),
        )
        .route(
            "/api/v1/projects/{project}/subscriptions/{id}",
            get(subscriptions::get).put(subscriptions::update).delete(subscriptions::delete),
        )
        .route("/api/v1/projects/{project}/event-types", get(event_types::list).post(event_types::create))
        // What is no POST is about an event type of that name.
        .route("/api/v1/projects/{project}/event-types/import", post(event_types::import).put(event_types::update))
        .route("/api/v1/projects/{project}/event-types/{id}", put(event_types::update))
        .route("/api/v1/projects/{project}/event-types/{id}/deprecate", post(event_types::deprecate))
        // POST is a new event and does not come here: see edge.rs.
        .route("/api/v1/projects/{project}/events", get(events::list).post(unknown_path))
        // What is not the named method is about an event of that name.
        .route("/api/v1/projects/{project}/events/batchreplay", post(events::batch_replay).get(events::get))
        .route("/api/v1/projects/{project}/events/countbatchreplayevents", get(events::count_batch_replay))
        .route("/api/v1/projects/{project}/events/search", get(events::search::get).post(events::search::post))
        .route(
            "/api/v1/projects/{project}/events/search/count",
            get(events::search::count_get).post(events::search::count_post),
        )
        .route("/api/v1/projects/{project}/events/{id}", get(events::get))
        .route("/api/v1/projects/{project}/events/{id}/replay", put(events::replay))
        .route("/api/v1/projects/{project}/replays", get(replays::list).post(replays::create))
        .route("/api/v1/projects/{project}/replays/{id}", get(replays::get).patch(replays::rate))
        .route("/api/v1/projects/{project}/replays/{id}/items", get(replays::items))
        .route("/api/v1/projects/{project}/replays/{id}/report", get(replays::report))
        .route("/api/v1/projects/{project}/replays/{id}/pause", post(replays::pause))
        .route("/api/v1/projects/{project}/replays/{id}/resume", post(replays::resume))
        .route("/api/v1/projects/{project}/replays/{id}/cancel", post(replays::cancel))
        .route("/api/v1/projects/{project}/eventdeliveries", get(deliveries::list))
        .route(
            "/api/v1/projects/{project}/eventdeliveries/batchretry",
            post(deliveries::batch_retry).get(deliveries::get),
        )
        .route("/api/v1/projects/{project}/eventdeliveries/forceresend", post(deliveries::force_resend))
        .route("/api/v1/projects/{project}/eventdeliveries/{id}", get(deliveries::get))
        .route("/api/v1/projects/{project}/eventdeliveries/{id}/resend", put(deliveries::resend))
        .route("/api/v1/projects/{project}/eventdeliveries/{id}/deliveryattempts", get(deliveries::attempts))
        .route("/api/v1/projects/{project}/eventdeliveries/{id}/deliveryattempts/{attempt}", get(deliveries::attempt))
        .route("/api/v1/projects/{project}/meta-events", get(meta_events::list))
        .route("/api/v1/projects/{project}/meta-events/{id}", get(meta_events::get))
        .route("/api/v1/projects/{project}/meta-events/{id}/resend", put(meta_events::resend));

    let connect = Router::new()
        .route("/connect/v1/events", get(connect::events::list).post(connect::events::create))
        .route("/connect/v1/events/{id}", get(connect::events::get))
        .route("/connect/v1/events/{id}/replay", post(connect::events::replay))
        .route("/connect/v1/webhook-deliveries", get(connect::deliveries::list))
        .route("/connect/v1/webhook-deliveries/{id}", get(connect::deliveries::get))
        .method_not_allowed_fallback(connect::wrong_method);

    let ops = Router::new()
        .route("/healthz", any(ops::health))
        .route("/health", any(ops::health))
        .route("/readyz", get(ops::ready))
        .route("/nodes", get(ops::nodes))
        .route("/metrics", get(ops::metrics));

    convoy.merge(connect).merge(ops).fallback(unknown_path).with_state(shared)
}

async fn unknown_path(uri: http::Uri) -> axum::response::Response {
    match edge::Area::of(uri.path()) {
        edge::Area::Connect => connect::unknown_path(),
        edge::Area::Convoy | edge::Area::Open | edge::Area::Bare => convoy::unknown_path(),
    }
}
