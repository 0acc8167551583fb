//! Reads the source and holds its shape: which module may see which, and who alone may name a package.
//! What is compiled for tests only is not looked at.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::Path;

/// What the program is about. They do no input or output and know nothing of the parts that do.
const NOUNS: &[&str] = &[
    "api_key",
    "audit",
    "clock",
    "event",
    "histogram",
    "json",
    "merkle",
    "page",
    "sync",
    "target",
    "tlog",
    "traffic",
    "user",
];

/// The packages that nouns may name.
const PLAIN: &[&str] = &["aws_lc_rs", "base64", "jiff", "serde", "serde_json", "thiserror", "uuid"];

/// Every other module, and what it may see besides the nouns, each only what stands above it.
const MODULES: &[(&str, &[&str])] = &[
    ("build", &[]),
    ("sample", &[]),
    ("export", &[]),
    ("log", &[]),
    ("disk", &[]),
    ("config", &["log"]),
    ("store", &["log", "disk"]),
    ("notary", &["store", "disk"]),
    ("verify", &["store", "notary"]),
    ("clerk", &[]),
    ("tls", &["disk"]),
    ("backup", &["disk", "store", "notary", "verify", "clerk"]),
    ("forward", &["disk", "store", "clerk"]),
    ("restore", &["disk", "store", "notary", "verify", "backup", "forward"]),
    ("reconcile", &["store", "clerk"]),
    ("checks", &["disk", "store", "notary", "backup", "clerk", "forward", "reconcile", "tls"]),
    ("http", &["export", "disk", "store", "notary", "backup", "clerk", "forward", "reconcile", "tls", "checks"]),
    ("control", &["disk", "clerk", "checks", "export", "store", "notary", "verify", "backup", "reconcile", "http"]),
    (
        "server",
        &["config", "store", "notary", "verify", "backup", "clerk", "forward", "reconcile", "tls", "http", "control"],
    ),
    ("stand_in", &["sample", "clerk", "server"]),
    (
        "cli",
        &[
            "sample",
            "export",
            "log",
            "disk",
            "config",
            "store",
            "notary",
            "verify",
            "backup",
            "clerk",
            "restore",
            "reconcile",
            "tls",
            "checks",
            "http",
            "control",
            "server",
            "stand_in",
        ],
    ),
    ("main", &["config", "cli"]),
];

/// Packages that one module alone may name, so that they can be changed in one place.
const OWNED: &[(&str, &str)] = &[
    ("redb", "store"),
    ("svix", "clerk"),
    ("jsonwebtoken", "clerk"),
    ("tokio_rustls", "tls"),
    ("webpki", "tls"),
    ("reqwest", "clerk"),
    ("warp", "http"),
    ("askama", "http"),
    ("tower_http", "http"),
    ("governor", "http"),
    ("prometheus", "http"),
    ("schemars", "http"),
    ("clap", "cli"),
    ("clap_complete", "cli"),
    ("clap_mangen", "cli"),
    ("indicatif", "cli"),
    ("csv", "export"),
    ("dotenvy", "config"),
    ("tracing_subscriber", "log"),
    ("tracing_appender", "log"),
];

/// Macros of code that is not finished.
const UNFINISHED: &[&str] = &["todo", "unimplemented", "dbg"];

/// One file: where it is below `src/`, without `.rs`, and its code as words and marks.
struct Source {
    path: String,
    words: Vec<String>,
}

impl Source {
    fn new(path: &str, text: &str) -> Self {
        Self { path: path.to_owned(), words: without_tests(&words(&bare(text))) }
    }

    /// The module of the crate that the file belongs to.
    fn module(&self) -> &str {
        self.path.split('/').next().unwrap_or_default()
    }

    /// Every path that the code names, from its first word on; a group as one path for each of its first words.
    fn paths(&self) -> Vec<Vec<&str>> {
        let words: Vec<&str> = self.words.iter().map(String::as_str).collect();
        let mut paths = Vec::new();
        for (at, word) in words.iter().enumerate() {
            let before = at.checked_sub(1).map(|before| words[before]);
            if !is_name(word) || before.is_some_and(|before| before == "::" || before == ".") {
                continue;
            }
            let mut path = vec![*word];
            let mut rest = &words[at + 1..];
            while let ["::", name, ..] = rest
                && is_name(name)
            {
                path.push(name);
                rest = &rest[2..];
            }
            match rest {
                ["::", "{", group @ ..] => {
                    paths.extend(firsts(group).iter().map(|name| [&path[..], &[*name]].concat()));
                }
                _ if path.len() > 1 || before == Some("use") => paths.push(path),
                _ => {}
            }
        }
        paths
    }

    /// The module of the crate that a path leads to; `None` for its own and for what is not of the crate.
    fn seen<'a>(&self, path: &[&'a str]) -> Option<&'a str> {
        let ups = path.iter().take_while(|word| **word == "super").count();
        let target = match path {
            ["crate" | "rollbook", name, ..] => name,
            // As many steps up as the file is deep lead to the root of the crate.
            _ if ups > 0 && ups == self.path.split('/').count() => path.get(ups)?,
            _ => return None,
        };
        (*target != self.module()).then_some(*target)
    }
}

