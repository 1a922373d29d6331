//! What the hot statements touch, by the planner's own word, on tables that are not empty.

use super::server::{Database, Server};
use crate::conformance::subject::ENDPOINT;
use crate::postgres::partitions::{day_of, start_of};
use crate::postgres::query::deliveries::{self, Table, Way};
use crate::postgres::query::events;
use crate::postgres::scan::{item, streams};
use crate::postgres::session::{Purpose, Sql, Step};
use crate::postgres::sql::Conditions;
use crate::postgres::{PostgresStore, codec::uuid, fan_out, meta_events, queue, rows};
use crate::roles::{DeliveryFilter, EventFilter, Load, Retention, ScanRequest};
use dacapo_model::clock::SystemClock;
use dacapo_model::{Clock, Id, Shard};
use std::sync::Arc;
use std::time::Duration;

/// Events of today, each settled, and as many waiting; many endpoints and projects.
const FILL: &str = "
    INSERT INTO events SELECT i.id, i.project, 'a', NULL, NULL, NULL, 0, '', '' FROM rows i;
    INSERT INTO settled SELECT i.id, i.project, i.endpoint, i.id, 0, 3, false, '' FROM rows i;
    INSERT INTO waiting SELECT i.id, i.n % 256, i.endpoint, i.n % 3, i.n, i.project, i.id, 0, '' FROM rows i;
    ANALYZE";

struct Filled {
    database: Database,
    store: PostgresStore,
    today: u64,
}

impl Filled {
    async fn empty() -> Self {
        let database = Server::shared().database().await;
        let store = PostgresStore::open(&database.options()).await.expect("opens");
        Self { database, store, today: day_of(SystemClock.now()) }
    }

    async fn new() -> Self {
        Self::of(10_000).await
    }

    async fn of(rows: u32) -> Self {
        let Self { database, store, today } = Self::empty().await;
        let first = &start_of(today).as_uuid().to_string()[..13];
        let fill = format!(
            "CREATE TABLE rows AS SELECT n, ('{first}-' || to_char(n / 100 + 1000, 'FM0000') || '-0000-' || \
             lpad(n::text, 12, '0'))::uuid AS id, md5((n % 50)::text)::uuid AS project, md5((n % 700)::text)::uuid AS endpoint \
             FROM generate_series(1, {rows}) n;{FILL}"
        );
        database.sql(&fill).await;
        Self { database, store, today }
    }

    /// The plan's text.
    async fn plan(
        &self,
        purpose: Purpose,
        text: &str,
        values: Vec<(crate::postgres::session::Value<'_>, tokio_postgres::types::Type)>,
    ) -> String {
        let explain = format!("EXPLAIN {text}");
        let rows = self.store.inner.work.once(purpose, Step::Once(&explain, values)).await.expect("explains");
        rows.iter().map(|row| row.get::<_, String>(0)).collect::<Vec<_>>().join("\n")
    }

    async fn plan_of(&self, sql: &Sql, values: Vec<crate::postgres::session::Value<'_>>) -> String {
        self.plan(Purpose::Work, sql.text, values.into_iter().zip(sql.types.iter().cloned()).collect()).await
    }

    /// Of a statement of `settle_first_attempts`.
    async fn plan_of_settling(&self, from: &str, until: &str) -> String {
        let (ids, numbers, codes) = (vec![uuid(ENDPOINT); 2], vec![1i32; 2], vec![1i16; 2]);
        let (details, epochs, node) = (vec![Vec::<u8>::new(); 2], vec![1i64; 2], uuid(ENDPOINT));
        let values: Vec<crate::postgres::session::Value<'_>> = vec![
            &"on", &1i32, &1i32, &codes, &epochs, &node, &ids, &numbers, &ids, &ids, &ids, &codes, &codes, &details,
        ];
        let values = values.into_iter().zip(rows::SETTLE_FIRST_ATTEMPTS.types.iter().cloned()).collect();
        self.plan(Purpose::Work, within_a_function(from, until), values).await
    }

    async fn plan_of_list(&self, select: &str, conditions: &Conditions, column: &str) -> String {
        let text = format!("{select} WHERE {} ORDER BY {column} DESC LIMIT 21", conditions.sql());
        self.plan(Purpose::List(Duration::from_secs(5)), &text, conditions.values()).await
    }
}

