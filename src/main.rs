//! The program: the command line, the settings, and which part of the library does what was asked.
#![allow(clippy::print_stderr, reason = "a command speaks to whoever typed it")]

use std::path::Path;
use std::process::ExitCode;

use clap::{CommandFactory as _, Parser as _};
use rollbook::cli::{Cli, Command};
use rollbook::config::{Config, Faults, Local, Sources};

/// The command line or a setting is wrong: trying again is useless.
const WRONG: u8 = 2;

fn main() -> ExitCode {
    let Some(command) = Cli::parse().command else {
        // A reader that has gone away needs no help.
        let _ = Cli::command().print_help();
        return ExitCode::SUCCESS;
    };
    run(&command).unwrap_or_else(|faults| {
        eprintln!("{faults}");
        ExitCode::from(WRONG)
    })
}

fn run(command: &Command) -> Result<ExitCode, Faults> {
    let sources = Sources::with_file(command.flags(), std::env::vars_os(), Path::new(".env"))?;
    for warning in sources.warnings() {
        eprintln!("warning: {warning}");
    }
    match command {
        Command::Serve(_) => drop(Config::read(|name| sources.get(name))?),
        _ => drop(Local::read(|name| sources.get(name))?),
    }
    Ok(ExitCode::FAILURE)
}
