//! API keys: minted once, shown once, revoked at once.

use crate::{Control, live_project};
use dacapo_model::Id;
use dacapo_model::catalog::Change;
use dacapo_model::key::{ApiKey, Kind};
use dacapo_store::StoreError;
use std::sync::Arc;

/// A key together with its text, which is nowhere else. Has no `Debug`: the text is a secret.
#[derive(Clone)]
pub struct MintedKey {
    pub key: Arc<ApiKey>,
    pub text: String,
}

#[derive(Clone, Debug, thiserror::Error)]
pub enum KeyError {
    #[error("unknown project")]
    UnknownProject,
    #[error("unknown key")]
    UnknownKey,
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Control {
    pub async fn mint_key(&self, project: Id, kind: Kind, name: &str) -> Result<MintedKey, KeyError> {
        let edit = self.catalog.edit().await?;
        live_project(&edit, project).ok_or(KeyError::UnknownProject)?;
        let minted = self.new_key(project, kind, name);
        edit.write(vec![Change::Key(minted.key.clone())]).await?;
        Ok(minted)
    }

    pub async fn revoke_key(&self, project: Id, key: Id) -> Result<(), KeyError> {
        let edit = self.catalog.edit().await?;
        let held = edit.snapshot().keys().find(|held| held.id == key && held.project_id == project).cloned();
        let mut revoked = ApiKey::clone(&*held.ok_or(KeyError::UnknownKey)?);
        if revoked.revoked_at.is_some() {
            return Ok(());
        }
        revoked.revoked_at = Some(self.clock.now());
        edit.write(vec![Change::Key(Arc::new(revoked))]).await?;
        Ok(())
    }

    /// Not written yet.
    pub(crate) fn new_key(&self, project: Id, kind: Kind, name: &str) -> MintedKey {
        let (id, now) = self.mint();
        let (key, text) = ApiKey::mint(&*self.entropy, id, project, kind, name, now);
        MintedKey { key: Arc::new(key), text }
    }
}
