//! The command line: what can be typed, not what it does. The flags of settings are made from the table
//! of settings. What a command does stands in the module of its name.
//!
//! Every command ends with 0 when it did what was asked, 1 when it did not, and 2 when the command line or a setting
//! is wrong, so that trying again is useless.

pub mod actor_token;
pub mod backup;
mod columns;
pub mod demo;
pub mod doctor;
mod erasure;
mod ever;
pub mod export;
mod flags;
pub mod healthcheck;
pub mod keys;
pub mod local;
pub mod manual;
pub mod output;
pub mod progress;
pub mod prune;
pub mod restore;
pub mod scrub;
pub mod send_test;
pub mod serve;
pub mod sync;
pub mod verify;

use std::collections::BTreeMap;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use clap_complete::Shell;
use jiff::civil::Date;

use crate::control::{Erase, Listing, Practice, Request};
use crate::page::{Cursor, Limit};
use crate::store::UserFilter;
use crate::user::{BadName, HandleKind, Plan, PracticeId, Role, Standing, UserRef};

pub use self::flags::{LocalFlags, ServeFlags};

use self::restore::Restore;
use self::verify::Verify;

const START: &str = "\
To start:
  rollbook demo     see it work: no account, no settings
  rollbook serve    the real thing; `rollbook serve --help` lists its settings";

const ROTATION: &str = "\
For 30 days checkpoints carry the signatures of both keys. Keep what is printed where you keep the former verifier key.";

const ADOPTION: &str = "\
At the start Rollbook compares the log in the data file with the newest checkpoint it ever signed, which is kept in a file \
of its own beside it (.hwm), and with its signing key (.key). When they do not belong together, the file may be an older \
copy, or changed by somebody else's hand. Then nothing is written, and the admin page says why.

First look for the right file: a newer copy of the data file (`rollbook restore`), or the .key and .hwm that belong to it. If \
there is none, `adopt` takes what is there. The log goes on under a new name, so that checkpoints signed before keep their meaning:
whoever holds one can still tell what is missing. A file \
without entries is not taken where some were signed. To start afresh, move the .key and .hwm away as well.";

const PRUNING: &str = "\
Without --yes nothing is removed, and what would go is printed.

Entries go from the old end of the log, with their details, 256 at a time. The hash tree stays: the entries that are left, \
and what was signed before, can still be proved. That entries were pruned, up to which one and by whom, is an entry itself. \
Users and other records are not touched.

HIPAA wants records of activity kept for six years (45 CFR 164.316(b)(2)(i)). Younger entries go only with \
--override-retention, and those of the last 90 days never: Clerk can still send their messages again, which would then \
count twice.

The file does not shrink, and the bytes of what went stay in it until their room is needed: see `rollbook scrub`.";

const SCRUBBING: &str = "\
What is removed from the data file (erased details, pruned entries, deleted records) is not there any more for Rollbook, but \
its bytes are until their room is needed. This writes a new file of what is live, makes sure that it is whole, and puts it \
in the place of the old one. Run it after erasing or pruning. Backups made before still hold what was removed.

It works while the server runs: reads go on, writes wait until it is done, about a second for every 100 MiB. Webhooks that \
wait longer than half a minute are answered 503, and Clerk sends them again. On the disk there must be room for a second \
file. If anything goes wrong, and after Ctrl-C, the file stays as it was.";

const SYNCING: &str = "\
Asks Clerk for all of its users, oldest first, and makes the roll the same: who is missing here is put on it, who is out of \
date is brought up to date, and who is not in the list is asked for by name and deleted once Clerk says that there is no \
such user. People who were deleted or erased here stay so. Each change is an entry in the log, as of a comparison.

It needs CLERK_SECRET_KEY. A running server does it, with its own settings; without one, this command does. At eight requests a \
second a million users take some five minutes. After Ctrl-C the next one goes on from there.";

const ENDS: &str = "\
Exit status: 0 done, 1 not done, 2 the command line or a setting is wrong.";

