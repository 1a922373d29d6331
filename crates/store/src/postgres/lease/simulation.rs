//! The protocol of rounds.rs against a database in memory, with nodes that are slow, paused for longer
//! than their lease, killed and born in any order, and whose clocks run up to 2 % apart. What must hold
//! at every moment: no two nodes rely on one shard. What must hold in the end: every shard has its heir.
//!
//! Each phase of a round is one step here, because it is one transaction there; between any two of
//! them anything may happen to anybody.

use super::plan::{LEAVING_MAX, Plan, View, plan};
use super::{EXPIRY, HEARTBEAT_EVERY, RELY_ON};
use dacapo_model::{Id, Shard};
use std::collections::{BTreeMap, BTreeSet};

const WALKS: u64 = 12;
const STEPS: u32 = 3_000;
const NODES_MAX: usize = 5;

/// splitmix64: the same seed, the same walk.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut value = self.0;
        value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (value ^ (value >> 31)) % sides
    }
}

/// Milliseconds of the database's clock.
type At = u64;

#[derive(Default)]
struct Database {
    heartbeats: BTreeMap<Id, At>,
    shards: BTreeMap<Shard, (Option<Id>, u64)>,
}

impl Database {
    fn is_living(&self, node: Id, now: At) -> bool {
        self.heartbeats.get(&node).is_some_and(|heartbeat| heartbeat + millis(EXPIRY) > now)
    }
}

#[derive(Clone, Debug)]
enum Phase {
    Beat,
    Look { sent: At },
    Take { plan: Plan },
    LetGo { shards: Vec<Shard> },
}

struct Node {
    id: Id,
    /// Thousandths its clock runs fast or slow.
    drift: i64,
    owned: BTreeMap<Shard, u64>,
    leaving: BTreeMap<Shard, Id>,
    /// By its own clock.
    deadline: At,
    phase: Phase,
    next_at: At,
}

impl Node {
    fn clock(&self, now: At) -> At {
        now.saturating_add_signed(now.cast_signed() * self.drift / 1_000)
    }

    fn relies_on(&self, shard: Shard, now: At) -> bool {
        self.owned.contains_key(&shard) && self.clock(now) < self.deadline
    }
}

struct World {
    dice: Dice,
    now: At,
    database: Database,
    nodes: Vec<Node>,
    born: u128,
    /// Puts the deadline off with the heartbeat, before it looks what is left: wrong.
    hasty: bool,
}

fn millis(span: std::time::Duration) -> At {
    At::try_from(span.as_millis()).expect("short")
}

impl World {
    fn new(seed: u64, hasty: bool) -> Self {
        let shards = Shard::all().map(|shard| (shard, (None, 0))).collect();
        let database = Database { shards, ..Database::default() };
        Self { dice: Dice(seed), now: 1_000, database, nodes: Vec::new(), born: 0, hasty }
    }

    fn step(&mut self, chaos: bool) {
        self.now += self.dice.roll(120);
        if chaos && (self.nodes.is_empty() || self.dice.roll(150) == 0) && self.nodes.len() < NODES_MAX {
            self.born += 1;
            let drift = self.dice.roll(21).cast_signed() - 10;
            self.nodes.push(Node {
                id: Id::from_u128(self.born << 64 | self.born),
                drift,
                owned: BTreeMap::new(),
                leaving: BTreeMap::new(),
                deadline: 0,
                phase: Phase::Beat,
                next_at: self.now,
            });
        }
        if chaos && self.nodes.len() > 1 && self.dice.roll(400) == 0 {
            let at = self.dice.roll(self.nodes.len() as u64) as usize;
            self.nodes.remove(at);
        }
        for at in 0..self.nodes.len() {
            if self.nodes[at].next_at <= self.now {
                self.advance(at);
                let pause = match self.dice.roll(if chaos { 60 } else { u64::MAX }) {
                    0 => 30_000,
                    1..4 => 9_500,
                    4..10 => 3_000,
                    _ => 60,
                };
                let node = &mut self.nodes[at];
                let idle = if matches!(node.phase, Phase::Beat) { millis(HEARTBEAT_EVERY) } else { 0 };
                node.next_at = self.now + idle + self.dice.roll(pause);
            }
        }
    }

