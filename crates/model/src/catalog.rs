//! Everything that is configured, as one immutable snapshot: what routing, dispatch and the
//! surfaces read without asking the store.
//!
//! Its maps share what did not change with the snapshot before: a change costs the same with a hundred
//! endpoints as with a hundred thousand.

use crate::endpoint::Endpoint;
use crate::event_type::EventType;
use crate::filter::scopes::Matcher;
use crate::health::Health;
use crate::id::Id;
use crate::key::ApiKey;
use crate::organisation::{Organisation, User};
use crate::project::Project;
use crate::subscription::Subscription;
use imbl::OrdMap;
use std::sync::Arc;

/// As `IdMap`, sharing what copies have in common.
type SharedMap<K, V> = imbl::GenericHashMap<K, V, foldhash::fast::RandomState, imbl::shared_ptr::DefaultSharedPtr>;

/// One written row: a new state of one thing, replacing the old under the same id. Deletion is a
/// state (`deleted_at`), because history still shows what was deleted.
#[derive(Clone, Debug)]
pub enum Change {
    Organisation(Arc<Organisation>),
    User(Arc<User>),
    Project(Arc<Project>),
    Endpoint(Arc<Endpoint>),
    Subscription(Arc<Subscription>),
    EventType(Arc<EventType>),
    Key(Arc<ApiKey>),
    /// Under the endpoint's id.
    Health(Arc<Health>),
}

/// Cheap to clone and to change.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    /// Rises with every write.
    pub version: u64,
    organisations: OrdMap<Id, Arc<Organisation>>,
    users: OrdMap<Id, Arc<User>>,
    projects: SharedMap<Id, Arc<ProjectView>>,
    /// By mask.
    keys: SharedMap<String, Arc<ApiKey>>,
    /// By endpoint, of those whose breaker ever opened. Beside the projects: it changes by itself, and
    /// a project's view stays the same then.
    health: SharedMap<Id, Arc<Health>>,
}

/// A project with what belongs to it.
#[derive(Clone, Debug)]
pub struct ProjectView {
    pub project: Arc<Project>,
    /// Deleted ones too; ordered by id, which is by age.
    pub endpoints: OrdMap<Id, Arc<Endpoint>>,
    /// Deleted ones too.
    pub subscriptions: OrdMap<Id, Arc<Subscription>>,
    /// Live subscriptions by endpoint, oldest first.
    by_endpoint: SharedMap<Id, Vec<Arc<Subscription>>>,
    /// Compiled, of the live subscriptions that have conditions.
    matchers: SharedMap<Id, Arc<Matcher>>,
    pub event_types: OrdMap<Id, Arc<EventType>>,
}

impl Snapshot {
    pub fn project(&self, id: Id) -> Option<&Arc<ProjectView>> {
        self.projects.get(&id)
    }

    pub fn projects(&self) -> impl Iterator<Item = &Arc<ProjectView>> {
        self.projects.values()
    }

    pub fn organisations(&self) -> impl Iterator<Item = &Arc<Organisation>> {
        self.organisations.values()
    }

    pub fn users(&self) -> impl Iterator<Item = &Arc<User>> {
        self.users.values()
    }

    pub fn keys(&self) -> impl Iterator<Item = &Arc<ApiKey>> {
        self.keys.values()
    }

    pub fn key(&self, mask: &str) -> Option<&Arc<ApiKey>> {
        self.keys.get(mask)
    }

    pub fn endpoint(&self, project: Id, endpoint: Id) -> Option<&Arc<Endpoint>> {
        self.projects.get(&project)?.endpoints.get(&endpoint)
    }

    /// What was last reported of an endpoint; `None` when nothing ever was.
    pub fn health(&self, endpoint: Id) -> Option<&Arc<Health>> {
        self.health.get(&endpoint)
    }

    /// Of all endpoints of which anything was ever reported.
    pub fn all_health(&self) -> impl Iterator<Item = &Arc<Health>> {
        self.health.values()
    }