/// The roll of your Clerk users, and the book of everything that happened to them, in one file.
#[derive(Debug, Parser)]
#[command(
    name = "rollbook",
    version = env!("VERSION_AND_BUILD"),
    about,
    max_term_width = 100,
    after_help = format!("{START}\n\n{ENDS}"),
)]
pub struct Cli {
    /// What to do; `None` asks for the help.
    #[command(subcommand)]
    pub command: Option<Command>,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Receive webhooks, answer the API, show the admin page
    #[command(help_template = flags::TEMPLATE, before_help = flags::introduction(), after_help = ENDS)]
    Serve(ServeFlags),
    /// Everything at once with a stand-in for Clerk: no account, no settings, a data file that goes with it
    Demo(Demo),
    /// Check settings, clock, keys, files and the running server, and say what to do
    #[command(help_template = flags::TEMPLATE, before_help = flags::introduction(), after_help = ENDS)]
    Doctor(ServeFlags),
    /// Sign sample events and send them to a server, as Clerk would
    SendTest(SendTest),
    /// Set or reset the password of the admin page
    #[command(subcommand)]
    Admin(Admin),
    /// Say by the exit status whether the server is ready, for containers
    Healthcheck(Healthcheck),
    /// List, show, change and erase users
    #[command(subcommand)]
    Users(Users),
    /// Make, list and revoke API keys, by which servers use the API
    #[command(subcommand)]
    Keys(keys::Keys),
    /// Write users or the log to a file, for other programs
    #[command(subcommand)]
    Export(export::Export),
    /// Make a backup while the server runs, or of a stopped server's file, and prove it
    #[command(after_help = format!("{}\n\n{ENDS}", backup::HELP))]
    Backup(Backup),
    /// Compare all users with Clerk's, and make good what webhooks were lost
    #[command(after_help = format!("{SYNCING}\n\n{ENDS}"))]
    Sync(Sync),
    /// Print a link that signs somebody in as a user, once, to see what they see
    #[command(after_help = actor_token::HELP)]
    ActorToken(ActorToken),
    /// Sign a checkpoint of the log now, and print it
    Checkpoint(LocalFlags),
    /// Change the key that signs the log's checkpoints
    #[command(after_help = ROTATION)]
    RotateKey(LocalFlags),
    /// Settle a doubt about the log: take the data file as it is, and say so in the log
    #[command(after_help = ADOPTION)]
    Adopt(Adopt),
    /// Recompute the whole log, and say whether anything in it was changed
    #[command(after_help = verify::HELP)]
    Verify(Verify),
    /// Remove the oldest entries of the log, once they need not be kept any more
    #[command(after_help = format!("{PRUNING}\n\n{ENDS}"))]
    Prune(Prune),
    /// Put a copy in the place of a data file that was lost, and say what is missing in it
    #[command(after_help = format!("{}\n\n{ENDS}", restore::HELP))]
    Restore(Restore),
    /// Rewrite the data file, so that no byte of removed or erased rows is left in it
    #[command(after_help = format!("{SCRUBBING}\n\n{ENDS}"))]
    Scrub(LocalFlags),
    /// Print what completes the command line in a shell
    #[command(after_help = manual::COMPLETIONS)]
    Completions(Completions),
    /// Print the manual page, or write one for every command to a folder
    #[command(after_help = manual::PAGES)]
    Man(Man),
}

/// `rollbook completions`.
#[derive(Debug, Args)]
pub struct Completions {
    /// Which shell
    pub shell: Shell,
}

/// `rollbook man`.
#[derive(Debug, Args)]
pub struct Man {
    /// An existing folder; the pages are files in it
    #[arg(value_name = "DIR", value_hint = clap::ValueHint::DirPath)]
    pub folder: Option<PathBuf>,
}

/// `rollbook adopt`.
#[derive(Debug, Args)]
pub struct Adopt {
    /// Why, for whoever reads the log: what happened to the file, and who decided this
    #[arg(long, value_name = "TEXT")]
    pub reason: String,
    /// Settings.
    #[command(flatten)]
    pub flags: LocalFlags,
}

/// `rollbook demo`.
#[derive(Debug, Args)]
pub struct Demo {
    /// Port to listen on, on this machine alone; otherwise a free one
    #[arg(long)]
    pub port: Option<u16>,
}

/// `rollbook send-test`.
#[derive(Debug, Args)]
pub struct SendTest {
    /// Type of the event, such as user.created; otherwise one of every type
    #[arg(value_parser = send_test::event_type)]
    pub event: Option<String>,
    /// Where to send it; otherwise the server that the settings describe
    #[arg(long)]
    pub url: Option<String>,
    /// Settings.
    #[command(flatten)]
    pub flags: LocalFlags,
}

/// `rollbook admin`.
#[derive(Debug, Subcommand)]
pub enum Admin {
    /// Print a link that sets or resets an admin's password, once
    Link(AdminLink),
}