/// The names that begin the paths of a group, which goes on to its closing brace.
fn firsts<'a>(group: &[&'a str]) -> Vec<&'a str> {
    let (mut names, mut depth, mut before) = (Vec::new(), 0, ",");
    for word in group {
        match *word {
            "}" if depth == 0 => break,
            "}" => depth -= 1,
            "{" => depth += 1,
            name if depth == 0 && before == "," && is_name(name) => names.push(name),
            _ => {}
        }
        before = word;
    }
    names
}

fn is_name(word: &str) -> bool {
    word.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
}

/// The code with its comments, texts and characters left out.
fn bare(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let skipped = match first {
            '/' if rest.starts_with("//") => rest.find('\n').unwrap_or(rest.len()),
            '"' => quoted(rest),
            'r' if !out.ends_with(|c: char| c.is_alphanumeric() || c == '_') => raw(rest),
            '\'' if rest[1..].starts_with('\\') => rest[3..].find('\'').map_or(1, |end| end + 4),
            '\'' => match rest[1..].chars().next() {
                Some(c) if rest[1 + c.len_utf8()..].starts_with('\'') => 2 + c.len_utf8(),
                _ => 0,
            },
            _ => 0,
        };
        if skipped == 0 {
            out.push(first);
            rest = &rest[first.len_utf8()..];
        } else {
            out.push(' ');
            rest = &rest[skipped..];
        }
    }
    out
}

/// How long the text in quotes is that `rest` begins with.
fn quoted(rest: &str) -> usize {
    let mut escaped = false;
    for (at, c) in rest.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return at + 1,
            _ => {}
        }
    }
    rest.len()
}

/// How long the raw text is that `rest` begins with; zero when it begins with none.
fn raw(rest: &str) -> usize {
    let hashes = rest[1..].chars().take_while(|c| *c == '#').count();
    if !rest[1 + hashes..].starts_with('"') {
        return 0;
    }
    let body = 2 + hashes;
    let end = format!("\"{}", "#".repeat(hashes));
    rest[body..].find(&end).map_or(rest.len(), |at| body + at + end.len())
}

/// Names, `::`, and every other mark by itself.
fn words(code: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut rest = code.trim_start();
    while let Some(first) = rest.chars().next() {
        let name = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(rest.len());
        let length = match name {
            0 if rest.starts_with("::") => 2,
            0 => first.len_utf8(),
            length => length,
        };
        words.push(rest[..length].to_owned());
        rest = rest[length..].trim_start();
    }
    words
}

/// The code without the items that are for tests alone.
fn without_tests(words: &[String]) -> Vec<String> {
    const MARK: &[&str] = &["#", "[", "cfg", "(", "test", ")", "]"];
    let mut kept = Vec::new();
    let mut rest = words;
    while let Some(word) = rest.first() {
        if rest.iter().take(MARK.len()).eq(MARK) {
            rest = &rest[item(rest)..];
        } else {
            kept.push(word.clone());
            rest = &rest[1..];
        }
    }
    kept
}

/// How many words the item has that `words` begins with: to its semicolon or its last brace.
fn item(words: &[String]) -> usize {
    let mut depth = 0;
    for (at, word) in words.iter().enumerate() {
        match word.as_str() {
            "{" => depth += 1,
            "}" => depth -= 1,
            _ => {}
        }
        if depth == 0 && (word == ";" || word == "}") {
            return at + 1;
        }
    }
    words.len()
}

/// What `source` breaks, a line for each; `packages` are those the crate is built with.
fn faults(source: &Source, packages: &[String]) -> Vec<String> {
    let module = source.module();
    let is_noun = NOUNS.contains(&module);
    let sees = MODULES.iter().find(|(name, _)| *name == module).map(|(_, sees)| *sees);
    let mut faults = Vec::new();
    if !is_noun && sees.is_none() && module != "lib" {
        faults.push(format!("{}: the module {module} has no place in this test yet", source.path));
    }
    for path in source.paths() {
        let fault = |text: String| format!("{}: {} {text}", source.path, path.join("::"));
        if let Some(seen) = source.seen(&path)
            && !NOUNS.contains(&seen)
            && !sees.is_some_and(|sees| sees.contains(&seen))
        {
            faults.push(fault(format!("is not for {module} to see")));
        }
        let package = path[0];
        match OWNED.iter().find(|(name, _)| *name == package) {
            // The program's own file hands the command line to `cli`.
            Some(("clap", _)) if module == "main" => {}
            Some((_, owner)) if *owner != module => faults.push(fault(format!("is for {owner} alone to name"))),
            _ if is_noun && packages.iter().any(|name| name == package) && !PLAIN.contains(&package) => {
                faults.push(fault("is not for a noun to name".to_owned()));
            }
            _ => {}
        }
    }
    for pair in source.words.windows(2) {
        if UNFINISHED.contains(&pair[0].as_str()) && pair[1] == "!" {
            faults.push(format!("{}: {}! is left in it", source.path, pair[0]));
        }
    }
    faults
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The packages that `[dependencies]` names, as code writes them.
fn packages() -> Vec<String> {
    let manifest = fs::read_to_string(root().join("Cargo.toml")).unwrap();
    let table = manifest.split("\n[dependencies]\n").nth(1).unwrap().split("\n[").next().unwrap().to_owned();
    table.lines().filter_map(|line| line.split_once(" = ")).map(|(name, _)| name.replace('-', "_")).collect()
}

/// Every file below `folder`, by its path from there.
fn files(folder: &Path) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let name = path.strip_prefix(folder).unwrap().to_str().unwrap().to_owned();
                // What is no text has no rules here.
                found.extend(fs::read_to_string(&path).ok().map(|text| (name, text)));
            }
        }
    }
    found.sort();
    found
}

