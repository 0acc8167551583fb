//! `rollbook export`: users and log for other programs.

use std::io::{self, ErrorKind, IsTerminal as _, Write};
use std::net::IpAddr;
use std::path::PathBuf;

use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Args, Subcommand};

use super::local::{self, Error};
use super::output::Output;
use super::{LocalFlags, Which};
use crate::audit::{Actions, ActorRef};
use crate::clock::Moment;
use crate::config::Local;
use crate::control::{AuditExport, Piece, Reply, Request, UsersExport};
use crate::export::{entries, users};
use crate::user::UserRef;

const CSV: &str = "\
In CSV, what a spreadsheet would take for a formula (it begins with = + - or @, perhaps behind a space) has a ' in front.";

/// `rollbook export`.
#[derive(Debug, Subcommand)]
pub enum Export {
    /// The users, as JSON Lines or CSV
    #[command(after_help = CSV)]
    Users(ExportUsers),
    /// The entries of the log, oldest first, as JSON Lines, CSV or OCSF events
    #[command(after_help = CSV)]
    Audit(ExportAudit),
    /// The log with all that proves it, as a folder that others can check
    Log(ExportLog),
}

/// `rollbook export users`.
#[derive(Debug, Args)]
pub struct ExportUsers {
    /// Which ones.
    #[command(flatten)]
    pub which: Which,
    /// In which form: jsonl has the whole record, csv what fits in a table
    #[arg(long, default_value = "jsonl", value_parser = PossibleValuesParser::new(users::Format::NAMES).try_map(|name| name.parse::<users::Format>()))]
    pub format: users::Format,
    /// Where to.
    #[command(flatten)]
    pub to: Destination,
    /// Settings.
    #[command(flatten)]
    pub flags: LocalFlags,
}

/// `rollbook export audit`.
#[derive(Debug, Args)]
pub struct ExportAudit {
    /// Only those of this action, such as user.created, or user.* for all that begin so
    #[arg(long)]
    pub action: Option<Actions>,
    /// Only those about this user or done by them; their id, Rollbook's or Clerk's
    #[arg(long, value_name = "USER")]
    pub subject: Option<UserRef>,
    /// Only those done by this one: clerk, cli, system, anonymous, admin:NAME, key:ID, or a user's id
    #[arg(long)]
    pub actor: Option<ActorRef>,
    /// Only those done from this network address, as far as it is still known
    #[arg(long, value_name = "IP")]
    pub address: Option<IpAddr>,
    /// Only those written at this time or later: 2024-05-28, 2024-05-28T08:00:00Z, or milliseconds since 1970
    #[arg(long, value_name = "TIME")]
    pub from: Option<Moment>,
    /// Only those written before this time
    #[arg(long, value_name = "TIME")]
    pub to: Option<Moment>,
    /// In which form: jsonl as the API shows entries, csv, or ocsf for security event collectors
    #[arg(long, default_value = "jsonl", value_parser = PossibleValuesParser::new(entries::Format::NAMES).try_map(|name| name.parse::<entries::Format>()))]
    pub format: entries::Format,
    /// Where to.
    #[command(flatten)]
    pub destination: Destination,
    /// Settings.
    #[command(flatten)]
    pub flags: LocalFlags,
}

/// `rollbook export log`.
#[derive(Debug, Args)]
pub struct ExportLog {
    /// Folder to make; it may be there if it is empty
    #[arg(long, value_name = "FOLDER")]
    pub out: PathBuf,
    /// Leave out what is known of people: details.jsonl and subjects.jsonl. The rest can be checked all the same
    #[arg(long)]
    pub without_details: bool,
    /// Settings.
    #[command(flatten)]
    pub flags: LocalFlags,
}

/// Where one file goes.
#[derive(Debug, Args)]
pub struct Destination {
    /// File to write; otherwise standard output
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
    /// Replace the file if there is one
    #[arg(long, requires = "out")]
    pub force: bool,
}

impl Export {
    /// The flags of settings that were given.
    pub(super) const fn flags(&self) -> &LocalFlags {
        match self {
            Self::Users(ExportUsers { flags, .. })
            | Self::Audit(ExportAudit { flags, .. })
            | Self::Log(ExportLog { flags, .. }) => flags,
        }
    }

    /// What to ask, and what that is called.
    fn request(&self) -> (Request, &'static str) {
        match self {
            Self::Users(wanted) => {
                let wanted = UsersExport { filter: (&wanted.which).into(), format: wanted.format };
                (Request::ExportUsers(wanted), "users")
            }
            Self::Audit(wanted) => {
                let wanted = AuditExport {
                    action: wanted.action.clone(),
                    subject: wanted.subject.clone(),
                    actor: wanted.actor.clone(),
                    address: wanted.address,
                    from: wanted.from.map(|at| at.0),
                    to: wanted.to.map(|at| at.0),
                    format: wanted.format,
                };
                (Request::ExportAudit(wanted), "entries")
            }
            Self::Log(log) => (Request::ExportLog { details: !log.without_details }, "entries"),
        }
    }

    /// Opens what is to be written to; nothing has been asked yet.
    fn output(&self) -> io::Result<Output> {
        match self {
            Self::Users(ExportUsers { to: Destination { out, force }, .. })
            | Self::Audit(ExportAudit { destination: Destination { out, force }, .. }) => match out {
                Some(place) => Output::file(place, *force),
                None => Ok(Output::standard()),
            },
            Self::Log(log) => Output::folder(&log.out),
        }
    }

    fn place(&self) -> Option<&PathBuf> {
        match self {
            Self::Users(users) => users.to.out.as_ref(),
            Self::Audit(audit) => audit.destination.out.as_ref(),
            Self::Log(log) => Some(&log.out),
        }
    }
}

/// `rollbook export …`. Says on `out` what was written where, unless the export itself goes to standard output.
///
/// # Errors
/// When there is no data file or no such user, or the output cannot be written.
pub async fn run(export: &Export, local: &Local, out: &mut (dyn Write + Send)) -> Result<(), Error> {
    let output = export.output()?;
    let (request, what) = export.request();
    // A bar between the lines would spoil both.
    let is_shown = export.place().is_some() || !io::stdout().is_terminal();
    let doing = if what == "users" { "exporting users" } else { "exporting entries" };
    let take = |output: &mut Output, piece: Piece| output.take(&piece);
    let exported = local::answer_at_length(local, request, is_shown.then_some(doing), output, take).await;
    let (reply, output) = match exported {
        // A reader that has gone away has what it wanted.
        Err(Error::Output(error)) if export.place().is_none() && error.kind() == ErrorKind::BrokenPipe => return Ok(()),
        exported => exported?,
    };
    let count = match reply {
        Reply::Exported { count } => count,
        Reply::NotFound => return Err(Error::NotFound),
        Reply::Refused { reason } => return Err(Error::Refused(reason)),
        _ => return Err(crate::control::Error::NoAnswer.into()),
    };
    tokio::task::spawn_blocking(|| output.keep()).await.map_err(io::Error::other)??;
    if let Some(place) = export.place() {
        writeln!(out, "{}: {count} {what}", place.display())?;
    }
    Ok(())
}
