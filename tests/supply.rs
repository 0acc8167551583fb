//! What Rollbook is built of: who wrote it, under which licence, and what of it is not Rust. The lists are those of
//! `.ci/deny.toml`, which cargo-deny reads too; the numbers are the README's.
#![allow(clippy::unwrap_used, missing_docs)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

/// The platform the README counts for; others differ by a few.
const TARGET: &str = "x86_64-unknown-linux-gnu";

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn cargo(args: &[&str]) -> String {
    let output = Command::new(env!("CARGO")).current_dir(root()).args(args).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// A crate as `name@version`.
type Id = String;

/// The crates that the edges of these kinds lead to, Rollbook left out.
fn tree(edges: &str) -> BTreeSet<Id> {
    let args = ["tree", "--locked", "--target", TARGET, "--prefix", "none", "--no-dedupe", "-f", "{p}", "-e", edges];
    let lines = cargo(&args);
    let ids = lines.lines().filter_map(|line| {
        let mut words = line.split(' ');
        Some(format!("{}@{}", words.next()?, words.next()?.strip_prefix('v')?))
    });
    ids.filter(|id| !id.starts_with("rollbook@")).collect()
}

/// What the program is made of, and what makes it: no crate that tests alone need.
fn built() -> BTreeSet<Id> {
    tree("normal,build")
}

/// What cargo knows of every crate in the lock file.
fn packages() -> BTreeMap<Id, Value> {
    let mut metadata: Value =
        serde_json::from_str(&cargo(&["metadata", "--locked", "--format-version", "1", "--filter-platform", TARGET]))
            .unwrap();
    let packages = metadata["packages"].as_array_mut().unwrap().drain(..);
    let named = packages.map(|p| (format!("{}@{}", text(&p["name"]), text(&p["version"])), p));
    named.filter(|(id, _)| !id.starts_with("rollbook@")).collect()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap()
}

/// The lines of a list in `.ci/deny.toml`.
fn list(name: &str) -> Vec<String> {
    let rules = fs::read_to_string(root().join(".ci/deny.toml")).unwrap();
    let (_, list) = rules.split_once(&format!("\n{name} = [\n")).unwrap();
    list.lines().take_while(|line| *line != "]").map(str::to_owned).collect()
}

/// The first text in quotes on each line of a list.
fn names(list_name: &str) -> BTreeSet<String> {
    list(list_name).iter().map(|line| line.split('"').nth(1).unwrap().to_owned()).collect()
}

/// Whether an SPDX expression can be met with the licences of the list alone. `/` is an old way to write OR.
fn is_met(expression: &str, allowed: &BTreeSet<String>) -> bool {
    let spaced = expression.replace('/', " OR ").replace('(', " ( ").replace(')', " ) ");
    let mut words = spaced.split_whitespace().peekable();
    any_of(&mut words, allowed)
}

type Words<'a> = std::iter::Peekable<std::str::SplitWhitespace<'a>>;

fn any_of(words: &mut Words<'_>, allowed: &BTreeSet<String>) -> bool {
    let mut met = all_of(words, allowed);
    while words.next_if_eq(&"OR").is_some() {
        met |= all_of(words, allowed);
    }
    met
}

fn all_of(words: &mut Words<'_>, allowed: &BTreeSet<String>) -> bool {
    let mut met = one(words, allowed);
    while words.next_if_eq(&"AND").is_some() {
        met &= one(words, allowed);
    }
    met
}

fn one(words: &mut Words<'_>, allowed: &BTreeSet<String>) -> bool {
    let word = words.next().unwrap();
    if word == "(" {
        let met = any_of(words, allowed);
        assert_eq!(words.next(), Some(")"));
        return met;
    }
    match words.next_if_eq(&"WITH") {
        Some(_) => allowed.contains(&format!("{word} WITH {}", words.next().unwrap())),
        None => allowed.contains(word),
    }
}

#[test]
fn licences_are_read_as_spdx_says() {
    let allowed = BTreeSet::from(["A".to_owned(), "B".to_owned()]);
    for met in ["A", "A/C", "C OR A", "A AND B", "(C OR A) AND B", "C AND D OR A", "A WITH X OR B"] {
        assert!(is_met(met, &allowed), "{met}");
    }
    for unmet in ["C", "A AND C", "A WITH X", "(A OR B) AND C", "A AND (C OR D)"] {
        assert!(!is_met(unmet, &allowed), "{unmet}");
    }
}

#[test]
fn every_licence_is_one_we_can_pass_on() {
    let (allowed, packages) = (names("allow"), packages());
    let built = built();
    assert!(built.len() > 100);
    for id in built {
        let licence = packages[&id]["license"].as_str().unwrap_or("none");
        assert!(is_met(licence, &allowed), "{id}: {licence}");
    }
}

#[test]
fn every_crate_comes_from_crates_io_and_is_known_by_its_checksum() {
    for (id, package) in packages() {
        assert_eq!(package["source"], "registry+https://github.com/rust-lang/crates.io-index", "{id}");
    }
    let lock = fs::read_to_string(root().join("Cargo.lock")).unwrap();
    for package in lock.split("\n[[package]]\n").skip(1).filter(|p| !p.starts_with("name = \"rollbook\"")) {
        assert!(package.contains("\nchecksum = \""), "{package}");
    }
}

#[test]
fn there_is_one_provider_of_cryptography() {
    let built = built();
    let names_built: BTreeSet<&str> = built.iter().filter_map(|id| id.split('@').next()).collect();
    assert!(names_built.contains("aws-lc-rs"));
    let refused: Vec<String> = names("deny").into_iter().filter(|name| names_built.contains(name.as_str())).collect();
    assert_eq!(refused, Vec::<String>::new());
}

#[test]
fn no_crate_is_there_twice_without_a_reason() {
    let mut versions = BTreeMap::<String, BTreeSet<Id>>::new();
    for id in built() {
        versions.entry(id.split('@').next().unwrap().to_owned()).or_default().insert(id);
    }
    // Of each such crate the list names all versions but one.
    let mut excused = names("skip");
    for (name, ids) in versions.into_iter().filter(|(_, ids)| ids.len() > 1) {
        let unexcused: Vec<_> = ids.into_iter().filter(|id| !excused.remove(id)).collect();
        assert_eq!(unexcused.len(), 1, "{name}: {unexcused:?}");
    }
    assert!(excused.is_empty(), "not there twice any more: {excused:?}");
    assert!(list("skip").iter().all(|line| line.contains("reason = \"")));
}

/// Whether a crate has a target of this kind.
fn has(package: &Value, kind: &str) -> bool {
    let targets = package["targets"].as_array().unwrap();
    targets.iter().any(|target| target["kind"].as_array().unwrap().iter().any(|k| k == kind))
}

/// Whether its build script can call a compiler of other languages than Rust.
fn compiles_foreign_code(package: &Value) -> bool {
    let mut dependencies = package["dependencies"].as_array().unwrap().iter();
    dependencies.any(|d| d["kind"] == "build" && ["cc", "cmake", "nasm-rs"].contains(&text(&d["name"])))
}

#[test]
fn the_readme_counts_right() {
    let (packages, built) = (packages(), built());
    let inside = tree("normal,no-proc-macro");
    let count = |kind| built.iter().filter(|id| has(&packages[*id], kind)).count();
    let foreign: Vec<&str> = inside
        .iter()
        .filter(|id| compiles_foreign_code(&packages[*id]))
        .filter_map(|id| id.split('@').next())
        .collect();
    let readme = fs::read_to_string(root().join("README.md")).unwrap().replace('\n', " ");
    for told in [
        format!("the program holds {} crates besides Rollbook", inside.len()),
        format!("{} more take part in building it alone", built.difference(&inside).count()),
        format!(
            "{} of all these are procedural macros and {} have a build script",
            count("proc-macro"),
            count("custom-build")
        ),
        format!("C and assembly come with `{}` alone", foreign.join("`, `")),
    ] {
        assert!(readme.contains(&told), "the README should say: {told}");
    }
}
