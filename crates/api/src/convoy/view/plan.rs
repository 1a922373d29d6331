//! What a replay would do (docs/replay.md).

use super::replay::OptionsView;
use dacapo_engine::{Plan, Rendered};
use dacapo_model::catalog::ProjectView;
use dacapo_model::replay::{Control, Definition};
use dacapo_model::{Id, Timestamp};
use serde::Serialize;
use std::collections::BTreeMap;

#[derive(Serialize)]
pub struct PlanView<'a> {
    mode: &'static str,
    selector: &'a serde_json::Value,
    frozen: &'a dacapo_model::Frozen,
    options: OptionsView<'a>,
    /// For `expected_count`.
    matched: u64,
    to_send: u64,
    already_succeeded: u64,
    /// Items that would be written down and not sent, by why.
    skipped: &'a BTreeMap<&'static str, u64>,
    events: u64,
    bytes: u64,
    oldest: Option<Timestamp>,
    newest: Option<Timestamp>,
    /// At the chosen rate; `null` without one.
    seconds: Option<u64>,
    endpoints: Vec<EndpointCount<'a>>,
    event_types: Vec<TypeCount<'a>>,
    scanned: u64,
    /// `false`: time was up, and this is what was counted by then.
    complete: bool,
    samples: Vec<Sample<'a>>,
}

#[derive(Serialize)]
struct EndpointCount<'a> {
    endpoint_id: Id,
    name: &'a str,
    url: &'a str,
    count: u64,
}

#[derive(Serialize)]
struct TypeCount<'a> {
    event_type: &'a str,
    count: u64,
}

#[derive(Serialize)]
struct Sample<'a> {
    event_id: Id,
    endpoint_id: Id,
    method: &'static str,
    url: &'a str,
    headers: Vec<[&'a str; 2]>,
    body: &'a str,
    fault: Option<&'a str>,
}

impl<'a> PlanView<'a> {
    pub fn new(definition: &'a Definition, plan: &'a Plan, project: &'a ProjectView) -> Self {
        let options = &definition.options;
        Self {
            mode: definition.mode.as_str(),
            selector: &definition.selector,
            frozen: &definition.frozen,
            options: OptionsView::new(options, &Control::new(options)),
            matched: plan.matched,
            to_send: plan.to_send(),
            already_succeeded: plan.already_succeeded,
            skipped: &plan.skipped,
            events: plan.events,
            bytes: plan.bytes,
            oldest: plan.oldest,
            newest: plan.newest,
            seconds: options.rate.map(|rate| plan.to_send().div_ceil(u64::from(rate.max(1)))),
            endpoints: most_first(&plan.per_endpoint)
                .map(|(id, count)| {
                    let endpoint = project.endpoints.get(id);
                    EndpointCount {
                        endpoint_id: *id,
                        name: endpoint.map_or("", |endpoint| &endpoint.name),
                        url: endpoint.map_or("", |endpoint| &endpoint.url),
                        count,
                    }
                })
                .collect(),
            event_types: most_first(&plan.per_event_type)
                .map(|(event_type, count)| TypeCount { event_type, count })
                .collect(),
            scanned: plan.scanned,
            complete: plan.is_complete,
            samples: plan.samples.iter().map(Sample::new).collect(),
        }
    }
}

impl<'a> Sample<'a> {
    fn new(rendered: &'a Rendered) -> Self {
        Self {
            event_id: rendered.event_id,
            endpoint_id: rendered.endpoint_id,
            method: rendered.method,
            url: &rendered.url,
            headers: rendered.headers.iter().map(|(name, value)| [name.as_str(), value.as_str()]).collect(),
            body: &rendered.body,
            fault: rendered.fault.as_deref(),
        }
    }
}

fn most_first<K>(counts: &BTreeMap<K, u64>) -> impl Iterator<Item = (&K, u64)> {
    let mut rows: Vec<(&K, u64)> = counts.iter().map(|(key, count)| (key, *count)).collect();
    rows.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    rows.into_iter()
}
