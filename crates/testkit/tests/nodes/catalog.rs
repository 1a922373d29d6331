//! What is changed on one node counts on all: at once for what is sent after it, within a second for the owner of
//! what is under way.

use super::{SOON, turn};
use anyhow::{Context, Result, ensure};
use dacapo_testkit::clock;
use dacapo_testkit::nodes::{Courses, Nodes, Stream, owner_of};
use dacapo_testkit::product::{Product, Reply, content, text, uid, wait_until};
use dacapo_testkit::sink::{Keep, Plan, Sink};
use http::Method;
use serde_json::json;
use std::collections::BTreeSet;
use std::time::Duration;

const TIMES: usize = 100;
const PER_SECOND: u32 = 200;
/// From the answer to a change until the owner of the shard acts by it.
const HEARD_WITHIN: Duration = Duration::from_secs(1);

/// "Create an endpoint, then send" through a load balancer that never sends two calls to one node.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_endpoint_created_on_one_node_gets_what_is_sent_to_another_right_after() -> Result<()> {
    let _turn = turn().await;
    let nodes = Nodes::start(2).await?;
    let sink = Sink::start(Plan::default(), Keep { markers: TIMES, requests: 0 }).await?;
    for time in 0..TIMES {
        let (here, there) = (&nodes.each[time % 2], &nodes.each[(time + 1) % 2]);
        let kind = format!("order.created.{time}");
        let endpoint = here.create_endpoint(&sink.url("/"), &json!({})).await?;
        here.subscribe(&endpoint, &[&kind]).await?;
        let event = json!({"type": kind, "data": {"n": time}});
        let sent = there.connect(Method::POST, "/connect/v1/events", &[], Some(&event)).await?;
        ensure!(sent.status < 300, "{} {}", sent.status, sent.text);
    }
    let record = sink.record();
    let all = async || Ok((record.ledger().distinct() == TIMES as u64).then_some(()));
    let arrived = wait_until(SOON, "all are delivered", all).await;
    arrived.with_context(|| format!("{} of {TIMES} were routed", record.ledger().distinct()))?;
    ensure!(record.ledger().total() == TIMES as u64, "some came twice");
    Ok(())
}

/// The same where the event names the endpoint, and where it is only looked at.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_one_node_answered_every_node_knows() -> Result<()> {
    let _turn = turn().await;
    let nodes = Nodes::start(2).await?;
    let sink = Sink::start(Plan::default(), Keep { markers: TIMES, requests: 0 }).await?;
    for time in 0..TIMES {
        let (here, there) = (&nodes.each[time % 2], &nodes.each[(time + 1) % 2]);
        let endpoint = here.create_endpoint(&sink.url("/"), &json!({})).await?;
        there.send(&endpoint, "order.created", &json!({"n": time})).await?.expect(201)?;
        let endpoint = here.create_endpoint(&sink.url("/"), &json!({})).await?;
        there.get(&format!("/endpoints/{endpoint}")).await?.expect(200)?;
        there.delete(&format!("/endpoints/{endpoint}")).await?.expect(200)?;
        here.get(&format!("/endpoints/{endpoint}")).await?.expect(404)?;
    }
    let record = sink.record();
    let all = async || Ok((record.ledger().distinct() == TIMES as u64).then_some(()));
    wait_until(SOON, "all are delivered", all).await
}

/// A node that stood still has heard of nothing when the first request comes: what it knows is as old as can be.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whom_an_event_is_addressed_to_is_found_as_it_is_and_not_as_a_node_last_heard() -> Result<()> {
    let _turn = turn().await;
    let nodes = Nodes::start(2).await?;
    let sink = Sink::start(Plan::default(), Keep { markers: 0, requests: 0 }).await?;
    let (here, there) = (&nodes.each[0], &nodes.each[1]);
    let owned = json!({"owner_id": "o"});
    let first = here.create_endpoint(&sink.url("/"), &owned).await?;
    let to_owner = || json!({"app_id": "o", "event_type": "t", "data": {}});
    let reached = async |sent: Reply| {
        let deliveries = there.deliveries(sent.expect(201)?.header("x-event-id")).await?;
        Ok::<_, anyhow::Error>(
            deliveries.iter().map(|found| text(found, "endpoint_id").to_owned()).collect::<BTreeSet<_>>(),
        )
    };
    ensure!(reached(there.post("/events", &to_owner()).await?).await? == BTreeSet::from([first.clone()]));

    there.freeze()?;
    let second = here.create_endpoint(&sink.url("/"), &owned).await?;
    there.thaw()?;
    let both = BTreeSet::from([first.clone(), second.clone()]);
    ensure!(reached(there.post("/events", &to_owner()).await?).await? == both, "a second endpoint of the owner");

    there.freeze()?;
    let moved = json!({"name": "moved", "url": sink.url("/"), "owner_id": "another"});
    here.put(&format!("/endpoints/{first}"), &moved).await?.expect(202)?;
    there.thaw()?;
    let left = BTreeSet::from([second.clone()]);
    ensure!(reached(there.post("/events", &to_owner()).await?).await? == left, "one that is another owner's now");

    let subscriptions = content(&here.get("/subscriptions").await?.expect(200)?);
    let its = subscriptions.iter().find(|one| one["endpoint_metadata"]["uid"] == second.as_str());
    let its = uid(its.context("the second endpoint has no subscription")?)?;
    there.freeze()?;
    here.delete(&format!("/subscriptions/{its}")).await?.expect(200)?;
    there.thaw()?;
    ensure!(
        reached(there.post("/events", &to_owner()).await?).await? == left,
        "one without a subscription gets another"
    );

    there.freeze()?;
    here.delete(&format!("/endpoints/{second}")).await?.expect(200)?;
    there.thaw()?;
    let refused = there.send(&second, "t", &json!({})).await?.expect(400)?;
    ensure!(refused.message() == "endpoint not found", "{}", refused.text);

    there.freeze()?;
    here.set_config(&json!({"request_id_header": "X-Mine"})).await?;
    there.thaw()?;
    let refused = there.send(&first, "t", &json!({})).await?.expect(400)?;
    ensure!(refused.message().starts_with("idempotency_key is required"), "{}", refused.text);
    let event = json!({"type": "t", "data": {}});
    let refused = there.connect(Method::POST, "/connect/v1/events", &[], Some(&event)).await?.expect(400)?;
    ensure!(refused.text.contains("idempotency_key_required"), "{}", refused.text);
    Ok(())
}