/// A partition without a row is read whole, which is nothing.
fn uses(plan: &str, index: &str, today: u64) {
    assert!(
        plan.contains(index),
        "{index} is not used:
{plan}"
    );
    for full in [format!("events_d{today}"), format!("settled_d{today}"), "waiting".to_owned()] {
        assert!(
            !plan.contains(&format!("Seq Scan on {full}")),
            "reads a whole table:
{plan}"
        );
    }
}

/// One of the endpoints, and one of the projects, that have rows.
const BUSY_ENDPOINT: Id = Id::from_u128(0xe4da_3b7f_bbce_2345_d777_2b06_74a3_18d5);
const BUSY_PROJECT: Id = BUSY_ENDPOINT;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_queue_is_read_by_lane() {
    let filled = Filled::new().await;
    let (shards, endpoints) = (vec![i16::from(Shard::of(ENDPOINT).number()); 2], vec![uuid(ENDPOINT); 2]);
    let (classes, until, limits, node) = (vec![0i16, 1], 9i64, vec![9i64; 2], uuid(ENDPOINT));
    let known = vec![Vec::<u8>::new(); 2];
    let values: Vec<crate::postgres::session::Value<'_>> =
        vec![&shards, &endpoints, &classes, &until, &limits, &node, &known, &limits];
    let due = filled.plan_of(&queue::DUE, values).await;
    uses(&due, "waiting_by_lane", filled.today);
    assert!(!due.contains("Sort Key: waiting"), "the index gives the order:\n{due}");
    let next = filled.plan_of(&queue::NEXT_DUE, vec![&shards, &endpoints, &classes, &until]).await;
    uses(&next, "waiting_by_lane", filled.today);
    let few = vec![1i16, 2, 3];
    let backlog = filled.plan_of(&queue::BACKLOG, vec![&few]).await;
    uses(&backlog, "waiting_by_lane", filled.today);
    assert!(!backlog.contains("Aggregate"), "the first of each lane, not all of them:\n{backlog}");
    let (due, most) = (vec![9i64; 2], 9i64);
    let count = filled.plan_of(&queue::COUNT, vec![&shards, &endpoints, &classes, &due, &endpoints, &most]).await;
    uses(&count, "waiting_by_lane", filled.today);
    assert!(!count.contains("Sort Key: w."), "the index gives the order:\n{count}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_settles_is_found_by_its_id_and_its_shards_by_number() {
    let filled = Filled::new().await;
    uses(&filled.plan_of_settling("WITH gone AS", ";").await, "waiting_pkey", filled.today);
    uses(&filled.plan_of_settling("SELECT FROM unnest($4, $5)", ") THEN").await, "shards_pkey", filled.today);
}

/// At full speed a vacuum sees no row that was there when it began.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_queue_that_a_vacuum_found_empty_is_not_walked_for_each_row() {
    let filled = Filled::empty().await;
    filled.database.sql("VACUUM waiting").await;
    let plan = filled.plan_of_settling("WITH gone AS", ";").await;
    assert!(plan.contains("Index Cond: (id = i.id)"), "{plan}");
}

/// The statement of `whole.sql` that begins and ends like this.
fn within_a_function(from: &str, until: &str) -> &'static str {
    let text = include_str!("../whole.sql");
    let rest = &text[text.find(from).expect("begins in one of the functions")..];
    &rest[..rest.find(until).expect("ends there")]
}

