//! Which gateway the verbs that talk to one mean.

use clap::Args;
use std::path::PathBuf;

const HEADING: &str = "Which gateway";

#[derive(Args, Debug, Default)]
pub struct RemoteOptions {
    /// The gateway's address [default: from first-run.json]
    #[arg(long, value_name = "URL", env = "DACAPO_URL", global = true, help_heading = HEADING)]
    pub url: Option<String>,
    /// A key of the project [default: from first-run.json]
    #[arg(long, value_name = "KEY", env = "DACAPO_API_KEY", hide_env_values = true, global = true, help_heading = HEADING)]
    pub key: Option<String>,
    /// The project, where the key does not say it
    #[arg(long, value_name = "ID", env = "DACAPO_PROJECT", global = true, help_heading = HEADING)]
    pub project: Option<String>,
    /// Where first-run.json lies, for whatever of the above is not given
    #[arg(long, value_name = "DIR", env = "DACAPO_DATA_DIR", default_value = "./dacapo-data", global = true, help_heading = HEADING)]
    pub data_dir: PathBuf,
    /// Print JSON instead of a table
    #[arg(long, global = true)]
    pub json: bool,
}
