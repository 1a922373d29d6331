//! `GET ~/replays`, newest first. `kind` says which: `run` (also when nothing is said), `single` and
//! `resend` for what was one call, `all`; several hold together. `status` narrows runs.

use crate::convoy::error::Error;
use crate::convoy::paging::{PageRequest, Paged};
use crate::convoy::view::call::CallView;
use crate::convoy::view::replay::ReplayView;
use crate::convoy::{Outcome, envelope};
use crate::query_string::QueryString;
use crate::{Api, Shared};
use axum::Extension;
use axum::extract::State;
use dacapo_control::Caller;
use dacapo_model::replay::{CallKind, State as RunState};
use dacapo_model::{Id, Replay, Timestamp};
use dacapo_store::roles::{self, Page};
use serde::Serialize;

const MESSAGE: &str = "Replays fetched successfully";

pub async fn list(State(shared): Api, Extension(caller): Extension<Caller>, query: QueryString) -> Outcome {
    let request = PageRequest::newest_first(&query)?;
    let kinds = Kinds::read(&query)?;
    if request.per_page == 0 {
        return Ok(envelope::ok(MESSAGE, Paged::<()>::empty(&request)));
    }
    let project = caller.project_id();
    let rows = request.in_list_order(kinds.rows(&shared, project, request.rows()).await?);
    let has_prev_page = match request.rows_before(rows.first().map(Listed::id)) {
        Some(before) => kinds.rows(&shared, project, before).await?.len() > 1,
        None => false,
    };
    let now = shared.now();
    let page = request.page(rows, Listed::id, has_prev_page);
    let views: Vec<_> = page.content.iter().map(|row| row.view(now)).collect();
    Ok(envelope::ok(MESSAGE, Paged { content: views, pagination: page.pagination }))
}

/// Of which kinds.
#[derive(Debug, PartialEq, Eq)]
struct Kinds {
    runs: bool,
    /// Of runs; none is any.
    states: Vec<RunState>,
    calls: Vec<CallKind>,
}

impl Kinds {
    fn read(query: &QueryString) -> Result<Self, Error> {
        let states = states(query)?;
        let mut kinds = Self { runs: query.all("kind").next().is_none(), states, calls: Vec::new() };
        for text in query.all("kind") {
            match (text, CallKind::parse(text)) {
                ("run", _) => kinds.runs = true,
                ("all", _) => (kinds.runs, kinds.calls) = (true, CallKind::ALL.to_vec()),
                (_, Some(kind)) => kinds.calls.push(kind),
                (_, None) => return Err(Error::bad(format!("kind: {text} is none of run, single, resend and all"))),
            }
        }
        kinds.calls.sort_unstable_by_key(|kind| kind.code());
        kinds.calls.dedup();
        if !kinds.states.is_empty() && !kinds.calls.is_empty() {
            return Err(Error::bad("status: goes with kind=run alone, as single calls have none".to_owned()));
        }
        Ok(kinds)
    }

    /// In the order of reading, as one list.
    async fn rows(&self, shared: &Shared, project: Id, page: Page) -> Result<Vec<Listed>, Error> {
        let desk = shared.engine.replays();
        let mut rows = Vec::new();
        if self.runs {
            rows.extend(
                desk.list(project, self.states.clone(), page).await?.into_iter().map(|run| Listed::Run(Box::new(run))),
            );
        }
        for kind in &self.calls {
            rows.extend(desk.calls(project, *kind, page).await?.into_iter().map(Listed::Call));
        }
        rows.sort_unstable_by_key(Listed::id);
        if !page.ascending {
            rows.reverse();
        }
        rows.truncate(page.limit);
        Ok(rows)
    }
}

fn states(query: &QueryString) -> Result<Vec<RunState>, Error> {
    let known = || RunState::ALL.map(RunState::as_str).join(", ");
    let read = |text: &str| {
        let state = RunState::ALL.into_iter().find(|state| state.as_str() == text);
        state.ok_or_else(|| Error::bad(format!("status: {text} is none of {}", known())))
    };
    query.all("status").map(read).collect()
}

enum Listed {
    Run(Box<Replay>),
    Call(roles::CallView),
}

#[derive(Serialize)]
#[serde(untagged)]
enum View<'a> {
    Run(Box<ReplayView<'a>>),
    Call(Box<CallView<'a>>),
}

impl Listed {
    fn id(&self) -> Id {
        match self {
            Self::Run(replay) => replay.id,
            Self::Call(view) => view.call.id,
        }
    }

    fn view(&self, now: Timestamp) -> View<'_> {
        match self {
            Self::Run(replay) => View::Run(Box::new(ReplayView::new(replay, now))),
            Self::Call(view) => View::Call(Box::new(CallView::new(view))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_stay_readable_unless_somebody_asks_for_calls() {
        let kinds = |query: &str| Kinds::read(&QueryString::parse(query)).map_err(|refused| format!("{refused:?}"));
        let of = |runs, calls: &[CallKind]| Ok(Kinds { runs, states: Vec::new(), calls: calls.to_vec() });
        assert_eq!(kinds(""), of(true, &[]));
        assert_eq!(kinds("kind=run"), of(true, &[]));
        assert_eq!(kinds("kind=single"), of(false, &[CallKind::Single]));
        assert_eq!(kinds("kind=resend&kind=single&kind=resend"), of(false, &CallKind::ALL));
        assert_eq!(kinds("kind=all"), of(true, &CallKind::ALL));
        assert!(kinds("kind=runs").is_err_and(|refused| refused.contains("kind: runs is none of run")));
        let states = vec![RunState::Running, RunState::Paused];
        assert_eq!(kinds("status=running&status=paused"), Ok(Kinds { runs: true, states, calls: Vec::new() }));
        assert!(
            kinds("status=done").is_err_and(|refused| refused.contains("status: done is none of planned, running"))
        );
        assert!(kinds("kind=all&status=failed").is_err_and(|refused| refused.contains("status: goes with kind=run")));
    }
}
