//! What is measured: a process, a sink of its own, and where to send.

use super::{Settings, StoreKind};
use crate::generator::{Shape, Target};
use crate::nodes::Nodes;
use crate::procfs;
use crate::product::{Options, Product};
use crate::sink::{Keep, Plan, Sink};
use anyhow::{Context, Result};
use dacapo_peers::Postgres;
use serde_json::json;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use tempfile::TempDir;

/// What a small server of one's own would be given; durable as ever.
const POSTGRES: &[&str] = &["shared_buffers = 256MB", "max_wal_size = 4GB", "checkpoint_timeout = 15min"];

#[derive(Debug)]
pub struct Subject {
    pub sink: Sink,
    process: Process,
    _dir: Option<TempDir>,
}

#[derive(Debug)]
enum Process {
    Forwarder {
        child: Child,
        url: String,
    },
    Dacapo(Box<Product>),
    /// Several on one PostgreSQL, which counts as theirs.
    Nodes(Box<Nodes>),
}

impl Drop for Process {
    fn drop(&mut self) {
        if let Self::Forwarder { child, .. } = self {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

impl Subject {
    pub async fn forwarder(settings: &Settings) -> Result<Self> {
        let sink = Sink::start(Plan::default(), Keep::default()).await?;
        let mut child = Command::new(&settings.forwarder)
            .arg("--target")
            .arg(sink.url("/"))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("start {}", settings.forwarder.display()))?;
        let out = child.stdout.take();
        // From here on the child ends with its handle.
        let mut process = Process::Forwarder { child, url: String::new() };
        let mut line = String::new();
        BufReader::new(out.context("forwarder: no output")?).read_line(&mut line).context("forwarder: no address")?;
        if let Process::Forwarder { url, .. } = &mut process {
            line.trim().clone_into(url);
        }
        Ok(Self { sink, process, _dir: None })
    }

    pub async fn dacapo(settings: &Settings) -> Result<Self> {
        if settings.store == StoreKind::Postgres {
            return Self::nodes(settings, 1).await;
        }
        let binary = settings.dacapo.clone().context("no dacapo binary: name it with --dacapo")?;
        let sink = Sink::start(Plan::default(), Keep::default()).await?;
        let dir = tempfile::Builder::new().prefix("dacapo-bench-").tempdir_in(&settings.data_root)?;
        let product = Product::start(Options::new(binary, dir.path().join("data"))).await?;
        Ok(Self { sink, process: Process::Dacapo(Box::new(product)), _dir: Some(dir) })
    }

    /// This many nodes on a PostgreSQL of their own, each with its share of the shards.
    pub async fn nodes(settings: &Settings, count: usize) -> Result<Self> {
        let binary = settings.dacapo.clone().context("no dacapo binary: name it with --dacapo")?;
        let sink = Sink::start(Plan::default(), Keep::default()).await?;
        let mut nodes = Nodes::none_on(Postgres::start(POSTGRES), binary, &[])?;
        while nodes.each.len() < count {
            nodes.add().await?;
        }
        nodes.shared_out().await?;
        Ok(Self { sink, process: Process::Nodes(Box::new(nodes)), _dir: None })
    }

    /// CPU time so far of all its processes, microseconds.
    pub fn cpu_us(&self) -> Result<u64> {
        let Process::Nodes(nodes) = &self.process else { return procfs::cpu_us(self.pid()?) };
        let own = nodes.each.iter().map(|node| procfs::cpu_us(node.pid()?)).sum::<Result<u64>>()?;
        Ok(own + procfs::family_cpu_us(nodes.postgres.pid())?)
    }

    /// Proportional set size of all its processes, bytes.
    pub fn pss_bytes(&self) -> Result<u64> {
        let Process::Nodes(nodes) = &self.process else { return procfs::pss_bytes(self.pid()?) };
        let own = nodes.each.iter().map(|node| procfs::pss_bytes(node.pid()?)).sum::<Result<u64>>()?;
        Ok(own + procfs::family_pss_bytes(nodes.postgres.pid())?)
    }

    /// The nodes, where there are some.
    pub fn each_node(&self) -> Result<&Nodes> {
        match &self.process {
            Process::Nodes(nodes) => Ok(nodes),
            _ => anyhow::bail!("not on PostgreSQL"),
        }
    }

    /// What to send to each node: to the same endpoints, new ones at the sink.
    pub async fn node_targets(&mut self, endpoints: usize) -> Result<Vec<Arc<Target>>> {
        let url = self.sink.url("/");
        let nodes = self.each_node()?;
        let first = nodes.each.first().context("no node")?;
        let mut ids = Vec::with_capacity(endpoints);
        for index in 0..endpoints {
            ids.push(first.subscribed_endpoint(&format!("{url}{index}"), &json!({})).await?);
        }
        nodes.each.iter().map(|node| convoy_target(node, ids.clone())).collect()
    }

    pub fn pid(&self) -> Result<u32> {
        match &self.process {
            Process::Forwarder { child, .. } => Ok(child.id()),
            Process::Dacapo(product) => product.pid(),
            Process::Nodes(nodes) => nodes.each.first().context("no node")?.pid(),
        }
    }

    pub fn product(&mut self) -> Result<&mut Product> {
        match &mut self.process {
            Process::Forwarder { .. } => anyhow::bail!("the forwarder has no API"),
            Process::Dacapo(product) => Ok(product),
            Process::Nodes(nodes) => nodes.each.first_mut().context("no node"),
        }
    }

    /// Where events go that the forwarder is to forward.
    pub fn bare_target(&self) -> Result<Arc<Target>> {
        let url = match &self.process {
            Process::Forwarder { url, .. } => url.as_str(),
            Process::Dacapo(product) => product.url(),
            Process::Nodes(nodes) => nodes.each.first().context("no node")?.url(),
        };
        Ok(Arc::new(Target::new(url, &Shape::Bare, None)?))
    }

    /// New endpoints at the sink, each subscribed to everything, and the target that addresses them in turn.
    pub async fn endpoints_target(&mut self, count: usize) -> Result<Arc<Target>> {
        let url = self.sink.url("/");
        let product = self.product()?;
        let mut endpoints = Vec::with_capacity(count);
        for index in 0..count {
            endpoints.push(product.subscribed_endpoint(&format!("{url}{index}"), &json!({})).await?);
        }
        convoy_target(product, endpoints)
    }

    /// Events for whoever subscribes.
    pub fn connect_target(&mut self) -> Result<Arc<Target>> {
        let product = self.product()?;
        let key = product.keys().connect_key.clone();
        Ok(Arc::new(Target::new(product.url(), &Shape::Connect, Some(&key))?))
    }
}

pub fn convoy_target(product: &Product, endpoints: Vec<String>) -> Result<Arc<Target>> {
    let shape = Shape::Convoy { project_id: product.keys().project_id.clone(), endpoints };
    let bearer = format!("Bearer {}", product.keys().api_key);
    Ok(Arc::new(Target::new(product.url(), &shape, Some(&bearer))?))
}
