//! The `lakh` command: serves a folder.
//!
//! Standard output is the result (addresses, one line per request); standard error is for problems
//! and progress. Exit status: 0 after an orderly end, 1 if running failed, 2 if it could not begin
//! as asked, 130 after a second Ctrl-C.
//!
//! It resolves no names and reads no configuration file.

#![forbid(unsafe_code)]

mod args;
mod banner;
mod failure;
mod human;
mod listen;
#[cfg(test)]
#[path = "load/live.rs"]
#[allow(dead_code)]
mod live;
mod log;
mod serve;
mod terminal;

use args::Command;
use std::process::ExitCode;

#[cfg(feature = "mimalloc")]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let outcome = args::from_command_line().and_then(|command| match command {
        Command::Serve(options) => serve::run(&options),
        Command::Completions { shell } => {
            args::print_completions(shell);
            Ok(())
        }
    });
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            terminal::say(&format!("lakh: {failure}\n"));
            failure.exit_code()
        }
    }
}
