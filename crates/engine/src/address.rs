//! Whom a producer named, apart from who that is: the configuration may change between the look and the commit, on
//! another node without a word to this one.

use dacapo_model::catalog::ProjectView;
use dacapo_model::event::Audience;
use dacapo_model::project::Kind;
use dacapo_model::{Endpoint, Id};
use std::sync::Arc;

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// Whoever subscribed in the project.
    Project,
    /// Whoever subscribed to the event's source.
    Source,
    /// One endpoint.
    Endpoint(Id),
    /// All endpoints of an owner (contracts/convoy.md §2.3.3, `app_id`).
    App(String),
}

impl Address {
    /// `None`: there is nobody of that name.
    pub fn audience(&self, view: &ProjectView) -> Option<Audience> {
        match self {
            Self::Project => Some(Audience::Project),
            Self::Source => Some(Audience::Source),
            Self::Endpoint(id) => view.live_endpoint(*id).map(|found| Audience::Endpoints(vec![found.id])),
            Self::App(app) => {
                let found: Vec<Id> = of_app(view, app).map(|endpoint| endpoint.id).collect();
                (!found.is_empty()).then_some(Audience::Endpoints(found))
            }
        }
    }

    /// Whether it stands for the same as when that was found, a caller without a key still needs none, and each endpoint has a
    /// subscription: one without is to get its catch-all first (contracts/convoy.md §2.3.3).
    pub fn still_means(&self, audience: &Audience, key: &str, view: &ProjectView) -> bool {
        let is_same = match (self, audience) {
            // What nearly all are, without a list.
            (Self::Endpoint(id), Audience::Endpoints(found)) => *found == [*id] && view.live_endpoint(*id).is_some(),
            _ => self.audience(view).as_ref() == Some(audience),
        };
        let is_bare = |id: &Id| view.project.kind == Kind::Outgoing && view.subscriptions_of(*id).is_empty();
        let waits_for_one = matches!(audience, Audience::Endpoints(found) if found.iter().any(is_bare));
        is_same && !waits_for_one && !(key.is_empty() && view.project.config.wants_keys())
    }
}

/// The endpoints a legacy `app_id` stands for, oldest first.
pub fn of_app<'a>(view: &'a ProjectView, app_id: &'a str) -> impl Iterator<Item = &'a Arc<Endpoint>> {
    let by_id = app_id.parse::<Id>().ok();
    view.endpoints
        .values()
        .filter(move |endpoint| endpoint.is_live() && (endpoint.owner_id == app_id || Some(endpoint.id) == by_id))
}

#[cfg(test)]
mod tests {
    use super::*;
    use dacapo_model::catalog::{Change, Snapshot};
    use dacapo_model::project::Project;
    use dacapo_model::{Subscription, Timestamp};

    const PROJECT: Id = Id::from_u128(1);
    const AT: Timestamp = Timestamp::from_millis(1_790_000_000_000);

    fn endpoint(n: u128, owner: &str) -> Change {
        let plain = Endpoint::plain(Id::from_u128(n), PROJECT, "https://example.test/", AT);
        Change::Endpoint(Arc::new(Endpoint { owner_id: owner.to_owned(), ..plain }))
    }

    fn project(request_id_header: Option<&str>) -> Change {
        let mut project = Project::plain(PROJECT, Id::from_u128(9), AT);
        if let Some(name) = request_id_header {
            project.config.request_id_header = name.to_owned();
        }
        Change::Project(Arc::new(project))
    }

    fn subscription(endpoint: u128, deleted_at: Option<Timestamp>) -> Change {
        Change::Subscription(Arc::new(Subscription {
            deleted_at,
            ..Subscription::catch_all(Id::from_u128(endpoint + 100), PROJECT, Id::from_u128(endpoint), AT)
        }))
    }

    #[test]
    fn a_name_means_the_same_until_somebody_comes_or_goes() {
        let changes = [project(None), endpoint(2, "o"), endpoint(3, "x"), subscription(2, None), subscription(3, None)];
        let before = Snapshot::default().apply(&changes, 1);
        let audience = |address: &Address, of: &Snapshot| address.audience(of.project(PROJECT).expect("it is there"));
        let (app, one) = (Address::App("o".to_owned()), Address::Endpoint(Id::from_u128(2)));
        let found = Audience::Endpoints(vec![Id::from_u128(2)]);
        assert_eq!(audience(&app, &before), Some(found.clone()));
        assert_eq!(audience(&one, &before), Some(found.clone()));
        assert_eq!(audience(&Address::App("nobody".to_owned()), &before), None);
        assert_eq!(
            audience(&Address::App(Id::from_u128(3).to_string()), &before),
            audience(&Address::Endpoint(Id::from_u128(3)), &before)
        );
        let still = |address: &Address, key: &str, change: Change| {
            let after = before.apply(&[change], 2);
            address.still_means(&found, key, after.project(PROJECT).expect("it is there"))
        };
        assert!(still(&app, "", endpoint(3, "y")) && still(&one, "", endpoint(3, "y")), "somebody else");
        assert!(!still(&app, "", endpoint(3, "o")) && still(&one, "", endpoint(3, "o")), "one more");
        assert!(!still(&app, "", endpoint(2, "y")) && still(&one, "", endpoint(2, "y")), "another's");
        assert!(!still(&one, "", project(Some("X-Mine"))), "nothing stands in for a key");
        assert!(still(&one, "k", project(Some("X-Mine"))));
        assert!(!still(&one, "", subscription(2, Some(AT))), "it is to get another");
        assert!(still(&one, "", subscription(3, Some(AT))), "somebody else's");
    }
}
