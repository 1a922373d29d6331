//! A server that speaks TLS.

use super::{Postgres, UNPRIVILEGED_UID};
use crate::process;
use std::fs;
use std::os::unix::fs::PermissionsExt;

impl Postgres {
    /// From here on it shows this certificate to who asks for TLS.
    ///
    /// # Panics
    /// When it does not come up with it.
    pub fn encrypt(&mut self, certificate_pem: &str, key_pem: &str) {
        for (name, text) in [("server.crt", certificate_pem), ("server.key", key_pem)] {
            let file = self.data_dir().join(name);
            fs::write(&file, text).expect("is writable");
            fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).expect("ours");
            process::hand_over(&file, UNPRIVILEGED_UID);
        }
        self.ask("postgres", "ALTER SYSTEM SET ssl = on").expect("is set");
        self.restart(false);
    }
}
