//! The first start: from an empty store to something a stranger can send an event to.

use crate::Control;
use argon2::Argon2;
use argon2::password_hash::PasswordHasher;
use dacapo_model::Id;
use dacapo_model::catalog::Change;
use dacapo_model::event_type::{CATCH_ALL, EventType};
use dacapo_model::key::{self, Kind as KeyKind};
use dacapo_model::organisation::{Organisation, User};
use dacapo_model::project::{Config, Kind, Project};
use dacapo_store::StoreError;
use std::sync::Arc;

/// What the first start made; the secrets in it are shown once. Has no `Debug` for that reason.
#[derive(Clone)]
pub struct FirstRun {
    pub organisation_id: Id,
    pub project_id: Id,
    /// `CO.…`, for the Convoy surface.
    pub api_key: String,
    /// `sk_live_…`, for the Connect surface.
    pub connect_key: String,
    pub admin_email: String,
    pub admin_password: String,
}

#[derive(Debug, thiserror::Error)]
pub enum BootstrapError {
    #[error("the store is not empty: it was set up before")]
    NotEmpty,
    #[error("the password could not be hashed: {0}")]
    PasswordHash(String),
    #[error("the keys cannot be kept: {0}")]
    NotKept(std::io::Error),
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The project a first start makes.
const FIRST_PROJECT: &str = "default";
const SALT_BYTES: usize = 16;

impl Control {
    /// Whether nothing was ever set up here.
    pub fn is_empty(&self) -> bool {
        self.snapshot().organisations().next().is_none()
    }

    /// An organisation, its admin, an outgoing project with the catch-all event type, and a key for
    /// each surface: all of it or nothing. `name` is the organisation's. `keep` puts the secrets where
    /// their owner finds them, before they are in force: a crash after that leaves a file that the next
    /// start writes over, one the other way round would leave keys that nobody knows.
    pub async fn bootstrap(
        &self,
        name: &str,
        email: &str,
        keep: impl FnOnce(&FirstRun) -> std::io::Result<()>,
    ) -> Result<FirstRun, BootstrapError> {
        let admin_password = key::password(&*self.entropy);
        let password_hash = self.hash_password(&admin_password)?;

        let edit = self.catalog.edit().await?;
        if edit.snapshot().organisations().next().is_some() {
            return Err(BootstrapError::NotEmpty);
        }
        let (organisation_id, now) = self.mint();
        let organisation = Organisation { id: organisation_id, name: name.to_owned(), created_at: now };
        let admin = User {
            id: self.mint().0,
            organisation_id,
            email: email.to_owned(),
            first_name: "Admin".to_owned(),
            last_name: String::new(),
            password_hash,
            created_at: now,
        };
        let project = self.new_project(organisation_id, FIRST_PROJECT, Kind::Outgoing);
        let project_id = project.id;
        let catch_all = self.new_event_type(project_id, CATCH_ALL);
        let api_key = self.new_key(project_id, KeyKind::Project, &format!("{FIRST_PROJECT}'s default key"));
        let connect_key = self.new_key(project_id, KeyKind::ConnectLive, &format!("{FIRST_PROJECT}'s Connect key"));
        let first_run = FirstRun {
            organisation_id,
            project_id,
            api_key: api_key.text,
            connect_key: connect_key.text,
            admin_email: email.to_owned(),
            admin_password,
        };
        keep(&first_run).map_err(BootstrapError::NotKept)?;
        edit.write(vec![
            Change::Organisation(Arc::new(organisation)),
            Change::User(Arc::new(admin)),
            Change::Project(Arc::new(project)),
            Change::EventType(Arc::new(catch_all)),
            Change::Key(api_key.key),
            Change::Key(connect_key.key),
        ])
        .await?;
        Ok(first_run)
    }

    fn hash_password(&self, password: &str) -> Result<String, BootstrapError> {
        let mut salt = [0; SALT_BYTES];
        self.entropy.fill(&mut salt);
        Argon2::default()
            .hash_password_with_salt(password.as_bytes(), &salt)
            .map(|hash| hash.to_string())
            .map_err(|fault| BootstrapError::PasswordHash(fault.to_string()))
    }

    /// Not written yet. Its signature version has an id and an age, as clients expect to read them.
    fn new_project(&self, organisation_id: Id, name: &str, kind: Kind) -> Project {
        let (id, now) = self.mint();
        let mut config = Config::default();
        for version in &mut config.signature.versions {
            version.uid = Some(self.mint().0);
            version.created_at = Some(now);
        }
        Project {
            id,
            organisation_id,
            name: name.to_owned(),
            logo_url: String::new(),
            kind,
            config,
            created_at: now,
            updated_at: now,
            deleted_at: None,
        }
    }

    /// Not written yet.
    pub(crate) fn new_event_type(&self, project_id: Id, name: &str) -> EventType {
        let (id, created_at) = self.mint();
        EventType {
            id,
            project_id,
            name: name.to_owned(),
            category: String::new(),
            description: String::new(),
            json_schema: String::new(),
            deprecated_at: None,
            created_at,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::Fixture;

    #[tokio::test]
    async fn the_first_start_makes_a_working_project_once() {
        let fixture = Fixture::new().await;
        assert!(fixture.control.is_empty());
        let run = fixture.control.bootstrap("Acme", "admin@example.org", |_| Ok(())).await.expect("an empty store");
        assert!(!fixture.control.is_empty());
        let snapshot = fixture.control.snapshot();
        let view = snapshot.project(run.project_id).expect("the project");
        assert_eq!((view.project.name.as_str(), view.project.kind), ("default", Kind::Outgoing));
        assert!(view.event_type(CATCH_ALL).is_some());
        assert!(run.api_key.starts_with("CO.") && run.connect_key.starts_with("sk_live_"));
        let admin = snapshot.users().next().expect("the admin");
        assert!(admin.password_hash.starts_with("$argon2id$"), "{}", admin.password_hash);
        assert!(!admin.password_hash.contains(&run.admin_password));
        let again = fixture.control.bootstrap("Acme", "admin@example.org", |_| Ok(())).await;
        assert!(matches!(again, Err(BootstrapError::NotEmpty)));
    }

    #[tokio::test]
    async fn keys_that_cannot_be_kept_are_not_in_force() {
        let fixture = Fixture::new().await;
        let full = |_: &FirstRun| Err(std::io::Error::from(std::io::ErrorKind::StorageFull));
        let refused = fixture.control.bootstrap("Acme", "admin@example.org", full).await;
        assert!(matches!(refused, Err(BootstrapError::NotKept(_))));
        assert!(fixture.control.is_empty());
        assert!(fixture.control.bootstrap("Acme", "admin@example.org", |_| Ok(())).await.is_ok(), "the next start");
    }
}
