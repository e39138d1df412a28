//! The runner: `compare --help`.

mod broadcast;
mod fairness;
mod file_servers;
mod files;
mod idle_memory;
mod instructions;
mod metrics;
mod options;
mod overload;
mod progress;
mod rounds;
mod service;
mod speed;
mod ws;

use std::process::ExitCode;

use lakh_compare::{Context, Error, Result, machine, sys};
use options::{Command, Options};

fn main() -> ExitCode {
    lakh_compare::error::exit_with("compare", run())
}

fn run() -> Result<()> {
    let Some(options) = Options::from_env()? else { return Ok(()) };
    let files = sys::raise_open_files().context(|| "open files".to_owned())?;
    let needed = options.open_files();
    if files < needed {
        let line =
            format!("{needed} open files are needed and {files} allowed: raise `ulimit -Hn`, or use --idle");
        return Err(Error::new(line));
    }
    println!("{}", machine::describe()); // before this process has but one CPU
    if let Some(cpus) = options.cpus {
        let pin = || {
            format!("cannot run on CPU {}; another pair: --cpus SERVER,LOAD, or none: --no-pin", cpus.load)
        };
        sys::pin_self(cpus.load).context(pin)?;
    }
    if options.lakh.is_none() {
        println!("lakh is not measured: it is not built, or was left out.\n");
    }
    match options.command {
        Command::Speed => speed::run(&options),
        Command::Service => service::run(&options),
        Command::Json => service::run_json(&options),
        Command::Files => files::run(&options),
        Command::Fairness => fairness::run(&options),
        Command::Overload => overload::run(&options),
        Command::Metrics => metrics::run(&options),
        Command::IdleMemory => idle_memory::run(&options),
        Command::Instructions => instructions::run(&options),
        Command::Ws => ws::run(&options),
        Command::WsIdleMemory => idle_memory::run_ws(&options),
        Command::WsInstructions => instructions::run_ws(&options),
        Command::Broadcast => broadcast::run(&options),
        Command::All => {
            speed::run(&options)?;
            idle_memory::run(&options)?;
            instructions::run(&options)
        }
    }
}
