//! Runs in the simulation: what drives them does with the store what `replay/run.rs` does.

use super::*;
use dacapo_model::replay::Order;

/// One whose items go to each endpoint oldest first.
pub fn replay() -> Replay {
    let mut replay = super::replay(9);
    replay.definition.options.order = Order::PerEndpoint;
    replay.control.concurrency = 5;
    replay
}

impl World {
    pub fn is_ordered(&self, replay: Option<Id>) -> bool {
        let of_it = |one: &&Replay| Some(one.id) == replay;
        self.replays.iter().find(of_it).is_some_and(|one| one.definition.options.order == Order::PerEndpoint)
    }

    /// Everything older of its replay to its endpoint is settled in the store. What this node is told is not its
    /// any more it may hand out once more, when that was settled elsewhere.
    pub fn is_in_order(&self, work: &Work) -> bool {
        let (replay, endpoint) = (work.delivery.replay_id, work.delivery.endpoint_id);
        let older = |other: &&Work| {
            let other = &other.delivery;
            other.replay_id == replay && other.endpoint_id == endpoint && other.id < work.delivery.id
        };
        !self.is_ordered(replay) || !self.waiting.values().any(|other| older(&other))
    }

    /// So many items for the first endpoint, read into its lane.
    fn read_in(&mut self, replay: Id, count: usize) {
        let event = self.event_for(vec![target(0); count]);
        self.schedule_these(replay, &event);
        self.tick(1);
        self.begin_read();
        self.end_read();
    }

    /// Whoever drives the runs looks at one of them.
    pub fn drive(&mut self) {
        let index = self.dice.roll(self.replays.len() as u64) as usize;
        self.drive_one(index);
    }

    fn drive_one(&mut self, index: usize) {
        let (id, state) = (self.replays[index].id, self.replays[index].control.state);
        let now = self.clock.now();
        let is_ordered = self.is_ordered(Some(id));
        let mut heads = HashSet::new();
        let mut released = BTreeSet::new();
        for work in self.waiting.values_mut().filter(|work| work.delivery.replay_id == Some(id)) {
            let delivery = &mut work.delivery;
            match state {
                State::Paused if delivery.due_at <= now => delivery.due_at = HELD_UNTIL,
                State::Running
                    if delivery.due_at >= HELD_UNTIL && (!is_ordered || heads.insert(delivery.endpoint_id)) =>
                {
                    delivery.due_at = now;
                    released.insert(delivery.endpoint_id);
                }
                State::Running => {
                    heads.insert(delivery.endpoint_id);
                }
                State::Cancelled | State::Failed if delivery.due_at > now => {
                    delivery.due_at = now;
                    released.insert(delivery.endpoint_id);
                }
                _ => {}
            }
        }
        let released: Vec<Id> = released.into_iter().collect();
        self.dispatcher.arrived_for(PROJECT, &released, Class::Replay);
    }

    /// The process ends and starts again: what was not recorded is as it was.
    async fn crash(&mut self) {
        (self.dispatcher, self.requests) = World::dispatcher(&self.clock, WINDOW_MAX).await;
        self.reads.clear();
        self.in_exchange.clear();
        self.unrecorded.clear();
        self.given_up.clear();
        self.last_sent.clear();
        // Fresh deliveries have no row before the store is opened again.
        for order in &self.owed {
            let event = &self.events[order];
            let born = (0..u32::try_from(event.targets.len()).expect("few")).filter_map(|child| event.delivery(child));
            if let Some(delivery) = born.into_iter().find(|delivery| delivery.id.order() == *order) {
                self.waiting.entry(*order).or_insert_with(|| Work { delivery, event: Arc::clone(event) });
            }
        }
        self.dispatcher.adopt_replays(&self.replays);
        let backlog = |work: &Work| Backlog {
            project_id: work.delivery.project_id,
            endpoint_id: work.delivery.endpoint_id,
            class: work.delivery.class(),
            next_due: work.delivery.due_at,
        };
        self.dispatcher.take_up(&self.waiting.values().map(backlog).collect::<Vec<_>>());
    }
}

