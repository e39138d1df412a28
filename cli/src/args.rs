//! The command line.

use crate::{
    doctor::{self, Doctor},
    failure::Failure,
    hash_password::{self, HashPassword},
    human,
    listen::Listen,
    load::Load,
    top::{self, Top},
};
use clap::{
    ArgMatches, CommandFactory, FromArgMatches, Parser, Subcommand, ValueEnum,
    builder::RangedU64ValueParser,
    error::{ContextKind, ContextValue, ErrorKind},
    parser::ValueSource,
};
use clap_complete::Shell;
use lakh_core::pool::MAX_WORKERS;
use std::{env, io, path::PathBuf, process, time::Duration};

const VERSION: &str = concat!(
    env!("CARGO_PKG_VERSION"),
    " (",
    env!("LAKH_TARGET"),
    ", ",
    env!("LAKH_PROFILE"),
    env!("LAKH_COMMIT"),
    ")"
);

/// Each shard is a thread with sockets of its own.
pub(crate) const MAX_SHARDS: u64 = 1024;

/// The pool has one thread more for the log, and at most half of it is for computing.
const MAX_POOL_THREADS: u64 = MAX_WORKERS as u64 / 2 - 1;

/// Serves files over HTTP, looks into servers, and load-tests them.
#[derive(Debug, Parser)]
#[command(name = "lakh", version = VERSION, arg_required_else_help = true, disable_help_subcommand = true)]
struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Serve a folder, or one file
    #[command(after_help = SERVE_EXAMPLES)]
    Serve(Serve),
    /// Load-test a server
    Load(Box<Load>),
    /// Watch a running server, by the address of its metrics
    #[command(after_help = top::EXAMPLES)]
    Top(Top),
    /// Say what this machine's limits allow, and the commands that raise them
    #[command(after_help = doctor::EXAMPLES)]
    Doctor(Doctor),
    /// Hash a password for lakh serve --auth and password files
    #[command(after_help = hash_password::EXAMPLES)]
    HashPassword(HashPassword),
    /// Print a completion script for a shell
    #[command(after_help = COMPLETION_EXAMPLES)]
    Completions {
        #[arg(value_enum)]
        shell: Shell,
    },
}

const SERVE_EXAMPLES: &str = "\
Examples:
  lakh serve dist                   this machine only, port 8080 or the next free one
  lakh serve --public -p 80 dist    every address of this machine
  lakh serve -l 10.0.0.5:8080 -l [::1]:8080
  lakh serve report.pdf             one file

Flags win over the environment.";

/// Where OpenTelemetry's exporters for Prometheus listen, too.
pub(crate) const METRICS_PORT: &str = "9464";

const COMPLETION_EXAMPLES: &str = "\
Examples:
  lakh completions bash > ~/.local/share/bash-completion/completions/lakh
  lakh completions zsh > ~/.zfunc/_lakh
  lakh completions fish > ~/.config/fish/completions/lakh.fish";

