//! The program: the command line, the settings, and which part of the library does what was asked.
#![allow(clippy::print_stderr, reason = "a command speaks to whoever typed it")]

use std::path::Path;
use std::process::ExitCode;

use clap::{CommandFactory as _, Parser as _};
use rollbook::cli::{
    Cli, Command, actor_token, backup, demo, doctor, export, healthcheck, keys, local, manual, prune, restore, scrub,
    send_test, serve, sync, verify,
};
use rollbook::config::{self, Config, Faults, Local, Sources, Standalone};
use rustix::process::{Resource, Rlimit, setrlimit};

/// The command line or a setting is wrong: trying again is useless.
const WRONG: u8 = 2;

/// What a command comes to: done, or why not.
type Done = Result<(), Failure>;

/// Why a command was not done.
struct Failure {
    /// `None` when that was said already.
    cause: Option<Box<dyn std::error::Error>>,
    status: ExitCode,
}

impl<E: std::error::Error + 'static> From<E> for Failure {
    fn from(cause: E) -> Self {
        Self { cause: Some(Box::new(cause)), status: ExitCode::FAILURE }
    }
}

fn main() -> ExitCode {
    dump_no_core();
    let Some(command) = Cli::parse().command else {
        // A reader that has gone away needs no help.
        let _ = Cli::command().print_help();
        return ExitCode::SUCCESS;
    };
    match run(&command) {
        Ok(Ok(())) => ExitCode::SUCCESS,
        Ok(Err(Failure { cause, status })) => {
            if let Some(cause) = cause {
                eprintln!("{cause}");
            }
            status
        }
        Err(faults) => {
            eprintln!("{faults}");
            ExitCode::from(WRONG)
        }
    }
}

/// A core dump would hold every secret that the program was given, in a file that nobody thinks of.
fn dump_no_core() {
    // Where there is no such limit, there is none to set.
    let _ = setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) });
}

/// Reads the settings the command needs, and then does it.
fn run(command: &Command) -> Result<Done, Faults> {
    let mut out = std::io::stdout();
    if let Command::Demo(demo) = command {
        // Nothing that is set may change what a newcomer sees.
        return Ok(block_on(async { Ok(demo::run(demo.port, &mut out).await?) }));
    }
    match command {
        Command::Completions(wanted) => return Ok(manual::completions(wanted, &mut out).map_err(Failure::from)),
        Command::Man(wanted) => return Ok(manual::man(wanted, &mut out).map_err(Failure::from)),
        _ => {}
    }
    let sources = Sources::with_file(command.flags(), std::env::vars_os(), Path::new(".env"))?;
    for warning in sources.warnings() {
        eprintln!("warning: {warning}");
    }
    let get = |name: &str| sources.get(name);
    Ok(match command {
        Command::Demo(_) | Command::Completions(_) | Command::Man(_) => Ok(()),
        Command::Serve(_) => {
            let config = Config::from_sources(&sources)?;
            block_on(async { Ok(serve::run(config).await?) })
        }
        Command::Doctor(_) => {
            let (local, config) = (Local::read(get), Config::read(get));
            block_on(async { Ok(doctor::run(local, config, &mut out).await?) })
        }
        Command::SendTest(send) => {
            let (local, secrets) = (Local::read(get)?, config::signing_secrets(get)?);
            let secret = secrets.first().map_or("", config::Secret::expose);
            block_on(async {
                let sender = send_test::sender(send.url.as_deref(), &local, secret).await?;
                Ok(send_test::run(send.event.as_deref(), &sender, &mut out).await?)
            })
        }
        Command::Admin(admin) => {
            let local = Local::read(get)?;
            block_on(async { Ok(local::admin(admin, &local, &mut out).await?) })
        }
        Command::Healthcheck(check) => {
            let local = Local::read(get)?;
            block_on(async { Ok(healthcheck::run(check.url.as_deref(), &local).await?) })
        }
        Command::Checkpoint(_) => {
            let local = Local::read(get)?;
            block_on(async { Ok(local::checkpoint(&local, &mut out).await?) })
        }
        Command::RotateKey(_) => {
            let local = Local::read(get)?;
            block_on(async { Ok(local::rotate_key(&local, &mut out).await?) })
        }
        Command::Adopt(adopt) => {
            let local = Local::read(get)?;
            block_on(async { Ok(local::adopt(&adopt.reason, &local, &mut out).await?) })
        }
        Command::Verify(command) => {
            let local = Local::read(get)?;
            block_on(async { verify::run(command, &local, &mut out).await.map_err(unverified) })
        }
        Command::Prune(command) => {
            let local = Local::read(get)?;
            block_on(async { Ok(prune::run(command, &local, &mut out).await?) })
        }
        Command::Restore(command) => {
            let local = Local::read(get)?;
            block_on(async { Ok(restore::run(command, &local, &mut out).await?) })
        }
        Command::Scrub(_) => {
            let local = Local::read(get)?;
            block_on(async { Ok(scrub::run(&local, &mut out).await?) })
        }
        Command::Backup(command) => {
            let (local, settings) = (Local::read(get)?, Standalone::of_backups(get)?);
            block_on(async { Ok(backup::run(command, &local, &settings, &mut out).await?) })
        }
        Command::Sync(command) => {
            let (local, settings) = (Local::read(get)?, Standalone::read(get)?);
            block_on(async { Ok(sync::run(command, &local, &settings, &mut out).await?) })
        }
        Command::ActorToken(command) => {
            let (local, settings) = (Local::read(get)?, Standalone::read(get)?);
            let mut err = std::io::stderr();
            block_on(async { Ok(actor_token::run(command, &local, &settings, &mut out, &mut err).await?) })
        }
        Command::Export(export) => {
            let local = Local::read(get)?;
            block_on(async { Ok(export::run(export, &local, &mut out).await?) })
        }
        Command::Keys(command) => {
            let local = Local::read(get)?;
            block_on(async { Ok(keys::run(command, &local, &mut out, &mut std::io::stderr()).await?) })
        }
        Command::Users(users) => {
            let local = Local::read(get)?;
            block_on(async { Ok(local::users(users, &local, &mut out).await?) })
        }
    })
}

/// Who verifies wants to know what it was from the exit status alone.
fn unverified(error: verify::Error) -> Failure {
    let status = ExitCode::from(error.status());
    if error.was_shown() { Failure { cause: None, status } } else { Failure { status, ..error.into() } }
}

fn block_on(work: impl Future<Output = Done>) -> Done {
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(work)
}