/// Whatever fails, is paused, or dies in between: of an ordered run each endpoint gets the next item when the one
/// before it is settled, not earlier.
#[tokio::test]
async fn an_ordered_run_keeps_its_order_over_failures_pauses_and_crashes() {
    let mut waited = 0;
    for seed in 0..WALKS {
        let mut world = World::new(seed, false).await;
        let ordered = world.replays.len() - 1;
        for step in 0..STEPS {
            world.step();
            if step % 3 == 0 && world.replays[ordered].control.state == State::Running {
                let (id, event) = (world.replays[ordered].id, world.event());
                if step % 12 == 0 {
                    world.schedule_these(id, &event);
                }
                world.drive();
            }
            let behind = |work: &&Work| {
                let (replay, endpoint) = (work.delivery.replay_id, work.delivery.endpoint_id);
                let follows = |other: &Work| {
                    let other = &other.delivery;
                    other.replay_id == replay && other.endpoint_id == endpoint && other.id > work.delivery.id
                };
                world.is_ordered(replay) && world.waiting.values().any(follows)
            };
            waited += world.in_exchange.iter().filter(behind).count();
            if world.dice.roll(100) == 0 {
                world.crash().await;
            }
        }
        world.dead.clear();
        for index in 0..world.replays.len() {
            world.steer_one(index, State::Running);
        }
        for _ in 0..SETTLING_STEPS {
            if world.owed.is_empty() {
                break;
            }
            world.drive();
            world.begin_read();
            world.end_read();
            world.take();
            world.finish(true);
            world.record();
            world.tick(5);
        }
        assert!(world.owed.is_empty(), "seed {seed}: {} deliveries were forgotten", world.owed.len());
    }
    assert!(waited > STEPS, "{waited}: nothing waited behind another");
}

/// An endpoint that is dead may be so for days: what is cancelled is discarded all the same, and nothing is sent there.
#[tokio::test]
async fn what_is_cancelled_behind_an_open_breaker_is_discarded_at_once() {
    const ITEMS: usize = 100;
    let mut world = World::new(7, false).await;
    world.never_fails = true;
    let dead = target(0).endpoint_id;
    world.dead.insert(dead);
    let (run, other) = (world.replays[0].id, world.replays[1].id);
    for _ in 0..ITEMS / 2 {
        let event = world.event_for(vec![target(0)]);
        world.schedule_these(run, &event);
    }
    let event = world.event_for(vec![target(0)]);
    world.schedule_these(other, &event);
    for _ in 0..ITEMS / 2 {
        let event = world.event_for(vec![target(0)]);
        world.schedule_these(run, &event);
    }
    while world.dispatcher.lock().lanes.get(&dead).is_none_or(|lane| lane.guard.open_until().is_none()) {
        world.tick(1);
        world.pump();
    }
    let attempts = world.ended[&dead];
    world.steer_one(0, State::Cancelled);
    let all = world.replays.len();
    // Nothing is due to be probed by then.
    for _ in 0..40 {
        for index in 0..all {
            world.drive_one(index);
        }
        world.tick(10);
        world.pump();
    }
    assert!(world.dispatcher.lock().lanes[&dead].guard.open_until().is_some_and(|until| until > world.clock.now()));
    assert_eq!(world.owed.len(), 1, "only what is not cancelled waits for the breaker");
    let discarded = world.ended[&dead] - attempts;
    assert_eq!(discarded, ITEMS as u64, "handed out to be discarded, nothing to be sent");
}

/// What is paused stays in memory until its turn, where it must not stand for something that can be sent.
#[tokio::test]
async fn a_live_event_behind_a_breaker_does_not_wait_for_a_run_that_is_paused() {
    let mut world = World::with_window(11, false, 64).await;
    world.never_fails = true;
    let dead = target(0).endpoint_id;
    world.dead.insert(dead);
    let run = world.replays[0].id;
    while world.dispatcher.lock().lanes.get(&dead).is_none_or(|lane| lane.guard.open_until().is_none()) {
        // More than are sent before it opens: some stay in memory.
        for _ in 0..30 {
            let event = world.event_for(vec![target(0)]);
            world.schedule_these(run, &event);
        }
        world.tick(1);
        world.pump();
    }
    let live = world.event_for(vec![target(0)]);
    world.commit_these(&[live]);
    world.steer_one(0, State::Paused);
    world.dead.clear();
    let before = world.ended[&dead];
    // Past the breaker's time, with nothing else to wake the lane.
    for _ in 0..60 {
        world.tick(1_000);
        world.pump();
    }
    assert!(world.ended[&dead] > before, "it was never read again");
}

