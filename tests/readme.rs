//! What the README says and the program decides must be the same.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs)]

#[path = "common/named.rs"]
mod named;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use clap::CommandFactory as _;
use rollbook::cli::Cli;
use rollbook::config::{SETTINGS, Setting};
use rollbook::event::Outcome;
use rollbook::sample::EVENT_TYPES;

fn readme() -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")).unwrap()
}

/// The rows of the table that has this first line, without its two lines of head.
fn table(head: &str) -> Vec<String> {
    let readme = readme();
    let (_, below) = readme.split_once(&format!("\n{head}\n")).unwrap();
    below.lines().skip(1).take_while(|line| line.starts_with('|')).map(str::to_owned).collect()
}

/// The first cell of each row.
fn first_cells(head: &str) -> Vec<String> {
    table(head).iter().map(|row| row.split('|').nth(1).unwrap().trim().to_owned()).collect()
}

fn row(setting: &Setting) -> String {
    let code = |text: &str| if text.is_empty() { String::new() } else { format!("`{text}`") };
    let also = setting.also.map(|name| format!(" or {}", code(name))).unwrap_or_default();
    let value = setting.value.split('|').map(code).collect::<Vec<_>>().join(" or ");
    format!("| {}{also} | {value} | {} | {} |", code(setting.name), code(setting.default), setting.help)
}

#[test]
fn every_setting_is_in_the_table() {
    let expected: Vec<String> = SETTINGS.iter().map(row).collect();
    assert!(table("| Variable | Value | Default | Meaning |") == expected, "should be\n{}", expected.join("\n"));
}

#[test]
fn flags_are_named_as_the_readme_says() {
    for setting in SETTINGS.iter().filter(|setting| !setting.is_secret()) {
        let (_, rest) = setting.name.split_once('_').unwrap();
        assert_eq!(setting.flag.unwrap(), rest.to_lowercase().replace('_', "-"));
    }
    assert_eq!(SETTINGS.iter().filter(|setting| setting.is_secret()).count(), 4);
    let readme = readme().replace('\n', " ");
    let (_, flags) = readme.split_once("Other commands than `serve` and `doctor` take the flags ").unwrap();
    let flags = flags.split_once('.').unwrap().0.replace(" and ", ", ");
    let everywhere = SETTINGS.iter().filter(|setting| setting.everywhere);
    let expected: Vec<String> = everywhere.map(|setting| format!("`--{}`", setting.flag.unwrap())).collect();
    assert_eq!(flags.split(", ").collect::<Vec<_>>(), expected);
}

#[test]
fn every_command_is_in_the_table() {
    let mut commands = BTreeSet::new();
    for command in Cli::command().get_subcommands() {
        let below: Vec<_> =
            command.get_subcommands().map(|c| format!("{} {}", command.get_name(), c.get_name())).collect();
        commands.extend(if below.is_empty() { vec![command.get_name().to_owned()] } else { below });
    }
    let told: BTreeSet<String> = first_cells("| Command | Does |")
        .iter()
        .map(|cell| {
            let words = cell.trim_matches('`').split(' ').skip(1);
            words.filter(|word| !word.contains(|c: char| c.is_ascii_uppercase())).collect::<Vec<_>>().join(" ")
        })
        .collect();
    assert_eq!(told, commands);
}

#[test]
fn every_outcome_is_in_the_table() {
    use Outcome::{Applied, Duplicate, Quarantined, Recorded, Stale, Unchanged};
    let outcomes = [Applied, Unchanged, Stale, Duplicate, Recorded, Quarantined];
    let expected: Vec<String> = outcomes.iter().map(|outcome| format!("`{}`", outcome.as_str())).collect();
    assert_eq!(first_cells("| Outcome | Meaning |"), expected);
    assert!(readme().contains(&format!("All {} of Clerk's event types", EVENT_TYPES.len())));
}

#[test]
fn every_module_is_in_the_layout() {
    let cells = first_cells("| File or folder in `src/` | What it is |").join(", ");
    let told: BTreeSet<&str> = cells.split(", ").map(|name| name.trim_matches('`')).collect();
    let files = fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("src")).unwrap();
    let names: Vec<String> = files.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    let modules = names.iter().filter_map(|name| name.strip_suffix(".rs")).filter(|name| *name != "lib");
    assert_eq!(told, modules.collect());
}

#[test]
fn every_promise_names_tests_that_are_there() {
    let rows = table("| Promise | Whatever happens | Shown by |");
    assert!(rows.len() > 20);
    for row in rows {
        let names: Vec<&str> =
            row.split('|').nth(3).unwrap().split(',').map(|name| name.trim().trim_matches('`')).collect();
        assert!(!names.is_empty());
        for name in names {
            let (file, test) = name.split_once("::").unwrap_or_else(|| panic!("{row}"));
            assert!(named::tests_of(&format!("tests/{file}.rs")).contains(test), "there is no {name}");
        }
    }
}