#[test]
fn modules_see_what_they_may() {
    let packages = packages();
    assert!(OWNED.iter().all(|(name, _)| packages.iter().any(|package| package == name)), "{packages:?}");
    let files = files(&root().join("src"));
    let sources: Vec<Source> = files
        .iter()
        .filter_map(|(path, text)| path.strip_suffix(".rs").map(|path| (path, text)))
        .filter(|(path, _)| !path.ends_with("/tests"))
        .map(|(path, text)| Source::new(path, text))
        .collect();
    let faults: Vec<String> = sources.iter().flat_map(|source| faults(source, &packages)).collect();
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
    for module in NOUNS.iter().chain(MODULES.iter().map(|(module, _)| module)) {
        assert!(sources.iter().any(|source| source.module() == *module), "there is no module {module} any more");
    }
    // The rules themselves lead in one direction only.
    for (at, (module, sees)) in MODULES.iter().enumerate() {
        let above = &MODULES[..at];
        assert!(sees.iter().all(|seen| above.iter().any(|(name, _)| name == seen)), "{module} sees what is below it");
    }
}

#[test]
fn templates_escape_what_they_show() {
    let templates = files(&root().join("templates"));
    assert!(templates.len() > 5);
    for (path, text) in templates {
        let text: String = text.split_ascii_whitespace().collect();
        for way_out in ["|safe", "escape(\"none\"", "autoescape"] {
            assert!(!text.contains(way_out), "{path}: {way_out}");
        }
    }
    for (path, text) in files(&root().join("src")) {
        assert!(!text.contains("escape = \"none\""), "{path}");
    }
}

#[test]
fn a_broken_rule_is_noticed() {
    let packages = packages();
    let broken = |path: &str, code: &str| faults(&Source::new(path, code), &packages).join("\n");
    for (path, code, fault) in [
        ("user", "use crate::store::Store;", "user: crate::store::Store is not for user to see"),
        ("user", "fn f() -> super::http::App {}", "is not for user to see"),
        ("user", "use tokio::sync::watch;", "user: tokio::sync::watch is not for a noun to name"),
        ("store/users", "use crate::{user, clerk::webhook};", "store/users: crate::clerk is not for store to see"),
        ("store/users", "use super::super::clerk;", "is not for store to see"),
        ("clerk/key", "let a = 'a'; crate::store::open(\"\\\"\");", "is not for clerk to see"),
        ("http/users", "fn f(config: &crate::config::Config) {}", "is not for http to see"),
        ("http", "use crate::server::accept;", "is not for http to see"),
        ("server", "use crate::cli::serve;", "is not for server to see"),
        ("http/users", "fn f(e: redb::Error) {}", "http/users: redb::Error is for store alone to name"),
        ("cli/doctor", "use reqwest;", "cli/doctor: reqwest is for clerk alone to name"),
        ("server", "#[derive(askama::Template)] struct A;", "is for http alone to name"),
        ("ledger", "", "ledger: the module ledger has no place in this test yet"),
        ("page", "fn f() { todo!() }", "page: todo! is left in it"),
    ] {
        assert!(broken(path, code).contains(fault), "{code}: {}", broken(path, code));
    }
    for (path, code) in [
        ("user", "/// See [`crate::store::Store`].\nuse crate::clock::Timestamp;"),
        ("user", "#[cfg(test)]\nmod tests { use super::*; fn f() { { crate::store::open() } } }"),
        ("clerk", "#[cfg(test)] #[path = \"x\"] mod jwks; use std::fmt;"),
        ("page", "const A: &str = \"crate::store\"; const B: &str = r#\"\"redb::\"#; fn f<'a>(c: &'a str) {}"),
        ("store", "use self::users::Roll; use crate::store::tx; use redb::Database;"),
        ("http/admin/users", "use super::super::App; fn f() { todo.redb() }"),
    ] {
        assert_eq!(broken(path, code), "", "{code}");
    }
}