#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Serve {
    /// The folder or file to serve
    #[arg(value_name = "DIR|FILE", default_value = ".", value_hint = clap::ValueHint::AnyPath)]
    pub(crate) path: PathBuf,

    /// Listen on HOST:PORT, :PORT or PORT; may be repeated
    #[arg(
        short,
        long,
        value_name = "ADDR",
        env = "LAKH_LISTEN",
        hide_env_values = true,
        value_delimiter = ',',
        help_heading = "Network"
    )]
    pub(crate) listen: Vec<Listen>,

    /// Listen on this port; 0 takes any free one [default: 8080, or the next free one]
    #[arg(
        short,
        long,
        value_name = "PORT",
        env = "LAKH_PORT",
        hide_env_values = true,
        help_heading = "Network"
    )]
    pub(crate) port: Option<u16>,

    /// Listen on all addresses of this machine, not only on 127.0.0.1
    #[arg(long, help_heading = "Network")]
    pub(crate) public: bool,

    /// Show what goes on inside to Prometheus, browsers and lakh top [without ADDR: 127.0.0.1:9464]
    #[arg(
        long,
        value_name = "ADDR",
        env = "LAKH_METRICS",
        hide_env_values = true,
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = METRICS_PORT,
        help_heading = "Network"
    )]
    pub(crate) metrics: Option<Listen>,

    /// Let in USER with the password of HASH (see lakh hash-password) only; may be repeated
    #[arg(
        long,
        value_name = "USER:HASH",
        env = "LAKH_AUTH",
        hide_env_values = true,
        help_heading = "Access"
    )]
    pub(crate) auth: Vec<String>,

    /// Let in the users of this file only, which has a line USER:HASH for each (htpasswd -B)
    #[arg(
        long,
        value_name = "FILE",
        env = "LAKH_AUTH_FILE",
        hide_env_values = true,
        value_hint = clap::ValueHint::FilePath,
        help_heading = "Access"
    )]
    pub(crate) auth_file: Option<PathBuf>,

    /// Compress text (zstd, brotli, gzip) for clients that read it, which takes CPU for each answer
    #[arg(long, env = "LAKH_COMPRESS", hide_env_values = true, help_heading = "Behaviour")]
    pub(crate) compress: bool,

    /// Event loops [default: one for each CPU]
    #[arg(
        long,
        value_name = "N",
        env = "LAKH_SHARDS",
        hide_env_values = true,
        value_parser = RangedU64ValueParser::<usize>::new().range(1..=MAX_SHARDS),
        help_heading = "Resources"
    )]
    pub(crate) shards: Option<usize>,

    /// Threads for file operations that may block [default: four for each CPU]
    #[arg(
        long,
        value_name = "N",
        env = "LAKH_POOL_THREADS",
        hide_env_values = true,
        value_parser = RangedU64ValueParser::<usize>::new().range(1..=MAX_POOL_THREADS),
        help_heading = "Resources"
    )]
    pub(crate) pool_threads: Option<usize>,

    /// Print a line for each request, or none
    #[arg(
        long,
        value_name = "FORM",
        env = "LAKH_LOG",
        hide_env_values = true,
        default_value = "pretty",
        help_heading = "Behaviour"
    )]
    pub(crate) log: LogForm,

    /// How long Ctrl-C and SIGTERM wait for requests in flight: 10s, 500ms, 1m
    #[arg(
        long,
        value_name = "DURATION",
        env = "LAKH_GRACE",
        hide_env_values = true,
        default_value = "10s",
        value_parser = human::parse_duration,
        help_heading = "Behaviour"
    )]
    pub(crate) grace: Duration,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogForm {
    // Not documentation comments: those would make the help twice as long.
    Pretty,
    Off,
}

/// Reads the command line and the environment. Help and version end the process with status 0.
pub(crate) fn from_command_line() -> Result<Command, Failure> {
    parse(env::args_os()).map_err(|error| match error.kind() {
        ErrorKind::DisplayHelp
        | ErrorKind::DisplayVersion
        | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            // Nobody reads it: nothing is left to be done.
            let _ = error.print();
            process::exit(error.exit_code());
        }
        _ => Failure::refused(brief(&error)),
    })
}

/// Prints a completion script for `shell`.
pub(crate) fn print_completions(shell: Shell) {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Args::command(), "lakh", &mut script);
    // Nobody reads it: nothing is left to be done.
    let _ = io::Write::write_all(&mut io::stdout(), &script);
}

fn parse(arguments: impl IntoIterator<Item = std::ffi::OsString>) -> Result<Command, clap::Error> {
    let matches = Args::command().try_get_matches_from(arguments)?;
    let mut command = Args::from_arg_matches(&matches)?.command;
    if let (Command::Serve(serve), Some(matches)) = (&mut command, matches.subcommand_matches("serve")) {
        serve.settle(matches)?;
    }
    Ok(command)
}

impl Serve {
    /// Settles what clap cannot: between `--listen` and `--port`, a flag wins over the environment.
    fn settle(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        let from_flag = |name| matches.value_source(name) == Some(ValueSource::CommandLine);
        if !self.listen.is_empty() && self.port.is_some() {
            match (from_flag("listen"), from_flag("port")) {
                (true, false) => self.port = None,
                (false, true) => self.listen.clear(),
                _ => {
                    let message = "--listen and --port exclude each other; write --listen HOST:PORT";
                    return Err(clap::Error::raw(ErrorKind::ArgumentConflict, message));
                }
            }
        }
        if self.public && !self.listen.is_empty() && self.listen.iter().all(Listen::names_a_host) {
            let message = "--public has no effect on --listen HOST:PORT; write --listen 0.0.0.0:PORT";
            return Err(clap::Error::raw(ErrorKind::ArgumentConflict, message));
        }
        Ok(())
    }
}