/// A single replay does not wait for a run that is slow, nor a run for many single ones.
#[tokio::test]
async fn single_replays_and_runs_take_turns() {
    let mut world = World::with_window(3, false, 64).await;
    world.never_fails = true;
    let run = world.replays[0].id;
    world.read_in(run, 20);
    for _ in 0..3 {
        world.take();
    }
    assert_eq!(world.in_exchange.len(), 2, "as many as the run may have at a time");
    let single = |world: &World| world.ids.mint(world.clock.now()).0;
    let first = single(&world);
    world.read_in(first, 1);
    world.take();
    let newest = world.in_exchange.last().map(|work| work.delivery.replay_id);
    assert_eq!(newest, Some(Some(first)), "behind a run that has no place");
    for _ in 0..6 {
        let next = single(&world);
        world.read_in(next, 1);
    }
    let mut turns = Vec::new();
    while turns.len() < 10 {
        while !world.in_exchange.is_empty() {
            world.finish(true);
        }
        world.record();
        world.take();
        turns.extend(world.in_exchange.iter().map(|work| work.delivery.replay_id == Some(run)));
    }
    assert!(turns.windows(2).all(|pair| pair[0] != pair[1]), "not in turn: {turns:?}");
}

/// Whoever waits for its place, or for its endpoint's cap, waits alone; and is told when it need not any more.
#[tokio::test]
async fn a_run_that_has_to_wait_holds_up_no_other() {
    let mut world = World::with_window(3, false, 64).await;
    world.never_fails = true;
    let ids: Vec<Id> = world.replays.iter().map(|replay| replay.id).collect();
    let under_way = |world: &World, replay: Id| {
        world.in_exchange.iter().filter(|work| work.delivery.replay_id == Some(replay)).count()
    };
    // Two at a time; one at a time to an endpoint; one each 50 ms to an endpoint.
    for id in &ids[..3] {
        world.read_in(*id, 8);
    }
    for _ in 0..20 {
        world.take();
    }
    assert_eq!(ids[..3].iter().map(|id| under_way(&world, *id)).collect::<Vec<_>>(), [2, 1, 1]);
    for _ in 0..4 {
        world.finish(true);
    }
    for _ in 0..20 {
        world.take();
    }
    assert_eq!(ids[..3].iter().map(|id| under_way(&world, *id)).collect::<Vec<_>>(), [2, 1, 0], "it is not time yet");
    world.tick(50);
    world.take();
    assert_eq!(under_way(&world, ids[2]), 1, "its time has come, and its lane was told");
    assert_eq!(world.last_sent.len(), 1);
}

/// A cap that is lifted while an exchange hangs is lifted at once.
#[tokio::test]
async fn who_waits_for_a_cap_is_told_when_it_is_lifted() {
    let mut world = World::with_window(3, false, 64).await;
    world.never_fails = true;
    let run = world.replays[1].id;
    let event = world.event_for(vec![target(0); 4]);
    world.schedule_these(run, &event);
    world.tick(1);
    world.begin_read();
    world.end_read();
    for _ in 0..5 {
        world.take();
    }
    assert_eq!(world.in_exchange.len(), 1, "one at a time to an endpoint");
    world.replays[1].control.endpoint_concurrency = None;
    world.replays[1].control.concurrency = 3;
    world.replays[1].revision += 1;
    world.dispatcher.adopt_replays(&world.replays[1..2]);
    for _ in 0..5 {
        world.take();
    }
    assert_eq!(world.in_exchange.len(), 3, "as many as the run may have");
}