/// Finished ones stay as long as their events: they must cost who looks for the others nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fan_outs_to_go_on_with_are_read_past_those_that_are_finished() {
    let filled = Filled::new().await;
    filled.database.sql("INSERT INTO fan_outs SELECT id, project, NULL, 5, 5 FROM rows; ANALYZE fan_outs").await;
    let (shards, after, most) = ((0i16..256).collect::<Vec<i16>>(), uuid(BUSY_ENDPOINT), 64i64);
    let plan = filled.plan_of(&fan_out::UNFINISHED, vec![&shards, &after, &most]).await;
    uses(&plan, "fan_outs_unfinished", filled.today);
    assert!(!plan.contains("Sort"), "{plan}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_id_leads_to_one_partition() {
    let filled = Filled::new().await;
    let (id, project) = (uuid(start_of(filled.today)), uuid(BUSY_PROJECT));
    let plan = filled.plan_of(&events::ONE, vec![&id, &project]).await;
    uses(&plan, &format!("Index Scan using events_d{}", filled.today), filled.today);
    assert_eq!(
        plan.matches("Index").count(),
        plan.matches(&format!("events_d{}", filled.today)).count().min(plan.matches("Index").count())
    );
    assert!(!plan.contains("_rest"), "other partitions are left alone:\n{plan}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lists_walk_an_index_within_their_window() {
    let filled = Filled::new().await;
    let day = start_of(filled.today).as_u128()..=start_of(filled.today + 1).as_u128() - 1;
    let conditions = events::conditions(BUSY_PROJECT, &EventFilter::default(), &day);
    let plan = filled.plan_of_list(&events::select(), &conditions, "e.id").await;
    uses(&plan, &format!("events_d{}", filled.today), filled.today);
    assert!(plan.contains("project") && !plan.contains("_rest") && !plan.contains("Sort"), "{plan}");
    let filter = DeliveryFilter { endpoints: vec![BUSY_ENDPOINT], ..Default::default() };
    for (table, index) in [(Table::Settled, "endpoint_id_idx"), (Table::Waiting, "waiting_by")] {
        let conditions = deliveries::conditions(BUSY_PROJECT, &filter, table, &Way::Listed, &day);
        let plan = filled.plan_of_list(&table.select(), &conditions, "d.id").await;
        uses(&plan, index, filled.today);
        assert!(!plan.contains("settled_rest"), "{plan}");
    }
    let replays =
        deliveries::conditions(BUSY_PROJECT, &filter, Table::Settled, &Way::ReplaysOf(Id::from_u128(1)), &day);
    let plan = filled.plan_of_list(&Table::Settled.select(), &replays, "d.id").await;
    uses(&plan, "event_idx", filled.today);
}

fn walk_of(parts: serde_json::Value) -> ScanRequest {
    ScanRequest {
        project: BUSY_PROJECT,
        selector: Arc::new(serde_json::from_value(parts).expect("a selector")),
        ascending: true,
        after: None,
        upto: None,
        rows_max: 1_000,
        items_max: 1_000,
        deliveries_max: 1_000,
        load: Load::default(),
    }
}

/// By the planner's guess each range is a two-hundredth of its table: it would rather read all of that.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_deliveries_of_a_page_of_events_are_read_range_by_range() {
    for filled in [Filled::empty().await, Filled::of(1).await, Filled::of(20).await, Filled::new().await] {
        let (events, low, high) = (vec![uuid(Id::MIN); 256], vec![uuid(Id::MIN); 256], vec![uuid(Id::MAX); 256]);
        for sql in [&item::SETTLED, &item::WAITING] {
            let values: Vec<crate::postgres::session::Value<'_>> = vec![&events, &low, &high];
            let values = values.into_iter().zip(sql.types.iter().cloned()).collect();
            let explain = format!("EXPLAIN {}", sql.text);
            let mut transaction = filled.store.to_scan().await.expect("begins");
            let rows = transaction.run(vec![Step::Once(&explain, values)]).await.expect("explains").remove(0);
            let plan = rows.iter().map(|row| row.get::<_, String>(0)).collect::<Vec<_>>().join("\n");
            uses(&plan, "Index Cond: ((id >= b.low) AND (id <= b.high))", filled.today);
            assert!(plan.find("Function Scan on b") < plan.find("Index Cond"), "not range by range:\n{plan}");
        }
    }
}

/// Beside everything that was delivered at the first try.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_failed_is_found_by_an_index_of_its_own() {
    let filled = Filled::new().await;
    filled.database.sql("UPDATE settled SET status = 4 WHERE get_byte(uuid_send(id), 15) = 1; ANALYZE settled").await;
    let parts = serde_json::json!({"mode": "failed", "first": Id::MIN, "last": Id::MAX, "high_water": Id::MAX});
    let request = walk_of(parts);
    let streams = streams::of(&request).expect("a way");
    assert_eq!(streams.len(), 1);
    let bounds = start_of(filled.today).as_u128()..=start_of(filled.today + 1).as_u128() - 1;
    let (text, conditions) = streams[0].statement(&request, &bounds, 1_000);
    let plan = filled.plan(Purpose::Work, &text, conditions.values()).await;
    uses(&plan, "project_status_event_endpoint_idx", filled.today);
}

