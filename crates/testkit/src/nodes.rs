//! Several real nodes on one real PostgreSQL: started together, killed, frozen, cut off, asked who owns what.
//!
//! Every node has a data directory of its own and the keys of the one that set the database up. All of it
//! goes when the handle does.

pub mod kills;
mod load;
mod view;

pub use load::{Courses, Spread, Stream};
pub use view::{NodeLine, owner_of, owners_among, settled_on};

use crate::product::{self, FirstRun, Options, Product};
use crate::proxy::Proxy;
use anyhow::{Context, Result, ensure};
use dacapo_peers::Postgres;
use std::path::PathBuf;
use std::time::Duration;
use tempfile::TempDir;

/// Most nodes of one test.
const NODES_MAX: usize = 9;
/// From ready to a fair share of the shards: two heartbeats, and each batch of shards leaves with one.
const SHARED_OUT_WITHIN: Duration = Duration::from_secs(30);
/// The database all nodes share.
const DATABASE: &str = "postgres";

impl std::fmt::Debug for Nodes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Nodes").field("each", &self.each).finish_non_exhaustive()
    }
}

/// The nodes of a test, by number; a node that was killed keeps its number, address and directory.
pub struct Nodes {
    pub postgres: Postgres,
    pub each: Vec<Product>,
    binary: PathBuf,
    args: Vec<String>,
    dir: TempDir,
}

impl Nodes {
    /// The first sets the database up, the others join; ready when the shards are shared out.
    pub async fn start(count: usize) -> Result<Self> {
        Self::start_with(product::binary()?, count, &[]).await
    }

    pub async fn start_with(binary: PathBuf, count: usize, args: &[&str]) -> Result<Self> {
        ensure!((1..=NODES_MAX).contains(&count), "nodes: 1 to {NODES_MAX}");
        let mut nodes = Self::none(binary, args)?;
        while nodes.each.len() < count {
            nodes.add().await?;
        }
        nodes.shared_out().await?;
        Ok(nodes)
    }

    /// A database, and nobody on it.
    pub fn none(binary: PathBuf, args: &[&str]) -> Result<Self> {
        Self::none_on(Postgres::start(&[]), binary, args)
    }

    /// The same on a server that is set up otherwise.
    pub fn none_on(postgres: Postgres, binary: PathBuf, args: &[&str]) -> Result<Self> {
        let dir = tempfile::Builder::new().prefix("dacapo-nodes-").tempdir()?;
        let args = args.iter().map(ToString::to_string).collect();
        Ok(Self { postgres, each: Vec::new(), binary, args, dir })
    }

    /// Arguments of every node that is started from here on.
    pub fn also(&mut self, args: &[&str]) {
        self.args.extend(args.iter().map(ToString::to_string));
    }

    /// One more node, which gets the next number.
    pub async fn add(&mut self) -> Result<usize> {
        self.add_at(&self.postgres.url(DATABASE)).await
    }

    /// The same, with a line to the database that can be cut.
    pub async fn add_behind(&mut self, proxy: &Proxy) -> Result<usize> {
        let url = self.postgres.url(DATABASE);
        let direct = format!("127.0.0.1:{}", self.postgres.port());
        self.add_at(&url.replace(&direct, &proxy.address().to_string())).await
    }

    /// The same, by another way to the database.
    pub async fn add_at(&mut self, url: &str) -> Result<usize> {
        let number = self.each.len();
        let options = self.options(number, url);
        let node = match self.each.first() {
            Some(first) => Product::join(options, first.keys().clone()).await,
            None => Product::start(options).await,
        };
        self.each.push(node.with_context(|| format!("start node {number}"))?);
        Ok(number)
    }

    /// How node `number` is started.
    pub fn options(&self, number: usize, url: &str) -> Options {
        let mut options = Options::new(self.binary.clone(), self.dir.path().join(format!("node-{number}")));
        options.args = vec!["--database-url".to_owned(), url.to_owned()];
        options.args.extend(self.args.iter().cloned());
        options
    }

    pub fn database_url(&self) -> String {
        self.postgres.url(DATABASE)
    }

    pub fn keys(&self) -> Result<&FirstRun> {
        Ok(self.each.first().context("no node")?.keys())
    }

    /// The addresses of these nodes.
    pub fn urls(&self, numbers: &[usize]) -> Vec<String> {
        numbers.iter().filter_map(|number| self.each.get(*number)).map(|node| node.url().to_owned()).collect()
    }

    /// Until every node that runs owns something, together they own everything, and nothing is about to move.
    pub async fn shared_out(&self) -> Result<()> {
        let running: Vec<&str> = self.each.iter().filter(|node| node.pid().is_ok()).map(Product::url).collect();
        let asked = self.each.iter().find(|node| node.pid().is_ok()).context("no node runs")?;
        settled_on(asked, &running, SHARED_OUT_WITHIN).await.map(drop)
    }
}
