//! The parts of a running gateway, put together: store → catalog → rules → pipeline → surfaces.

use crate::config::Config;
use crate::ping;
use anyhow::{Context, Result};
use dacapo_api::{ApiState, MetaBodies, Surfaces};
use dacapo_control::Control;
use dacapo_engine::transport::{HttpTransport, Transport};
use dacapo_engine::{DeliveryThreads, Engine, Parts, Settings};
use dacapo_model::address::Guard;
use dacapo_model::clock::SharedClock;
use dacapo_model::id::SystemEntropy;
use dacapo_model::{Clock, IdSource};
use dacapo_store::postgres::{Options, PostgresStore};
use dacapo_store::sqlite::SqliteStore;
use dacapo_store::{LiveCatalog, Store, StoreError};
use std::sync::Arc;

pub struct Gateway {
    pub control: Control,
    pub engine: Engine,
    pub surfaces: Surfaces,
}

/// `url`: where this node is reached.
pub async fn build(config: &Config, url: &str, delivery: DeliveryThreads) -> Result<Gateway> {
    let clock = Arc::new(SharedClock::default());
    let store = open_store(config, url, &clock).await.context("cannot open the store")?;
    let (catalog, newest_id) = LiveCatalog::load(store.clone()).await.context("cannot read the catalog")?;
    let catalog = Arc::new(catalog);
    let clock: Arc<dyn Clock> = clock;
    let ids = Arc::new(IdSource::new(SystemEntropy));
    newest_id.inspect(|id| ids.start_after(*id));
    let settings = settings(config);
    let guard = Guard::new(config.allow_networks.clone());
    let transport: Arc<dyn Transport> = Arc::new(HttpTransport::new(guard.clone())?);
    let control = Control {
        catalog: catalog.clone(),
        clock: clock.clone(),
        ids: ids.clone(),
        entropy: Arc::new(SystemEntropy),
        pinger: ping::pinger(config, transport.clone(), settings.user_agent.clone()),
        guard,
    };

    let parts = Parts {
        store: store.clone(),
        catalog,
        clock,
        ids,
        entropy: Arc::new(SystemEntropy),
        transport,
        settings,
        bodies: Box::new(MetaBodies),
        delivery,
    };
    let engine = Engine::start(parts).await.context("cannot start the pipeline")?;
    let surfaces = dacapo_api::Surfaces::new(ApiState {
        control: control.clone(),
        engine: engine.clone(),
        store,
        settings: dacapo_api::Settings { body_bytes_max: config.body_bytes_max },
    });
    Ok(Gateway { control, engine, surfaces })
}

async fn open_store(config: &Config, url: &str, clock: &Arc<SharedClock>) -> Result<Arc<dyn Store>, StoreError> {
    Ok(match database(config, url) {
        None => Arc::new(SqliteStore::open(&config.data_dir)?),
        Some(options) => {
            let options = Options { clock: Arc::clone(clock), ..options };
            Arc::new(PostgresStore::open(&options).await?)
        }
    })
}

/// How to reach the shared database; `None` with the embedded store.
pub fn database(config: &Config, label: &str) -> Option<Options> {
    Some(Options {
        read_url: config.database_read_url.clone(),
        direct_url: config.database_direct_url.clone(),
        prepared: config.database_prepared,
        ..Options::new(config.database_url.clone()?, label)
    })
}

fn settings(config: &Config) -> Settings {
    Settings {
        response_body_bytes_max: config.response_body_bytes_max,
        lane_concurrency_max: config.lane_concurrency_max,
        lane_window_max: config.lane_window_max,
        exchanges_max: config.exchanges_max,
        fan_out_at_once_max: config.fan_out_at_once_max,
        retention: config.retention,
        ..Settings::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{self, Flags};

    /// The parts know what they were measured with; the table must not disagree.
    #[test]
    fn the_documented_defaults_are_those_of_the_parts() {
        let sources = config::gather(None, &std::collections::BTreeMap::new(), &Flags::new()).unwrap();
        let config = Config::from_sources(&sources).unwrap();
        assert_eq!(format!("{:?}", settings(&config)), format!("{:?}", Settings::default()));
        assert_eq!(config.body_bytes_max, dacapo_api::Settings::default().body_bytes_max);
    }
}