/// What is wrong, on one line, with clap's hint if it knows what was meant.
fn brief(error: &clap::Error) -> String {
    let text = error.render().to_string();
    let mut paragraphs = text.trim().split("\n\n");
    let what = paragraphs.next().unwrap_or_default();
    let what = what.strip_prefix("error: ").unwrap_or(what);
    let mut brief = what.split('\n').map(str::trim).collect::<Vec<_>>().join(" ");
    if let Some(variable) = variable_at_fault(error) {
        brief.push_str(&format!(" (from {variable})"));
    }
    let tip = paragraphs.find_map(|text| text.trim().strip_prefix("tip: "));
    if let Some(tip) = tip.filter(|tip| tip.contains("similar")) {
        brief.push_str(&format!("; {tip}"));
    }
    brief
}

/// The environment variable that a refused value came from.
fn variable_at_fault(error: &clap::Error) -> Option<String> {
    let text = |kind| match error.get(kind) {
        Some(ContextValue::String(text)) => Some(text.as_str()),
        _ => None,
    };
    let flag = text(ContextKind::InvalidArg)?.split(' ').next()?.strip_prefix("--")?;
    let variable = format!("LAKH_{}", flag.to_uppercase().replace('-', "_"));
    let value = env::var(&variable).ok()?;
    let given = env::args().any(|argument| {
        argument.starts_with(&format!("--{flag}")) || argument.starts_with(&format!("-{}", &flag[..1]))
    });
    let same = value.split(',').any(|part| Some(part) == text(ContextKind::InvalidValue));
    (same && !given).then_some(variable)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn serve(arguments: &[&str]) -> Result<Serve, String> {
        let all = ["lakh", "serve"].iter().chain(arguments).map(Into::into);
        match parse(all) {
            Ok(Command::Serve(serve)) => Ok(serve),
            Ok(other) => panic!("{other:?}"),
            Err(error) => Err(brief(&error)),
        }
    }

    #[test]
    fn the_definition_is_consistent() {
        Args::command().debug_assert();
    }

    #[test]
    fn defaults_are_those_of_the_help() {
        let serve = serve(&[]).unwrap();
        assert_eq!(serve.path, PathBuf::from("."));
        assert!(serve.listen.is_empty() && serve.port.is_none() && !serve.public);
        assert_eq!((serve.shards, serve.pool_threads), (None, None));
        assert_eq!((serve.log, serve.grace), (LogForm::Pretty, Duration::from_secs(10)));
    }

    #[test]
    fn errors_are_one_line_that_names_the_value() {
        let cases: [(&[&str], &str); 6] = [
            (&["--grace", "soon"], "invalid value 'soon' for '--grace <DURATION>': not a duration"),
            (&["--port", "99999"], "invalid value '99999' for '--port <PORT>'"),
            (&["--pool-threads", "0"], "invalid value '0' for '--pool-threads <N>': 0 is not in 1..=511"),
            (&["--shards", "0"], "invalid value '0' for '--shards <N>': 0 is not in 1..=1024"),
            (&["--log", "json"], "invalid value 'json' for '--log <FORM>' [possible values: pretty, off]"),
            (&["--listen", "example.org:80"], "names are not resolved"),
        ];
        for (arguments, part) in cases {
            let error = serve(arguments).unwrap_err();
            assert!(error.contains(part) && !error.contains('\n'), "{error}");
        }
    }

    #[test]
    fn a_mistyped_flag_brings_a_hint() {
        let error = serve(&["--publik"]).unwrap_err();
        assert_eq!(error, "unexpected argument '--publik' found; a similar argument exists: '--public'");
        assert_eq!(serve(&["--nonsense"]).unwrap_err(), "unexpected argument '--nonsense' found");
    }

    #[test]
    fn a_port_and_addresses_exclude_each_other() {
        assert!(serve(&["-p", "1", "-l", "2"]).unwrap_err().contains("exclude each other"));
        assert!(serve(&["--public", "-l", "127.0.0.1:2"]).unwrap_err().contains("no effect"));
        assert!(serve(&["--public", "-l", "127.0.0.1:2", "-l", ":3"]).is_ok());
    }
}
