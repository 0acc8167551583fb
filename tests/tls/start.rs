//! What a start refuses, and what commands make of a server that speaks TLS.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use crate::Served;
use crate::authority::Authority;
use crate::common::{CLERK, SECRET, tokens::ISSUER};
use crate::process::{Process, refused, rollbook, said, serve};

#[test]
fn what_cannot_be_served_is_refused_by_its_name() {
    let (dir, authority) = (tempfile::tempdir().unwrap(), Authority::new());
    let settings = authority.make().write(dir.path());
    let [(_, cert), (_, key)] = &settings;
    let refusal = || {
        let mut command = serve(dir.path());
        command.envs(settings.clone());
        let (code, said) = refused(command);
        assert_eq!((code, said.trim().lines().count()), (Some(1), 1), "{said}");
        assert!(!dir.path().join("rollbook.redb").exists(), "nothing was begun");
        said
    };
    fs::write(key, authority.make().key).unwrap();
    assert!(refusal().contains(&format!("{key} does not hold the key of the first certificate in {cert}")));
    fs::remove_file(key).unwrap();
    assert!(refusal().contains(&format!("ROLLBOOK_TLS_CERT, ROLLBOOK_TLS_KEY: {key} cannot be read")));
    fs::write(key, "no key\n").unwrap();
    assert!(refusal().contains(&format!("{key} holds no key in PEM")));
    let expired = authority.make_with(&rcgen::KeyPair::generate().unwrap(), |wanted| {
        wanted.not_after = rcgen::date_time_ymd(2021, 1, 1);
    });
    expired.write(dir.path());
    assert!(refusal().contains(&format!("{cert}: the certificate was valid until 2021-01-01")));
}

#[test]
fn one_file_alone_is_no_setting() {
    let (dir, authority) = (tempfile::tempdir().unwrap(), Authority::new());
    let [cert, _] = authority.make().write(dir.path());
    let mut command = serve(dir.path());
    command.env(cert.0, cert.1);
    let (code, said) = refused(command);
    assert!(code == Some(2) && said.starts_with("ROLLBOOK_TLS_KEY: set it too"), "{said}");
}

#[test]
fn commands_find_the_server_whatever_its_certificate_says() {
    let (dir, authority) = (tempfile::tempdir().unwrap(), Authority::new());
    // A name that no command comes by, from an authority that nobody knows.
    let made = authority.make_with(&rcgen::KeyPair::generate().unwrap(), |wanted| {
        wanted.subject_alt_names = vec![rcgen::SanType::DnsName("roll.example.com".try_into().unwrap())];
    });
    let settings = made.write(dir.path());
    fs::set_permissions(dir.path().join("key.pem"), fs::Permissions::from_mode(0o640)).unwrap();
    let mut command = serve(dir.path());
    command.envs(settings.clone()).env("ROLLBOOK_PUBLIC_URL", "https://roll.example.com");
    let server = Process::start(command);
    rollbook(dir.path(), &["healthcheck"]).done();
    let url = format!("https://{}", server.address);
    rollbook(dir.path(), &["healthcheck", "--url", &url]).done();
    let mut send = std::process::Command::new(env!("CARGO_BIN_EXE_rollbook"));
    send.args(["send-test", "user.created"]).current_dir(dir.path()).env_clear();
    send.env("CLERK_WEBHOOK_SIGNING_SECRET", SECRET).env("ROLLBOOK_DATA", dir.path().join("rollbook.redb"));
    assert!(said(&mut send).done().contains(" 200 "));
    let mut doctor = std::process::Command::new(env!("CARGO_BIN_EXE_rollbook"));
    doctor.arg("doctor").current_dir(dir.path()).env_clear().envs(settings);
    doctor.env("CLERK_WEBHOOK_SIGNING_SECRET", SECRET).env("ROLLBOOK_DATA", dir.path().join("rollbook.redb"));
    doctor.env("CLERK_ISSUER", ISSUER).env("CLERK_JWT_KEY", CLERK.pem());
    doctor.env("ROLLBOOK_PUBLIC_URL", "https://roll.example.com");
    let found = said(&mut doctor).done();
    assert!(found.contains(&url) && found.contains("a signed event was taken"), "{found}");
    let line = found.lines().find(|line| line.contains("certificate")).unwrap();
    assert!(line.starts_with("ok") && line.contains("chain.pem, valid until "), "{found}");
    server.terminate();
    assert!(server.wait().0.success());
}

#[test]
fn a_certificate_for_another_name_is_told() {
    let served = Served::with(&[("ROLLBOOK_PUBLIC_URL", "https://roll.example.com")]);
    let found = rollbook(served.dir.path(), &["doctor"]).out;
    assert!(found.contains("is not for roll.example.com; get one that names it"), "{found}");
}

#[test]
fn links_lead_to_https_also_while_no_server_runs() {
    let (dir, authority) = (tempfile::tempdir().unwrap(), Authority::new());
    let settings = authority.make().write(dir.path());
    let mut command = serve(dir.path());
    command.envs(settings.clone());
    let server = Process::start(command);
    server.terminate();
    assert!(server.wait().0.success());
    let mut link = std::process::Command::new(env!("CARGO_BIN_EXE_rollbook"));
    link.args(["admin", "link"]).current_dir(dir.path()).env_clear().envs(settings);
    link.env("ROLLBOOK_DATA", dir.path().join("rollbook.redb"));
    assert!(said(&mut link).done().starts_with("https://127.0.0.1:8080/admin/setup?token="));
}
