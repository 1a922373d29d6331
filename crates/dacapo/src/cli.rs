//! The command line. Options of the server come from the configuration's table.

pub mod remote;
pub mod replay;
pub mod selector;
pub mod words;

use crate::config::Flags;
use crate::config::table::{ROWS, Row};
use clap::{Arg, ArgAction, ArgMatches, Args, Command, FromArgMatches, Parser, Subcommand};
use std::path::PathBuf;

/// A webhook gateway: takes events in, delivers them, remembers them, plays any of it again.
#[derive(Parser)]
#[command(
    name = "dacapo",
    version,
    max_term_width = 100,
    disable_help_subcommand = true,
    arg_required_else_help = true
)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Verb,
}

#[derive(Subcommand)]
pub enum Verb {
    /// Run the gateway
    Serve(ServerOptions),
    /// Receive webhooks on this machine and show them, to try things out
    Listen(ListenOptions),
    /// Bring the schema of a shared database up to date
    Migrate(MigrateOptions),
    /// Show the nodes that share a database, what each owns and how far behind it is
    Nodes(NodesOptions),
    /// Copy an embedded store into an empty PostgreSQL database; goes on where it was when run again
    Copy(CopyOptions),
    /// Plan, run, watch and steer replays of a running gateway
    Replay(Box<replay::ReplayOptions>),
    /// Look at the events of a running gateway
    Events(Box<replay::EventsOptions>),
    /// Show the configuration in force and where each value came from
    Config(ConfigOptions),
}

#[derive(Args)]
pub struct ConfigOptions {
    /// Print the reference page (docs/configuration.md) instead
    #[arg(long)]
    pub markdown: bool,
    #[command(flatten)]
    pub server: ServerOptions,
}

#[derive(Args)]
pub struct MigrateOptions {
    /// Change nothing; exit with 1 when the schema is not up to date
    #[arg(long)]
    pub check: bool,
    #[command(flatten)]
    pub server: ServerOptions,
}

#[derive(Args)]
pub struct NodesOptions {
    /// Print JSON instead of a table
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub server: ServerOptions,
}

#[derive(Args)]
pub struct CopyOptions {
    /// The data directory of a store that nothing runs on
    #[arg(long, value_name = "sqlite:DIR")]
    pub from: String,
    /// The database to fill: empty, or with a part of this copy [env: DACAPO_DATABASE_URL]
    #[arg(long, value_name = "postgres://…")]
    pub to: Option<String>,
}

#[derive(Args)]
pub struct ListenOptions {
    /// Port on 127.0.0.1; 0 takes a free one
    #[arg(long, default_value_t = 9000)]
    pub port: u16,
    /// The endpoint's secret: signatures are checked when it is given
    #[arg(long)]
    pub secret: Option<String>,
    /// Status to answer with
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u16).range(200..=599))]
    pub status: u16,
    /// Wait this long before answering
    #[arg(long, value_name = "MS", default_value_t = 0)]
    pub delay_ms: u64,
    /// Show bodies as they came, on one line
    #[arg(long)]
    pub compact: bool,
}

/// Texts only: what they mean is checked with those from the environment and the file, so that
/// every bad value is reported in the same words.
pub struct ServerOptions {
    pub file: Option<PathBuf>,
    pub flags: Flags,
}

const FILE_FLAG: &str = "config";

fn argument(row: &Row) -> Arg {
    let default = if row.default.is_empty() { String::new() } else { format!(" [default: {}]", row.default) };
    Arg::new(row.key)
        .long(row.flag())
        .value_name(row.placeholder)
        .help(format!("{}{default} [env: {}]", row.about, row.variable()))
        .action(if row.repeated { ArgAction::Append } else { ArgAction::Set })
        .allow_hyphen_values(true)
}

impl Args for ServerOptions {
    fn augment_args(command: Command) -> Command {
        let file = Arg::new(FILE_FLAG)
            .long(FILE_FLAG)
            .value_name("FILE")
            .value_parser(clap::value_parser!(PathBuf))
            .help("A TOML file with any of these options [env: DACAPO_CONFIG]");
        ROWS.iter().fold(command.arg(file), |command, row| command.arg(argument(row)))
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for ServerOptions {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let given = |row: &Row| Some(matches.get_many::<String>(row.key)?.cloned().collect());
        let flags = ROWS.iter().filter_map(|row| Some((row.key, given(row)?))).collect();
        Ok(Self { file: matches.get_one::<PathBuf>(FILE_FLAG).cloned(), flags })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    fn help(of: &str) -> String {
        let mut command = Cli::command();
        command.find_subcommand_mut(of).unwrap().render_long_help().to_string()
    }

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn the_help_names_every_option_its_variable_and_its_default() {
        let help = help("serve");
        for row in ROWS {
            for expected in [format!("--{} <{}>", row.flag(), row.placeholder), row.variable()] {
                assert!(help.contains(&expected), "{expected} is missing in\n{help}");
            }
            assert!(row.default.is_empty() || help.contains(row.default), "{}", row.key);
        }
        assert!(help.contains("--config <FILE>"));
    }

    #[test]
    fn flags_arrive_under_their_keys_and_repeat_where_they_may() {
        let line = "dacapo serve --data-dir d --allow-network 10.0.0.0/8 --allow-network 127.0.0.0/8 --config c.toml";
        let Verb::Serve(options) = Cli::try_parse_from(line.split(' ')).ok().unwrap().command else { panic!() };
        assert_eq!(options.file, Some(PathBuf::from("c.toml")));
        assert_eq!(options.flags["allow_network"], ["10.0.0.0/8", "127.0.0.0/8"]);
        assert_eq!(options.flags["data_dir"], ["d"]);
        assert_eq!(options.flags.len(), 2);
    }

    #[test]
    fn a_receiver_has_defaults_and_answers_with_a_final_status_only() {
        let Verb::Listen(options) = Cli::try_parse_from(["dacapo", "listen"]).ok().unwrap().command else { panic!() };
        assert_eq!((options.port, options.status, options.delay_ms), (9000, 200, 0));
        assert!(Cli::try_parse_from(["dacapo", "listen", "--status", "99"]).is_err());
        assert!(Cli::try_parse_from(["dacapo", "listen", "--port", "70000"]).is_err());
    }
}