    /// One transaction of one node.
    fn advance(&mut self, at: usize) {
        let (now, hasty) = (self.now, self.hasty);
        let (node, database) = (&mut self.nodes[at], &mut self.database);
        node.phase = match node.phase.clone() {
            Phase::Beat => {
                // Sent a little before the database gets it.
                let sent = node.clock(now - self.dice.roll(50));
                database.heartbeats.insert(node.id, now);
                if hasty {
                    node.deadline = sent + millis(RELY_ON);
                }
                Phase::Look { sent }
            }
            Phase::Look { sent } => {
                let living = database.heartbeats.keys().copied().filter(|id| database.is_living(*id, now)).collect();
                let owners = database.shards.iter().map(|(shard, (owner, _))| (*shard, *owner)).collect();
                let view = View {
                    me: node.id,
                    living: &living,
                    owners: &owners,
                    leaving: &node.leaving,
                    leaving_max: LEAVING_MAX,
                };
                let plan = plan(view);
                let mine = database.shards.iter().filter(|(_, (owner, _))| *owner == Some(node.id));
                node.owned = mine.map(|(shard, (_, epoch))| (*shard, *epoch)).collect();
                node.leaving.clone_from(&plan.leave);
                node.deadline = sent + millis(RELY_ON);
                Phase::Take { plan }
            }
            Phase::Take { plan } => {
                for shard in plan.take {
                    let (owner, epoch) = database.shards[&shard];
                    if owner.is_none_or(|owner| owner != node.id && !database.is_living(owner, now)) {
                        database.shards.insert(shard, (Some(node.id), epoch + 1));
                        node.owned.insert(shard, epoch + 1);
                    }
                }
                // Quiet at once, some of them.
                let shards: Vec<Shard> = plan.leave.into_keys().filter(|_| self.dice.roll(3) > 0).collect();
                // Local first.
                node.owned.retain(|shard, _| !shards.contains(shard));
                Phase::LetGo { shards }
            }
            Phase::LetGo { shards } => {
                for shard in shards {
                    if let Some((owner, _)) = database.shards.get_mut(&shard)
                        && *owner == Some(node.id)
                    {
                        *owner = None;
                    }
                }
                Phase::Beat
            }
        };
    }

    /// A shard that two rely on.
    fn torn(&self) -> Option<Shard> {
        Shard::all().find(|shard| self.nodes.iter().filter(|node| node.relies_on(*shard, self.now)).count() > 1)
    }

    fn settle(&mut self) {
        let until = self.now + 3 * millis(EXPIRY) + 30_000 + 16 * 2 * millis(HEARTBEAT_EVERY);
        while self.now < until {
            self.step(false);
        }
    }
}

#[test]
fn no_two_nodes_rely_on_one_shard() {
    for seed in 0..WALKS {
        let mut world = World::new(seed, false);
        for step in 0..STEPS {
            world.step(true);
            assert_eq!(world.torn(), None, "seed {seed}, step {step}");
        }
        world.settle();
        let living: BTreeSet<Id> = world.nodes.iter().map(|node| node.id).collect();
        let mut shares = BTreeMap::<Id, usize>::new();
        for (shard, (owner, _)) in &world.database.shards {
            let owner = owner.filter(|owner| living.contains(owner));
            let owner = owner.unwrap_or_else(|| panic!("seed {seed}: nobody owns {shard}"));
            *shares.entry(owner).or_default() += 1;
        }
        assert_eq!(shares.len(), living.len(), "seed {seed}: everybody has a share: {shares:?}");
    }
}

/// The walks are wild enough to find what the order of a round is there for.
#[test]
fn a_hasty_node_is_found_out() {
    let torn = (0..WALKS).any(|seed| {
        let mut world = World::new(seed, true);
        (0..STEPS).any(|_| {
            world.step(true);
            world.torn().is_some()
        })
    });
    assert!(torn);
}
