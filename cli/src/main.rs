//! The `lakh` command: serves a folder, looks into servers, load-tests them, says what a machine allows, hashes passwords.
//!
//! Standard output is the result (addresses, one line per request); standard error is for problems
//! and progress. Exit status: 0 after an orderly end, 1 if running failed, 2 if it could not begin
//! as asked, 130 after a second Ctrl-C.
//!
//! It resolves no names and reads no configuration file.

#![forbid(unsafe_code)]

mod access;
mod args;
mod banner;
mod doctor;
mod failure;
mod hash_password;
mod human;
mod listen;
mod load;
mod log;
mod screen;
mod secret;
mod serve;
mod terminal;
mod top;
mod typed;

use args::Command;
use std::process::ExitCode;

#[cfg(feature = "mimalloc")]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let outcome = args::from_command_line().and_then(|command| match command {
        Command::Serve(options) => serve::run(&options).map(|()| ExitCode::SUCCESS),
        Command::Load(options) => load::run(&options),
        Command::Doctor(options) => doctor::run(&options),
        Command::Top(options) => top::run(&options).map(|()| ExitCode::SUCCESS),
        Command::HashPassword(options) => hash_password::run(&options).map(|()| ExitCode::SUCCESS),
        Command::Completions { shell } => {
            args::print_completions(shell);
            Ok(ExitCode::SUCCESS)
        }
    });
    match outcome {
        Ok(status) => status,
        Err(failure) => {
            terminal::say(&format!("lakh: {failure}\n"));
            failure.exit_code()
        }
    }
}
