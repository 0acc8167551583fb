//! The flags of settings, made from the table of settings, and what the help says of them.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use clap::{ArgMatches, Args, FromArgMatches, ValueHint};

use crate::config::{SETTINGS, Setting};

const INTRO: &str = "\
A setting is a flag, the variable in brackets, or that variable in a file .env in the folder where Rollbook is started. \
A flag beats the environment, which beats .env. Two are required: CLERK_WEBHOOK_SIGNING_SECRET, and --publishable-key \
(or --issuer).

Secrets have no flag, for everybody can read a command line. With _FILE behind its name, the variable is the path of a \
file that holds the secret:";

/// The flags of settings, by the variables they stand for: all of them, or those that every command has.
#[derive(Debug, Clone, Default)]
pub struct Flags<const ALL: bool>(pub(super) BTreeMap<&'static str, String>);

/// The flags of every setting that is not a secret.
pub type ServeFlags = Flags<true>;

/// The flags of the settings that every command has.
pub type LocalFlags = Flags<false>;

impl<const ALL: bool> Flags<ALL> {
    /// The data file, if it was named by a flag: the commands that are told next need that flag too.
    pub(super) fn data(&self) -> Option<&str> {
        self.0.get("ROLLBOOK_DATA").map(String::as_str)
    }

    /// Each setting that has a flag here, with its flag.
    fn settings() -> impl Iterator<Item = (&'static Setting, &'static str)> {
        SETTINGS.iter().filter(|setting| ALL || setting.everywhere).filter_map(|s| s.flag.map(|flag| (s, flag)))
    }
}

impl<const ALL: bool> Args for Flags<ALL> {
    fn augment_args(command: clap::Command) -> clap::Command {
        Self::settings().fold(command, |command, (setting, flag)| {
            let arg = clap::Arg::new(setting.name).long(flag).value_name(setting.value).help(help(setting));
            // Elsewhere than with `serve` they would bury the command's own.
            let heading = if ALL { setting.heading() } else { "Settings" };
            command.arg(arg.value_hint(hint(setting)).help_heading(heading).hide_short_help(!ALL))
        })
    }

    fn augment_args_for_update(command: clap::Command) -> clap::Command {
        Self::augment_args(command)
    }
}

impl<const ALL: bool> FromArgMatches for Flags<ALL> {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let given = |(setting, _): (&'static Setting, _)| {
            matches.get_one::<String>(setting.name).map(|value| (setting.name, value.clone()))
        };
        Ok(Self(Self::settings().filter_map(given).collect()))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        self.0.extend(Self::from_arg_matches(matches)?.0);
        Ok(())
    }
}

/// The sentence, and below it the variable and the default.
fn help(setting: &Setting) -> String {
    let default = if setting.default.is_empty() { String::new() } else { format!(" [default: {}]", setting.default) };
    format!("{}\n[env: {}]{default}", setting.help, setting.name)
}

/// What a shell should offer as the value.
fn hint(setting: &Setting) -> ValueHint {
    match setting.value {
        "FILE" => ValueHint::FilePath,
        "FOLDER" => ValueHint::DirPath,
        "URL" => ValueHint::Url,
        _ => ValueHint::Other,
    }
}

/// How a command's help is laid out that has all settings: how they are set, and which have no flag, comes first.
pub(super) const TEMPLATE: &str = "\
{about-with-newline}
{usage-heading} {usage}

{before-help}{all-args}{after-help}";

/// How settings are set, and those that have no flag.
pub(super) fn introduction() -> String {
    let mut text = INTRO.to_owned();
    for setting in SETTINGS.iter().filter(|setting| setting.is_secret()) {
        let also = setting.also.map(|name| format!(" (or {name})")).unwrap_or_default();
        let _ = write!(text, "\n  {}={}{also}\n          {}", setting.name, setting.value, setting.help);
    }
    text
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use clap::CommandFactory as _;

    use super::*;
    use crate::cli::Cli;

    fn help_of_serve() -> String {
        let mut command = Cli::command().term_width(100);
        command.build();
        command.find_subcommand_mut("serve").unwrap().render_help().to_string()
    }

    #[test]
    fn the_help_of_serve_names_every_setting() {
        let help = help_of_serve();
        for setting in SETTINGS {
            assert!(help.contains(setting.name), "{}", setting.name);
            assert_eq!(help.contains(&format!("--{} ", setting.flag.unwrap_or("?"))), !setting.is_secret());
        }
    }

    #[test]
    fn settings_that_belong_together_stand_together() {
        let help = help_of_serve();
        let (_, options) = help.split_once("\nOptions:\n").unwrap();
        let headings = options.lines().filter(|line| line.ends_with(':') && !line.starts_with(' '));
        let mut expected: Vec<String> =
            SETTINGS.iter().filter(|s| !s.is_secret()).map(|s| format!("{}:", s.heading())).collect();
        let mut seen = std::collections::BTreeSet::new();
        expected.retain(|heading| seen.insert(heading.clone()));
        assert_eq!(headings.collect::<Vec<_>>(), expected, "{help}");
        assert!(expected.len() > 5);
    }
}
