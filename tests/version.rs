//! What `--version` says of the build, asked of the script that writes it down.
#![allow(clippy::unwrap_used, dead_code, missing_docs)]

#[path = "../src/build.rs"]
mod build;

use std::fs;
use std::path::Path;
use std::process::Command;

/// A git that knows nothing of whoever runs the tests.
fn git(folder: &Path, line: &str) -> String {
    let mut command = Command::new("git");
    command.args(["-c", "user.name=x", "-c", "user.email=x@example.org", "-C"]).arg(folder).args(line.split(' '));
    let output = command.env("GIT_CONFIG_NOSYSTEM", "1").env("HOME", "/nonexistent").output().unwrap();
    assert!(output.status.success(), "git {line}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// A checkout with something of ours in it and one commit.
fn checkout(folder: &Path) {
    fs::create_dir(folder.join("src")).unwrap();
    fs::write(folder.join("src/main.rs"), "fn main() {}").unwrap();
    fs::write(folder.join("README.md"), "Read me.").unwrap();
    for line in ["init -q", "add .", "commit -qm first"] {
        git(folder, line);
    }
}

#[test]
fn the_commit_is_the_one_that_is_checked_out() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    assert_eq!(build::commit(folder), None, "no checkout");
    assert!(build::marks(folder).is_empty());
    checkout(folder);
    let first = git(folder, "rev-parse --short=12 HEAD");
    assert_eq!(build::commit(folder), Some(first.clone()));
    let (marks, times) = (build::marks(folder), |marks: &[std::path::PathBuf]| {
        marks.iter().map(|path| fs::read(path).unwrap()).collect::<Vec<_>>()
    });
    let before = times(&marks);
    fs::write(folder.join("README.md"), "Nothing that is compiled.").unwrap();
    assert_eq!(build::commit(folder), Some(first.clone()));
    fs::write(folder.join("src/new.rs"), "").unwrap();
    assert_eq!(build::commit(folder), Some(format!("{first} with changes")));
    git(folder, "add .");
    git(folder, "commit -qm second");
    let second = git(folder, "rev-parse --short=12 HEAD");
    assert!(second != first && build::commit(folder) == Some(second));
    assert!(marks.len() == 2 && times(&marks) != before, "another commit is noticed");
    assert_eq!(build::commit(&folder.join("src")), None, "the commit is of what is around it");
}

#[test]
fn a_worktree_has_a_commit_of_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let (main, tree) = (folder.path().join("main"), folder.path().join("tree"));
    fs::create_dir(&main).unwrap();
    checkout(&main);
    git(&main, &format!("worktree add -q -b other {}", tree.display()));
    assert!(tree.join(".git").is_file());
    git(&tree, "commit -q --allow-empty -m other");
    assert_eq!(build::commit(&tree), Some(git(&tree, "rev-parse --short=12 HEAD")));
    assert_ne!(build::commit(&tree), build::commit(&main));
    assert!(build::marks(&tree).len() == 2 && build::marks(&tree) != build::marks(&main));
}

#[test]
fn what_is_not_known_is_left_out() {
    assert_eq!(
        build::sentence("1.2.3", Some("0123456789ab"), "2026-11-22"),
        "1.2.3 (commit 0123456789ab, built 2026-11-22)"
    );
    assert_eq!(build::sentence("1.2.3", None, "2026-11-22"), "1.2.3 (built 2026-11-22)");
}

#[test]
fn the_day_can_be_set_for_builds_that_are_to_be_the_same() {
    for (seconds, day) in [
        ("0", "1970-01-01"),
        ("86399", "1970-01-01"),
        ("951782399", "2000-02-28"),
        ("951782400", "2000-02-29"),
        ("951868800", "2000-03-01"),
        ("1767225599", "2025-12-31"),
        ("1795305600", "2026-11-22"),
        ("4107542400", "2100-03-01"),
    ] {
        assert_eq!(build::day(build::moment(Some(seconds)).unwrap()), day);
    }
    assert!(build::moment(Some("yesterday")).unwrap_err().starts_with("SOURCE_DATE_EPOCH: \"yesterday\" is no number"));
    assert!(build::day(build::moment(None).unwrap()).as_str() >= "2026-01-01");
}
