//! Who is calling (contracts/convoy.md §1.7-1.8, contracts/connect.md Authentication).

use crate::Control;
use dacapo_model::Id;
use dacapo_model::catalog::ProjectView;
use dacapo_model::key::Kind;
use std::sync::Arc;

/// Which surface the key was shown to: a key of one is refused on the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Surface {
    Convoy,
    Connect,
}

/// A caller whose key was checked. It acts as the admin of its key's project and of no other,
/// whatever a path says.
#[derive(Clone, Debug)]
pub struct Caller {
    /// The project as it was when the key was checked.
    pub project: Arc<ProjectView>,
    pub key_id: Id,
    /// The mode of events this caller creates.
    pub livemode: bool,
}

impl Caller {
    pub fn project_id(&self) -> Id {
        self.project.project.id
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AuthError {
    /// No such key, another surface's key, revoked or expired: told apart by nobody outside.
    #[error("unknown key")]
    UnknownKey,
    #[error("the key's project was deleted")]
    ProjectGone,
}

impl Control {
    /// Every request passes here: one snapshot, one look-up by mask, one hash, no lock held.
    pub fn authenticate(&self, surface: Surface, key_text: &str) -> Result<Caller, AuthError> {
        let (kind, mask) = Kind::parse(key_text).ok_or(AuthError::UnknownKey)?;
        let surface_of_kind = match kind {
            Kind::Project => Surface::Convoy,
            Kind::ConnectLive | Kind::ConnectTest => Surface::Connect,
        };
        if surface_of_kind != surface {
            return Err(AuthError::UnknownKey);
        }
        let snapshot = self.catalog.snapshot();
        let key = snapshot.key(mask).filter(|key| key.kind == kind).ok_or(AuthError::UnknownKey)?;
        if !key.admits(key_text, self.clock.now()) {
            return Err(AuthError::UnknownKey);
        }
        let project = snapshot.project(key.project_id).ok_or(AuthError::ProjectGone)?;
        if project.project.deleted_at.is_some() {
            return Err(AuthError::ProjectGone);
        }
        Ok(Caller { project: project.clone(), key_id: key.id, livemode: kind != Kind::ConnectTest })
    }
}

impl Control {
    /// Brings the caller's project up to date where other processes change it too: what one of them has
    /// answered a moment ago is known here.
    pub async fn catch_up(&self, caller: &mut Caller) {
        self.catalog.catch_up().await;
        if let Some(project) = self.snapshot().project(caller.project_id()) {
            caller.project = project.clone();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::Fixture;
    use std::time::Duration;

    #[tokio::test]
    async fn each_key_opens_its_own_surface_only() {
        let fixture = Fixture::new().await;
        let run = fixture.first_run().await;
        let control = &fixture.control;
        let convoy = control.authenticate(Surface::Convoy, &run.api_key).expect("the project's key");
        assert_eq!(convoy.project_id(), run.project_id);
        assert!(convoy.livemode);
        assert!(control.authenticate(Surface::Connect, &run.connect_key).is_ok());
        assert_eq!(control.authenticate(Surface::Connect, &run.api_key).err(), Some(AuthError::UnknownKey));
        assert_eq!(control.authenticate(Surface::Convoy, &run.connect_key).err(), Some(AuthError::UnknownKey));
    }

    #[tokio::test]
    async fn a_wrong_secret_under_a_right_mask_is_refused() {
        let fixture = Fixture::new().await;
        let run = fixture.first_run().await;
        let mut text = run.api_key.clone();
        let last = text.pop().expect("not empty");
        text.push(if last == 'a' { 'b' } else { 'a' });
        assert_eq!(fixture.control.authenticate(Surface::Convoy, &text).err(), Some(AuthError::UnknownKey));
        assert_eq!(fixture.control.authenticate(Surface::Convoy, "CO.x").err(), Some(AuthError::UnknownKey));
    }

    #[tokio::test]
    async fn a_revoked_key_is_refused_at_once() {
        let fixture = Fixture::new().await;
        let run = fixture.first_run().await;
        let caller = fixture.control.authenticate(Surface::Convoy, &run.api_key).expect("in force");
        fixture.clock.advance(Duration::from_secs(1));
        fixture.control.revoke_key(run.project_id, caller.key_id).await.expect("revoked");
        assert_eq!(fixture.control.authenticate(Surface::Convoy, &run.api_key).err(), Some(AuthError::UnknownKey));
    }
}
