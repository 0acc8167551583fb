//! `rollbook completions` and `rollbook man`: the command line as shells and manuals know it, made from itself.

use std::io::{self, Write};
use std::path::Path;

use clap::{Command, CommandFactory as _};

use super::{Cli, Completions, Man};

pub(super) const COMPLETIONS: &str = "\
Put it where the shell looks for completions:
  bash  rollbook completions bash > ~/.local/share/bash-completion/completions/rollbook
  zsh   rollbook completions zsh > /usr/local/share/zsh/site-functions/_rollbook
  fish  rollbook completions fish > ~/.config/fish/completions/rollbook.fish";

pub(super) const PAGES: &str = "\
To read one at once: rollbook man | man -l -
To install them all: rollbook man /usr/local/share/man/man1";

/// Why there is no manual.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The pages could not be written.
    #[error("{folder}: {cause}; make the folder first")]
    Folder {
        /// Where.
        folder: String,
        /// What the system said.
        cause: io::Error,
    },
    /// Nobody reads what is printed.
    #[error(transparent)]
    Output(#[from] io::Error),
}

/// Prints the script for a shell.
///
/// # Errors
/// When it cannot be printed.
pub fn completions(wanted: &Completions, out: &mut dyn Write) -> io::Result<()> {
    // Written whole, for what makes it knows of no failure.
    let mut script = Vec::new();
    clap_complete::generate(wanted.shell, &mut Cli::command(), "rollbook", &mut script);
    out.write_all(&script)
}

/// Prints the page of the program, or writes the page of every command to the folder.
///
/// # Errors
/// When they cannot be written.
pub fn man(wanted: &Man, out: &mut dyn Write) -> Result<(), Error> {
    if let Some(folder) = &wanted.folder {
        return clap_mangen::generate_to(program(), folder).map_err(not_in(folder));
    }
    let mut program = program().disable_help_subcommand(true);
    program.build();
    Ok(clap_mangen::Man::new(program).render(&mut &mut *out)?)
}

/// The command line as pages tell it. The whole version is too long for the foot of one.
fn program() -> Command {
    Cli::command().version(env!("CARGO_PKG_VERSION")).mut_subcommands(described)
}

/// With what the help says first as the description, for which pages have another place.
fn described(command: Command) -> Command {
    let first = command.get_about().zip(command.get_before_help()).map(|(about, first)| format!("{about}\n\n{first}"));
    match first {
        Some(text) => command.long_about(text),
        None => command,
    }
}

fn not_in(folder: &Path) -> impl FnOnce(io::Error) -> Error {
    |cause| Error::Folder { folder: folder.display().to_string(), cause }
}