    /// The snapshot after these changes. Changes to things of an unknown project are left out: the
    /// store refuses them before they come here.
    pub fn apply(&self, changes: &[Change], version: u64) -> Self {
        let mut next = self.clone();
        next.version = version;
        for change in changes {
            next.apply_one(change);
        }
        next
    }

    fn apply_one(&mut self, change: &Change) {
        match change {
            Change::Organisation(organisation) => {
                self.organisations.insert(organisation.id, organisation.clone());
            }
            Change::User(user) => {
                self.users.insert(user.id, user.clone());
            }
            Change::Key(key) => {
                self.keys.insert(key.mask.clone(), key.clone());
            }
            Change::Health(health) => {
                self.health.insert(health.endpoint_id, health.clone());
            }
            Change::Project(project) => match self.view_mut(project.id) {
                Some(view) => view.project = project.clone(),
                None => {
                    self.projects.insert(project.id, Arc::new(ProjectView::new(project.clone())));
                }
            },
            Change::Endpoint(endpoint) => {
                if let Some(view) = self.view_mut(endpoint.project_id) {
                    view.endpoints.insert(endpoint.id, endpoint.clone());
                }
            }
            Change::Subscription(subscription) => {
                if let Some(view) = self.view_mut(subscription.project_id) {
                    view.put_subscription(subscription);
                }
            }
            Change::EventType(event_type) => {
                if let Some(view) = self.view_mut(event_type.project_id) {
                    view.event_types.insert(event_type.id, event_type.clone());
                }
            }
        }
    }

    fn view_mut(&mut self, project: Id) -> Option<&mut ProjectView> {
        self.projects.get_mut(&project).map(Arc::make_mut)
    }
}

impl ProjectView {
    fn new(project: Arc<Project>) -> Self {
        Self {
            project,
            endpoints: OrdMap::new(),
            subscriptions: OrdMap::new(),
            by_endpoint: SharedMap::default(),
            matchers: SharedMap::default(),
            event_types: OrdMap::new(),
        }
    }

    /// An endpoint that is not deleted.
    pub fn live_endpoint(&self, id: Id) -> Option<&Arc<Endpoint>> {
        self.endpoints.get(&id).filter(|endpoint| endpoint.is_live())
    }

    /// A subscription that is not deleted.
    pub fn live_subscription(&self, id: Id) -> Option<&Arc<Subscription>> {
        self.subscriptions.get(&id).filter(|subscription| subscription.deleted_at.is_none())
    }

    /// Live subscriptions of an endpoint, oldest first.
    pub fn subscriptions_of(&self, endpoint: Id) -> &[Arc<Subscription>] {
        self.by_endpoint.get(&endpoint).map_or(&[], Vec::as_slice)
    }

    /// Whether routing looks at more of an event than its type, its source and whom it is for.
    pub fn routes_by_content(&self) -> bool {
        !self.matchers.is_empty()
    }

    /// `None`: the subscription has no conditions.
    pub fn matcher_of(&self, subscription: Id) -> Option<&Matcher> {
        self.matchers.get(&subscription).map(Arc::as_ref)
    }

    pub fn event_type(&self, name: &str) -> Option<&Arc<EventType>> {
        self.event_types.values().find(|event_type| event_type.name == name)
    }

    fn put_subscription(&mut self, subscription: &Arc<Subscription>) {
        if let Some(old) = self.subscriptions.insert(subscription.id, subscription.clone())
            && let Some(list) = self.by_endpoint.get_mut(&old.endpoint_id)
        {
            list.retain(|held| held.id != old.id);
        }
        self.matchers.remove(&subscription.id);
        if subscription.deleted_at.is_some() {
            return;
        }
        if !subscription.conditions.is_empty() {
            let matcher = subscription.conditions.compile().unwrap_or_else(|_| Matcher::never());
            self.matchers.insert(subscription.id, Arc::new(matcher));
        }
        let list = self.by_endpoint.entry(subscription.endpoint_id).or_default();
        let at = list.partition_point(|held| held.id < subscription.id);
        list.insert(at, subscription.clone());
    }
}
