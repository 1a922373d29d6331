//! The surfaces: HTTP in, HTTP out. What a caller may do is decided in `dacapo-control`, what
//! happens to events in `dacapo-engine`; here requests become calls and outcomes become answers.
//!
//! Start at `router.rs`: it is the table of contents, a line per operation. Each surface has one
//! layer in which status codes live (`convoy/error.rs`, `connect/error.rs`).

mod body;
mod connect;
mod convoy;
mod edge;
mod moment;
mod ops;
mod path;
mod query_string;
mod request_id;
mod router;
mod settings;

pub use convoy::view::meta_bodies::MetaBodies;
pub use edge::Surfaces;
pub use settings::Settings;

use dacapo_control::Control;
use dacapo_engine::Engine;
use dacapo_model::health::Shown;
use dacapo_model::{Endpoint, Timestamp};
use dacapo_store::roles::Query;
use request_id::RequestIds;
use std::sync::Arc;

/// What the surfaces work with; all of it is handed in.
#[derive(Clone)]
pub struct ApiState {
    pub control: Control,
    pub engine: Engine,
    /// History, for reading.
    pub store: Arc<dyn Query>,
    pub settings: Settings,
}

/// [`ApiState`] as handlers hold it: shared, one pointer to clone per request.
struct Shared {
    control: Control,
    engine: Engine,
    store: Arc<dyn Query>,
    settings: Settings,
    request_ids: RequestIds,
}

impl Shared {
    fn new(state: ApiState) -> Self {
        let request_ids = RequestIds::new(&*state.control.entropy);
        Self { control: state.control, engine: state.engine, store: state.store, settings: state.settings, request_ids }
    }

    /// What this node knows of it.
    fn health_of(&self, endpoint: &Endpoint) -> Shown {
        self.engine.endpoint_health(endpoint)
    }

    fn now(&self) -> Timestamp {
        self.control.clock.now()
    }
}

/// How handlers take the state.
type Api = axum::extract::State<Arc<Shared>>;
