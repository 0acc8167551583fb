//! What OpenSSL's client is let do, and what not: the questions of `testssl.sh` that bear on a server of today.

use std::io::Write as _;
use std::net::SocketAddr;
use std::process::{Command, Stdio};

use rcgen::{KeyPair, PKCS_RSA_SHA256};

use crate::authority::Authority;
use crate::process::{Process, serve};
use crate::{Served, has, skip};

/// Everything that `openssl s_client` says when it is told that and then `typed`.
fn s_client(address: SocketAddr, arguments: &[&str], typed: &str) -> String {
    let mut command = Command::new("openssl");
    let address = address.to_string();
    command.args(["s_client", "-connect", &address, "-servername", "localhost"]).args(arguments);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut input = child.stdin.take().unwrap();
    // It may have ended by now, and have no use for it.
    let _ = input.write_all(typed.as_bytes());
    drop(input);
    let output = child.wait_with_output().unwrap();
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// A client that would take whatever it is given.
const RECKLESS: &str = "ALL:COMPLEMENTOFALL:@SECLEVEL=0";

#[test]
fn the_two_versions_of_today_are_spoken_and_no_older_one() {
    if !has("openssl", "version") {
        return;
    }
    let served = Served::start();
    let (address, root) = (served.server.address, served.root());
    for (version, name) in [("-tls1_2", "TLSv1.2"), ("-tls1_3", "TLSv1.3")] {
        let said = s_client(address, &[version, "-CAfile", &root, "-verify_return_error"], "");
        assert!(said.contains(&format!("New, {name}, Cipher is ")), "{said}");
        assert!(said.contains("Verification: OK") || said.contains("Verify return code: 0 (ok)"), "{said}");
        assert!(said.contains("Compression: NONE") && !said.contains("Early data was accepted"), "{said}");
    }
    for version in ["-tls1", "-tls1_1"] {
        let said = s_client(address, &[version, "-cipher", RECKLESS], "");
        if said.contains("no protocols available") || said.contains("nknown option") {
            skip(version, "this OpenSSL does not speak it");
            continue;
        }
        // Which of its words it is said with depends on what else the client has.
        let is_refused = said.contains("alert protocol version") || said.contains("alert handshake failure");
        assert!(is_refused && said.contains("Cipher is (NONE)"), "{version}: {said}");
    }
    assert!(served.measured(r#"rollbook_tls_handshakes_total{result="failed"}"#) > 0.0);
    assert!(served.measured(r#"rollbook_tls_handshakes_total{result="done"}"#) >= 2.0);
}

#[test]
fn no_weak_cipher_is_agreed_on() {
    if !has("openssl", "version") {
        return;
    }
    // With a key of RSA, so that the old ciphers fail for what they are and not for want of the right key.
    let (dir, authority) = (tempfile::tempdir().unwrap(), Authority::new());
    let made = authority.make_with(&KeyPair::generate_for(&PKCS_RSA_SHA256).unwrap(), |_| {});
    let mut command = serve(dir.path());
    command.envs(made.write(dir.path()));
    let server = Process::start(command);
    let agreed = |ciphers: &str| s_client(server.address, &["-tls1_2", "-cipher", ciphers], "");
    let mut tried = 0;
    for weak in [
        "RC4",
        "3DES",
        "NULL:eNULL",
        "aNULL",
        "EXPORT",
        "kRSA",
        "kDHE",
        "PSK",
        "SRP",
        "CAMELLIA",
        "ARIA",
        "SHA1",
        "ECDHE-RSA-AES128-SHA",
        "ECDHE-RSA-AES256-SHA384",
    ] {
        let said = agreed(&format!("{weak}:@SECLEVEL=0"));
        // What OpenSSL itself has none of any more it does not ask for.
        if said.contains("no cipher match") || said.contains("no ciphers available") {
            continue;
        }
        tried += 1;
        assert!(said.contains("alert handshake failure") && said.contains("Cipher is (NONE)"), "{weak}: {said}");
    }
    assert!(tried > 5, "only {tried} were tried");
    for strong in ["ECDHE-RSA-AES128-GCM-SHA256", "ECDHE-RSA-AES256-GCM-SHA384", "ECDHE-RSA-CHACHA20-POLY1305"] {
        assert!(agreed(strong).contains(&format!("New, TLSv1.2, Cipher is {strong}")), "{strong}");
    }
    // And the best there is where the client leaves it to us.
    assert!(agreed(RECKLESS).contains("Cipher is ECDHE-RSA-"), "{}", agreed(RECKLESS));
}

#[test]
fn nothing_is_agreed_on_anew_within_a_connection() {
    if !has("openssl", "version") {
        return;
    }
    let served = Served::start();
    let said = s_client(served.server.address, &["-tls1_2"], "R\n");
    assert!(said.contains("Secure Renegotiation IS supported"), "{said}");
    assert!(said.contains("RENEGOTIATING") && said.contains("no renegotiation"), "{said}");
}

#[test]
fn http_1_1_is_the_one_protocol() {
    if !has("openssl", "version") {
        return;
    }
    let served = Served::start();
    let both = s_client(served.server.address, &["-alpn", "h2,http/1.1"], "");
    assert!(both.contains("ALPN protocol: http/1.1"), "{both}");
    let other = s_client(served.server.address, &["-alpn", "h2"], "");
    assert!(other.contains("alert no application protocol"), "{other}");
}

#[test]
fn the_chain_is_shown_whole() {
    if !has("openssl", "version") {
        return;
    }
    let served = Served::start();
    let said = s_client(served.server.address, &["-showcerts", "-CAfile", &served.root(), "-verify_return_error"], "");
    assert_eq!(said.matches("-----BEGIN CERTIFICATE-----").count(), 2, "{said}");
    assert!(said.contains("Verification: OK"), "{said}");
}

#[test]
fn a_client_may_come_back_by_its_ticket() {
    if !has("openssl", "version") {
        return;
    }
    let served = Served::start();
    let ticket = served.dir.path().join("ticket").display().to_string();
    let asks = format!("GET /health HTTP/1.1\r\nhost: {}\r\nconnection: close\r\n\r\n", served.server.address);
    for version in ["-tls1_2", "-tls1_3"] {
        let first = s_client(served.server.address, &[version, "-ign_eof", "-sess_out", &ticket], &asks);
        assert!(first.contains("New, TLSv1."), "{first}");
        let again = s_client(served.server.address, &[version, "-ign_eof", "-sess_in", &ticket], &asks);
        assert!(again.contains("Reused, TLSv1."), "{again}");
        assert!(again.contains(r#"{"status":"ok"}"#), "{again}");
    }
}

#[test]
fn plain_http_at_this_port_is_no_request() {
    let served = Served::start();
    let mut line = crate::process::Line::to(served.server.address).unwrap();
    assert!(line.get("/health").is_err());
    assert_eq!(served.server.connect().get("/health").unwrap().0, 200);
}
