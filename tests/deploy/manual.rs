//! The manual pages and what completes a command line, read by the programs they are for.

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use clap::CommandFactory as _;
use rollbook::cli::Cli;

use crate::process::rollbook;
use crate::{approved, judge, skip};

/// The names of all pages: the program, and each command behind its own.
fn pages(command: &clap::Command, name: &str, found: &mut Vec<String>) {
    found.push(format!("{name}.1"));
    for below in command.get_subcommands() {
        pages(below, &format!("{name}-{}", below.get_name()), found);
    }
}

#[test]
fn every_command_has_a_page_without_a_fault() {
    let folder = tempfile::tempdir().unwrap();
    let into = folder.path().join("man");
    let missing = rollbook(folder.path(), &["man", into.to_str().unwrap()]);
    assert!(missing.refusal().contains("No such file or directory (os error 2); make the folder first"));
    fs::create_dir(&into).unwrap();
    assert_eq!(rollbook(folder.path(), &["man", into.to_str().unwrap()]).done(), "");
    let mut expected = Vec::new();
    pages(&Cli::command(), "rollbook", &mut expected);
    expected.sort();
    let mut made: Vec<String> =
        fs::read_dir(&into).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    made.sort();
    assert_eq!(made, expected);
    let page = |name: &str| fs::read_to_string(into.join(name)).unwrap();
    assert_eq!(rollbook(folder.path(), &["man"]).done(), page("rollbook.1"));
    assert!(page("rollbook-serve.1").contains("CLERK_WEBHOOK_SIGNING_SECRET=whsec_"), "secrets are settings too");
    for name in made {
        let path = into.join(&name);
        let arguments =
            ["-man".as_ref(), "-ww".as_ref(), "-z".as_ref(), "-K".as_ref(), "utf8".as_ref(), path.as_os_str()];
        let Some(judged) = judge("groff", &arguments) else { return };
        assert_eq!(approved(&judged), "", "{name}");
    }
}

/// What a shell says to a script on its standard input.
fn shell(name: &str, arguments: &[&str], script: &str) -> Option<String> {
    let mut command = Command::new(name);
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().inspect_err(|cause| skip(name, cause)).ok()?;
    child.stdin.take().unwrap().write_all(script.as_bytes()).unwrap();
    Some(approved(&child.wait_with_output().unwrap()))
}

#[test]
fn shells_complete_the_command_line() {
    let script = |name: &str| rollbook(Path::new("/"), &["completions", name]).done();
    let bash = script("bash");
    for (line, expected) in
        [("rollbook ser", "serve"), ("rollbook users ev", "ever"), ("rollbook serve --publ", "--public-log")]
    {
        let words: Vec<&str> = line.split(' ').collect();
        let asked = format!(
            "{bash}\nCOMP_WORDS=({line}); COMP_CWORD={}; _rollbook rollbook {} {}; echo \"${{COMPREPLY[@]}}\"",
            words.len() - 1,
            words[words.len() - 1],
            words[words.len() - 2]
        );
        let Some(said) = shell("bash", &["--norc"], &asked) else { break };
        assert!(said.split_whitespace().any(|word| word == expected), "{line}: {said}");
    }
    for (name, arguments) in [("zsh", ["-n"]), ("fish", ["--no-execute"])] {
        shell(name, &arguments, &script(name)).inspect(|said| assert_eq!(said, ""));
    }
    for name in ["elvish", "powershell"] {
        assert!(script(name).contains("rollbook;users;ever"), "{name}");
    }
    assert_eq!(rollbook(Path::new("/"), &["completions", "tcsh"]).code, Some(2));
}