/// A load on one endpoint, and a node that does not own its shard.
struct Scene {
    nodes: Nodes,
    sink: Sink,
    endpoint: String,
    stream: Stream,
    other: usize,
}

async fn scene() -> Result<Scene> {
    let nodes = Nodes::start(2).await?;
    let sink = Sink::start(Plan::default(), Keep { markers: 0, requests: 10_000 }).await?;
    let endpoint = nodes.each[0].subscribed_endpoint(&sink.url("/old"), &json!({})).await?;
    let keys = nodes.keys()?;
    let courses = Courses {
        nodes: nodes.each.iter().map(|node| node.url().to_owned()).collect(),
        project_id: keys.project_id.clone(),
        api_key: keys.api_key.clone(),
        endpoints: vec![endpoint.clone()],
    };
    let stream = Stream::start(courses, PER_SECOND)?;
    let flows = async || Ok((sink.record().delivered() > u64::from(PER_SECOND)).then_some(()));
    wait_until(SOON, "events flow", flows).await?;
    let owner = owner_of(&nodes.each[0].nodes().await?, &endpoint)?.context("no owner")?;
    let other = nodes.each.iter().position(|node| node.url() != owner).context("one node owns everything")?;
    Ok(Scene { nodes, sink, endpoint, stream, other })
}

impl Scene {
    fn other(&self) -> &Product {
        &self.nodes.each[self.other]
    }

    /// When the last request to this path came.
    fn last_to(&self, path: &str) -> u64 {
        self.sink.record().seen().iter().filter(|seen| seen.path == path).map(|seen| seen.at_us).max().unwrap_or(0)
    }

    /// How long after `at_us` requests to the old path still came; looks for twice the time they may.
    async fn straggled(&self, at_us: u64) -> Duration {
        tokio::time::sleep(HEARD_WITHIN * 2).await;
        Duration::from_micros(self.last_to("/old").saturating_sub(at_us))
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_on_one_node_is_heeded_by_the_owner_within_a_second() -> Result<()> {
    let _turn = turn().await;
    let scene = scene().await?;
    let moved = json!({"name": "moved", "url": scene.sink.url("/new")});
    scene.other().put(&format!("/endpoints/{}", scene.endpoint), &moved).await?.expect(202)?;
    let straggled = scene.straggled(clock::micros()).await;
    println!("a new URL: the last request to the old one came {straggled:?} after the change");
    ensure!(straggled < HEARD_WITHIN, "the owner still sent to the old URL after {straggled:?}");
    ensure!(scene.last_to("/new") > 0, "nothing came to the new URL");

    let back = json!({"name": "moved back", "url": scene.sink.url("/old")});
    scene.other().put(&format!("/endpoints/{}", scene.endpoint), &back).await?.expect(202)?;
    let before = scene.sink.record().requests();
    let flows = async || Ok((scene.sink.record().requests() > before + u64::from(PER_SECOND)).then_some(()));
    wait_until(SOON, "events flow", flows).await?;
    let paused = scene.other().put(&format!("/endpoints/{}/pause", scene.endpoint), &json!({})).await?.expect(202)?;
    ensure!(text(paused.data(), "status") == "paused", "{}", paused.text);
    let straggled = scene.straggled(clock::micros()).await;
    println!("a pause: the last request came {straggled:?} after it");
    ensure!(straggled < HEARD_WITHIN, "sent {straggled:?} after the pause");
    let seen = scene.sink.record().requests();
    scene.stream.stop(SOON).await?;
    ensure!(scene.sink.record().requests() == seen, "a paused endpoint was sent to");
    Ok(())
}