/// `rollbook admin link`.
#[derive(Debug, Args)]
pub struct AdminLink {
    /// The admin's name; with one that nobody has yet, the link makes a new admin
    #[arg(long, default_value = "admin")]
    pub name: String,
    /// Settings.
    #[command(flatten)]
    pub flags: LocalFlags,
}

/// `rollbook healthcheck`.
#[derive(Debug, Args)]
pub struct Healthcheck {
    /// Which server to ask; otherwise the one that the settings describe
    #[arg(long)]
    pub url: Option<String>,
    /// Settings.
    #[command(flatten)]
    pub flags: LocalFlags,
}

/// `rollbook users`.
#[derive(Debug, Subcommand)]
pub enum Users {
    /// List users
    List(UsersList),
    /// Show one user
    Show(UsersShow),
    /// Change a user's role, practice or subscription
    Set(UsersSet),
    /// Erase everything that is kept of a person; the log's proof stays whole
    #[command(after_help = RETENTION)]
    Erase(UsersErase),
    /// Say whether an e-mail address, phone number, user name or external id was ever on file, and whose
    Ever(UsersEver),
}

const RETENTION: &str = "\
Without --yes nothing is erased, and what would go is printed.

Before you erase, make sure that nothing obliges you to keep what goes. HIPAA, for one, may require that records of who \
read and changed health data are kept for six years.

The data file holds the erased bytes in free pages until they are used again or `rollbook scrub` rewrites it, and so do \
backups made before.";

/// `rollbook users erase`.
#[derive(Debug, Args)]
pub struct UsersErase {
    /// The user's id, Rollbook's or Clerk's; Clerk's for somebody who is in the log alone
    pub user: UserRef,
    /// Do it; it cannot be undone
    #[arg(long)]
    pub yes: bool,
    /// Also if Clerk has not deleted them; from then on their tokens are refused and their events passed over
    #[arg(long)]
    pub still_at_clerk: bool,
    /// Also if targets are still to be told something about them, which they then never are
    #[arg(long)]
    pub untold: bool,
    /// Why, for the log; must not name the person
    #[arg(long)]
    pub reason: Option<String>,
    /// Settings.
    #[command(flatten)]
    pub flags: LocalFlags,
}

/// `rollbook users ever`.
#[derive(Debug, Args)]
pub struct UsersEver {
    /// The value
    pub value: String,
    /// What it is (email, phone, username or external-id); otherwise what it looks like
    #[arg(long)]
    pub kind: Option<HandleKind>,
    /// Ask of this user alone
    #[arg(long)]
    pub user: Option<UserRef>,
    /// Settings.
    #[command(flatten)]
    pub flags: LocalFlags,
}

/// Which users.
#[derive(Debug, Args)]
pub struct Which {
    /// Only those whose full name, last name, user name or e-mail address begins with this
    #[arg(long)]
    pub query: Option<String>,
    /// Only those with this e-mail address
    #[arg(long)]
    pub email: Option<String>,
    /// Only those with this role
    #[arg(long)]
    pub role: Option<Role>,
    /// Only those of this practice
    #[arg(long, value_parser = practice)]
    pub practice: Option<PracticeId>,
    /// Deleted users, instead of those on the roll
    #[arg(long)]
    pub deleted: bool,
}

impl From<&Which> for UserFilter {
    fn from(which: &Which) -> Self {
        let Which { query, email, role, practice, deleted } = which;
        let (query, email) = (query.clone(), email.clone());
        Self { query, email, role: role.clone(), practice: practice.clone(), deleted: *deleted }
    }
}

/// `rollbook users list`.
#[derive(Debug, Args)]
pub struct UsersList {
    /// Which ones.
    #[command(flatten)]
    pub which: Which,
    /// How many at most, 1 to 500; 50 unless given
    #[arg(long)]
    pub limit: Option<Limit>,
    /// Go on behind the last page; it ends with its cursor
    #[arg(long)]
    pub cursor: Option<Cursor>,
    /// Settings.
    #[command(flatten)]
    pub flags: LocalFlags,
}

/// `rollbook users show`.
#[derive(Debug, Args)]
pub struct UsersShow {
    /// The user's id, Rollbook's or Clerk's
    pub user: UserRef,
    /// Settings.
    #[command(flatten)]
    pub flags: LocalFlags,
}