/// Nor what other replays made, of the same events.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replays_items_are_found_past_all_others() {
    let filled = Filled::new().await;
    let items = "'\\x01' || uuid_send(i.project) || '\\x01' || uuid_send(md5((i.n % 10)::text)::uuid)";
    filled
        .database
        .sql(&format!(
            "UPDATE settled s SET trigger = 1, status = 3 + i.n % 3, detail = {items} FROM rows i WHERE s.id = i.id; \
             UPDATE waiting w SET class = 2, detail = {items} FROM rows i WHERE w.id = i.id; \
             ANALYZE settled; ANALYZE waiting"
        ))
        .await;
    let parts = serde_json::json!({"mode": "all", "first": Id::MIN, "last": Id::MAX, "high_water": Id::MAX, "replay_id": BUSY_ENDPOINT});
    let request = walk_of(parts);
    let streams = streams::of(&request).expect("a way");
    let bounds = start_of(filled.today).as_u128()..=start_of(filled.today + 1).as_u128() - 1;
    let (settled, waiting) = streams.split_at(3);
    for stream in settled {
        let (text, conditions) = stream.statement(&request, &bounds, 100);
        let plan = filled.plan(Purpose::Work, &text, conditions.values()).await;
        uses(&plan, "substring_status_event_idx", filled.today);
        assert!(!plan.contains("Filter"), "only its own are read:\n{plan}");
    }
    for stream in waiting {
        let (text, conditions) = stream.statement(&request, &bounds, 100);
        let plan = filled.plan(Purpose::Work, &text, conditions.values()).await;
        uses(&plan, "waiting_by_replay", filled.today);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_day_that_is_over_is_dropped_whole() {
    let filled = Filled::new().await;
    let days = [filled.today - 20, filled.today - 10];
    for day in days {
        for table in crate::postgres::partitions::TABLES {
            let (from, to) = (start_of(day).as_uuid(), start_of(day + 1).as_uuid());
            filled
                .database
                .sql(&format!(
                    "CREATE TABLE {table}_d{day} PARTITION OF {table} FOR VALUES FROM ('{from}') TO ('{to}')"
                ))
                .await;
        }
        let id = Id::from_u128(start_of(day).as_u128() + 5).as_uuid();
        filled.database.sql(&format!("INSERT INTO events VALUES ('{id}', '{id}', 'a', NULL, 'k', NULL, 0, '', ''); INSERT INTO idempotency VALUES ('{id}', 'k', '{id}'); INSERT INTO settled VALUES ('{id}', '{id}', '{id}', '{id}', 0, 3, false, '')")).await;
    }
    filled.database.sql("TRUNCATE waiting").await;
    let cutoff = start_of(filled.today - 5).time();
    for _ in 0..2 {
        assert!(filled.store.drop_before(cutoff, 10).await.expect("drops").events > 0);
    }
    assert_eq!(filled.store.drop_before(cutoff, 10).await.expect("looks").events, 0);
    for day in days {
        filled.database.sql(&format!("DO $$ BEGIN ASSERT to_regclass('events_d{day}') IS NULL AND to_regclass('settled_d{day}') IS NULL; END $$")).await;
    }
    filled.database.sql("DO $$ BEGIN ASSERT (SELECT count(*) FROM events) = 10000 AND (SELECT count(*) FROM idempotency) = 0; END $$").await;
}

/// Those that are sent stay as long as their events: they must cost who looks for the others nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn meta_events_to_be_sent_are_read_past_those_that_are_settled() {
    let filled = Filled::new().await;
    filled
        .database
        .sql(
            "INSERT INTO meta_events SELECT i.id, i.project, 'a', 0, 1, 1, CASE i.n % 100 WHEN 0 THEN 0 ELSE 3 END, 0, \
             i.n, 0, 0, NULL, '' FROM rows i; ANALYZE meta_events",
        )
        .await;
    let (project, until, limit) = (uuid(BUSY_PROJECT), 9i64, 9i64);
    let due = filled.plan_of(&meta_events::DUE, vec![&project, &until, &limit]).await;
    let owed = filled.plan_of(&meta_events::OWED, Vec::new()).await;
    let (low, high) = (uuid(Id::MIN), uuid(Id::MAX));
    let list = filled.plan_of(&meta_events::DOWNWARD, vec![&project, &low, &high, &limit]).await;
    let forget = filled.plan_of(&meta_events::FORGET, vec![&high, &limit]).await;
    let plans = [
        (due, "meta_events_owed"),
        (owed, "meta_events_owed"),
        (list, "meta_events_by_project"),
        (forget, "meta_events_pkey"),
    ];
    for (plan, index) in plans {
        assert!(plan.contains(index) && !plan.contains("Seq Scan on meta_events"), "{index} is not used:\n{plan}");
    }
}