/// `rollbook users set`.
#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("change").args(["role", "practice", "no_practice", "plan", "status"]).required(true).multiple(true))]
pub struct UsersSet {
    /// The user's id, Rollbook's or Clerk's
    pub user: UserRef,
    /// The new role; ADMIN may read and change everybody
    #[arg(long)]
    pub role: Option<Role>,
    /// The practice the user belongs to
    #[arg(long, value_parser = practice, conflicts_with = "no_practice")]
    pub practice: Option<PracticeId>,
    /// The user belongs to no practice
    #[arg(long)]
    pub no_practice: bool,
    /// The subscription's plan
    #[arg(long)]
    pub plan: Option<Plan>,
    /// The subscription's state, such as active
    #[arg(long)]
    pub status: Option<Standing>,
    /// Settings.
    #[command(flatten)]
    pub flags: LocalFlags,
}

/// `rollbook prune`.
#[derive(Debug, Args)]
pub struct Prune {
    /// Entries written before this day (UTC), such as 2020-01-01
    #[arg(long, value_name = "DATE", value_parser = date)]
    pub before: Date,
    /// Also entries of the last six years, but for the last 90 days
    #[arg(long)]
    pub override_retention: bool,
    /// Do it; it cannot be undone
    #[arg(long)]
    pub yes: bool,
    /// Settings.
    #[command(flatten)]
    pub flags: LocalFlags,
}

/// `rollbook backup`.
#[derive(Debug, Args)]
pub struct Backup {
    /// A folder, or the name of a new file; otherwise the folder that is set for backups
    #[arg(value_name = "DEST")]
    pub to: Option<PathBuf>,
    /// Settings.
    #[command(flatten)]
    pub flags: LocalFlags,
}

/// `rollbook sync`.
#[derive(Debug, Args)]
pub struct Sync {
    /// Change nothing, only say what differs
    #[arg(long)]
    pub dry_run: bool,
    /// Settings.
    #[command(flatten)]
    pub flags: LocalFlags,
}

/// `rollbook actor-token`.
#[derive(Debug, Args)]
pub struct ActorToken {
    /// The user's id, Rollbook's or Clerk's
    pub user: UserRef,
    /// Why, for the log: what they asked for, or the number of the ticket
    #[arg(long, value_name = "TEXT")]
    pub reason: String,
    /// The id of the user who acts, Rollbook's or Clerk's; otherwise the session names rollbook:cli
    #[arg(long, value_name = "USER")]
    pub actor: Option<UserRef>,
    /// Settings.
    #[command(flatten)]
    pub flags: LocalFlags,
}

/// A day. A moment would be read as its day, and the hour be lost.
fn date(text: &str) -> Result<Date, &'static str> {
    let wanted = "a day is written like 2020-01-01";
    if text.len() == "2020-01-01".len() { text.parse().map_err(|_| wanted) } else { Err(wanted) }
}

fn practice(text: &str) -> Result<PracticeId, BadName> {
    text.to_owned().try_into()
}

impl Command {
    /// The flags of settings that were given, by the variables they stand for.
    #[must_use]
    pub fn flags(&self) -> BTreeMap<&'static str, String> {
        match self {
            Self::Serve(flags) | Self::Doctor(flags) => flags.0.clone(),
            Self::Demo(_) | Self::Completions(_) | Self::Man(_) => BTreeMap::new(),
            Self::Export(export) => export.flags().0.clone(),
            Self::Keys(keys) => keys.flags().0.clone(),
            Self::SendTest(SendTest { flags, .. })
            | Self::Admin(Admin::Link(AdminLink { flags, .. }))
            | Self::Healthcheck(Healthcheck { flags, .. })
            | Self::Checkpoint(flags)
            | Self::RotateKey(flags)
            | Self::Adopt(Adopt { flags, .. })
            | Self::Verify(Verify { flags, .. })
            | Self::Prune(Prune { flags, .. })
            | Self::Restore(Restore { flags, .. })
            | Self::Scrub(flags)
            | Self::Backup(Backup { flags, .. })
            | Self::Sync(Sync { flags, .. })
            | Self::ActorToken(ActorToken { flags, .. })
            | Self::Users(
                Users::List(UsersList { flags, .. })
                | Users::Show(UsersShow { flags, .. })
                | Users::Set(UsersSet { flags, .. })
                | Users::Erase(UsersErase { flags, .. })
                | Users::Ever(UsersEver { flags, .. }),
            ) => flags.0.clone(),
        }
    }
}

impl Users {
    /// What to ask of a running server.
    #[must_use]
    pub fn request(&self) -> Request {
        match self {
            Self::List(list) => Request::Users(Listing {
                filter: (&list.which).into(),
                limit: list.limit.unwrap_or_default(),
                cursor: list.cursor.clone(),
            }),
            Self::Show(show) => Request::User { id: show.user.clone() },
            Self::Set(set) => Request::SetUser {
                id: set.user.clone(),
                role: set.role.clone(),
                practice: match &set.practice {
                    Some(practice) => Practice::Is(practice.clone()),
                    None if set.no_practice => Practice::None,
                    None => Practice::Keep,
                },
                plan: set.plan.clone(),
                status: set.status.clone(),
            },
            Self::Erase(erase) => Request::Erase(Erase {
                id: erase.user.clone(),
                confirmed: erase.yes,
                even_if_live: erase.still_at_clerk,
                even_if_untold: erase.untold,
                reason: erase.reason.clone(),
            }),
            Self::Ever(ever) => {
                Request::EverOnFile { value: ever.value.clone(), kind: ever.kind, user: ever.user.clone() }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]
    use clap::CommandFactory as _;

    use super::*;

    fn parse(line: &str) -> Result<Command, clap::error::ErrorKind> {
        Cli::try_parse_from(line.split(' ')).map(|cli| cli.command.unwrap()).map_err(|error| error.kind())
    }

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
        assert!(Cli::try_parse_from(["rollbook"]).unwrap().command.is_none());
        let help = Cli::command().render_help().to_string();
        assert!(help.contains("rollbook demo ") && help.contains("rollbook serve "), "{help}");
    }

    #[test]
    fn no_help_is_wider_than_it_says() {
        let mut commands = vec![Cli::command().term_width(100)];
        let mut seen = 0;
        while let Some(mut command) = commands.pop() {
            command.build();
            for help in [command.render_help(), command.render_long_help()] {
                // Usage is left in one line, to be copied.
                let help = help.to_string();
                let mut lines = help.lines().filter(|line| !line.starts_with("Usage: "));
                assert_eq!(lines.find(|line| line.chars().count() > 100), None, "{}", command.get_name());
            }
            commands.extend(command.get_subcommands().map(|below| below.clone().term_width(100)));
            seen += 1;
        }
        assert!(seen > 30);
    }

    #[test]
    fn flags_stand_for_variables() {
        let flags = parse("rollbook serve --listen 127.0.0.1:0 --delete=hard").unwrap().flags();
        assert_eq!(
            flags.into_iter().collect::<Vec<_>>(),
            [("ROLLBOOK_DELETE", "hard".to_owned()), ("ROLLBOOK_LISTEN", "127.0.0.1:0".to_owned()),]
        );
        assert_eq!(parse("rollbook users show user_1 --data x.redb").unwrap().flags()["ROLLBOOK_DATA"], "x.redb");
        assert!(parse("rollbook users show user_1 --delete hard").is_err());
        assert!(parse("rollbook serve --webhook-signing-secret whsec_x").is_err());
    }

    #[test]
    fn users_set_changes_something() {
        use clap::error::ErrorKind;
        let kind = |line| parse(line).unwrap_err();
        assert_eq!(kind("rollbook users set user_1"), ErrorKind::MissingRequiredArgument);
        assert_eq!(kind("rollbook users set user_1 --practice a --no-practice"), ErrorKind::ArgumentConflict);
        assert_eq!(kind("rollbook users set user_1 --role a/b"), ErrorKind::ValueValidation);
        let request = |line| match parse(line).unwrap() {
            Command::Users(users) => users.request(),
            other => panic!("{other:?}"),
        };
        let practice = |line| match request(line) {
            Request::SetUser { practice, .. } => practice,
            other => panic!("{other:?}"),
        };
        assert_eq!(practice("rollbook users set user_1 --role ADMIN"), Practice::Keep);
        assert_eq!(practice("rollbook users set user_1 --no-practice"), Practice::None);
        assert!(matches!(practice("rollbook users set user_1 --practice p"), Practice::Is(p) if p.as_str() == "p"));
        let listing = request("rollbook users list --role ADMIN --deleted --limit 7");
        assert!(matches!(listing, Request::Users(Listing { filter, limit, .. }) if filter.deleted && limit.get() == 7));
    }
}
