//! Settings as they are read, and as they are refused.
#![allow(clippy::unwrap_used)]
use super::*;

const SECRET: &str = "whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAcanary";
/// `clerk.example.com$`.
const KEY: &str = "pk_test_Y2xlcmsuZXhhbXBsZS5jb20k";
const MINIMUM: [(&str, &str); 2] = [("CLERK_WEBHOOK_SIGNING_SECRET", SECRET), ("CLERK_PUBLISHABLE_KEY", KEY)];

fn read(values: &[(&str, &str)]) -> Result<Config, Faults> {
    Config::read(|name| values.iter().rev().find(|(n, _)| *n == name).map(|(_, value)| (*value).to_owned()))
}

fn with(values: &[(&str, &str)]) -> Result<Config, Faults> {
    read(&[&MINIMUM, values].concat())
}

/// The names of the variables that are at fault.
fn faulty(values: &[(&str, &str)]) -> Vec<String> {
    let faults = read(values).unwrap_err().to_string();
    faults.lines().map(|line| line.split_once(": ").unwrap().0.to_owned()).collect()
}

fn pem() -> String {
    use base64::Engine as _;
    let der: Vec<u8> = [0x30, 0x82, 0x01, 0x00].into_iter().chain([5; 256]).collect();
    base64::engine::general_purpose::STANDARD.encode(der)
}

#[test]
fn two_settings_are_enough() {
    let config = read(&MINIMUM).unwrap();
    assert_eq!(config.signing_secrets[0].expose(), SECRET);
    assert_eq!(config.tokens.issuer, "https://clerk.example.com");
    assert!(
        matches!(&config.tokens.keys, Keys::Remote(url) if url == "https://clerk.example.com/.well-known/jwks.json")
    );
    assert_eq!(config.local.listen, "127.0.0.1:8080".parse().unwrap());
    assert_eq!((config.local.data.to_str(), config.local.cache), (Some("rollbook.redb"), 64 << 20));
    assert_eq!((config.delete, config.history), (DeletePolicy::Soft, History::Full));
    assert_eq!((config.provision, config.allow_impersonation, config.require_azp), (true, true, false));
    assert_eq!((config.local.public_url, config.local.log_format, config.instance), (None, None, None));
    assert_eq!((config.cors.origins.len(), config.cors.headers.len(), config.cors.max_age), (0, 4, 600));
    let rate = Rate { per_second: NonZeroU32::new(50), is_set: false };
    assert_eq!((config.rate_address, config.rate_token, config.metrics_listen), (rate, rate, None));
    let set = with(&[("ROLLBOOK_RATE_ADDRESS", "50"), ("ROLLBOOK_RATE_TOKEN", "off")]).unwrap();
    assert_eq!(set.rate_address, Rate { is_set: true, ..rate });
    assert_eq!(set.rate_token, Rate { per_second: None, is_set: true });
}

#[test]
fn nothing_set_names_what_is_needed() {
    assert_eq!(faulty(&[]), ["CLERK_WEBHOOK_SIGNING_SECRET", "CLERK_PUBLISHABLE_KEY"]);
    assert_eq!(faulty(&[("CLERK_WEBHOOK_SIGNING_SECRET", " , "), ("CLERK_PUBLISHABLE_KEY", "")]).len(), 2);
}

#[test]
fn all_faults_are_reported_together_and_no_value_is_repeated() {
    let bad: Vec<(&str, &str)> = SETTINGS.iter().map(|setting| (setting.name, "canary /,x\n")).collect();
    // Any text can be the name of a file or of an audience.
    let free = ["ROLLBOOK_TLS_CERT", "ROLLBOOK_TLS_KEY", "ROLLBOOK_DATA", "CLERK_AUDIENCE", "ROLLBOOK_BACKUP_DIR"];
    let expected: Vec<&str> = SETTINGS.iter().map(|s| s.name).filter(|name| !free.contains(name)).collect();
    assert_eq!(faulty(&bad), expected);
    assert!(!read(&bad).unwrap_err().to_string().contains("canary"));
    assert!(with(&[("ROLLBOOK_DATA", "roll\u{fffd}.redb")]).is_err());
}

#[test]
fn the_secret_key_is_one_and_of_the_same_instance() {
    let name = "CLERK_SECRET_KEY";
    for bad in [
        "sk_test_canary canary",
        "sk_test_canary\nx: y",
        "sk_test_canary\r\n1",
        "sk_canary-7",
        "canary",
        "pk_test_canary0",
    ] {
        let faults = with(&[(name, bad)]).unwrap_err().to_string();
        assert!(faults.starts_with("CLERK_SECRET_KEY: must be") && !faults.contains("canary"), "{faults}");
        // Where the path of its file belongs, it is not shown either, whole or mistyped.
        let faults = with(&[("CLERK_SECRET_KEY_FILE", bad)]).unwrap_err().to_string();
        assert!(faults.starts_with("CLERK_SECRET_KEY_FILE: "), "{faults}");
        assert!(!bad.starts_with("sk_") || !faults.contains("canary"), "{faults}");
    }
    let backend = with(&[(name, " sk_test_0123456789\n")]).unwrap().backend.unwrap();
    assert_eq!((backend.url.as_str(), backend.key.expose()), ("https://api.clerk.com", "sk_test_0123456789"));
    let other = with(&[(name, "sk_live_canary0123")]).unwrap_err().to_string();
    assert!(other.starts_with("CLERK_SECRET_KEY: is of a production instance, and ") && !other.contains("canary"));
    let issuer = [("CLERK_PUBLISHABLE_KEY", ""), ("CLERK_ISSUER", "https://clerk.example.com")];
    assert!(with(&[&issuer[..], &[(name, "sk_live_0123456789")]].concat()).is_ok(), "nothing says otherwise");
    for url in [
        "http://api.clerk.com",
        "https://169.254.169.254",
        "https://[fd00::1]",
        "https://a:b@api.clerk.com",
        "file:///x",
    ] {
        let faults = with(&[("CLERK_API_URL", url), (name, "sk_test_0123456789")]).unwrap_err().to_string();
        assert!(faults.starts_with("CLERK_API_URL: must be an https URL"), "{url}: {faults}");
    }
}

#[test]
fn secrets_are_never_shown() {
    let config = with(&[("CLERK_JWT_KEY", &pem()), ("CLERK_WEBHOOK_SIGNING_SECRET", SECRET)]).unwrap();
    let shown = format!("{config:?}");
    assert!(!shown.contains("canary") && !shown.contains(&pem()[..40]), "{shown}");
    assert_eq!(shown.matches("[redacted]").count(), 2);
    let mistaken = [("CLERK_WEBHOOK_SIGNING_SECRET_FILE", SECRET), ("CLERK_JWT_KEY_FILE", &pem())];
    let faults = read(&mistaken).unwrap_err().to_string();
    assert!(!faults.contains("canary") && !faults.contains(&pem()[..40]), "{faults}");
}

#[test]
fn what_is_in_force_says_where_it_is_from_and_no_secret() {
    let set = [("ROLLBOOK_RATE_TOKEN", "7"), ("CLERK_WEBHOOK_SECRET", &format!("{SECRET},{SECRET}"))];
    let environment = set.map(|(name, value)| (name.into(), value.into()));
    let file = format!("CLERK_PUBLISHABLE_KEY={KEY}\nCLERK_JWT_KEY={}\nROLLBOOK_RATE_TOKEN=8\n", pem());
    let flags = [("ROLLBOOK_DELETE", "hard".to_owned())].into();
    let config = Config::from_sources(&Sources::new(flags, environment, &file).unwrap()).unwrap();
    assert_eq!(config.in_force.len(), SETTINGS.len());
    let row = |name| config.in_force.iter().find(|row| row.setting.name == name).unwrap();
    let text = |text: &str| Value::Text(text.to_owned());
    for (name, variable, place, value) in [
        ("ROLLBOOK_DELETE", Some("ROLLBOOK_DELETE"), Some(Place::Flag), text("hard")),
        ("ROLLBOOK_RATE_TOKEN", Some("ROLLBOOK_RATE_TOKEN"), Some(Place::Environment), text("7")),
        ("CLERK_PUBLISHABLE_KEY", Some("CLERK_PUBLISHABLE_KEY"), Some(Place::File), text(KEY)),
        ("CLERK_JWT_KEY", Some("CLERK_JWT_KEY"), Some(Place::File), Value::Secrets(1)),
        ("CLERK_WEBHOOK_SIGNING_SECRET", Some("CLERK_WEBHOOK_SECRET"), Some(Place::Environment), Value::Secrets(2)),
        ("ROLLBOOK_HISTORY", None, None, text("full")),
        ("CLERK_INSTANCE_ID", None, None, Value::None),
    ] {
        let row = row(name);
        assert_eq!((row.variable.as_deref(), row.place, &row.value), (variable, place, &value), "{name}");
    }
    let shown = format!("{:?}", config.in_force);
    assert!(!shown.contains("canary") && !shown.contains(&pem()[..40]), "{shown}");
}

#[test]
fn a_secret_may_be_in_a_file() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("secret");
    std::fs::write(&path, format!("{SECRET},\n{SECRET}\r\n")).unwrap();
    let path = path.to_str().unwrap();
    let key = ("CLERK_PUBLISHABLE_KEY", KEY);
    assert_eq!(read(&[key, ("CLERK_WEBHOOK_SIGNING_SECRET_FILE", path)]).unwrap().signing_secrets.len(), 2);
    assert_eq!(read(&[key, ("CLERK_WEBHOOK_SECRET_FILE", path)]).unwrap().signing_secrets.len(), 2);
    let both = [key, ("CLERK_WEBHOOK_SECRET", SECRET), ("CLERK_WEBHOOK_SIGNING_SECRET_FILE", path)];
    assert_eq!(faulty(&both), ["CLERK_WEBHOOK_SIGNING_SECRET_FILE"]);
    let missing = format!("{path}.missing");
    let faults = read(&[key, ("CLERK_WEBHOOK_SIGNING_SECRET_FILE", &missing)]).unwrap_err().to_string();
    assert!(faults.starts_with(&format!("CLERK_WEBHOOK_SIGNING_SECRET_FILE: {missing} cannot be read")), "{faults}");
    assert_eq!(faults.lines().count(), 1);
}

#[test]
fn the_ways_to_verify_tokens() {
    let secret = ("CLERK_WEBHOOK_SECRET", SECRET);
    let issuer = ("CLERK_ISSUER", "https://id.example.com/");
    let (pem, jwks) = (pem(), ("CLERK_JWKS_URL", "https://keys.example.com/jwks"));
    let pem = ("CLERK_JWT_KEY", pem.as_str());
    let tokens = |values: &[(&str, &str)]| read(&[&[secret], values].concat()).unwrap().tokens;

    let alone = tokens(&[issuer]);
    assert_eq!(alone.issuer, "https://id.example.com");
    assert!(matches!(alone.keys, Keys::Remote(url) if url == "https://id.example.com/.well-known/jwks.json"));
    assert!(matches!(tokens(&[issuer, jwks]).keys, Keys::Remote(url) if url == "https://keys.example.com/jwks"));
    assert!(matches!(tokens(&[issuer, pem]).keys, Keys::Pem(_)));
    let both = tokens(&[issuer, pem, ("CLERK_PUBLISHABLE_KEY", KEY)]);
    assert!(both.issuer == "https://id.example.com" && matches!(both.keys, Keys::Pem(_)));

    assert_eq!(faulty(&[secret, pem]), ["CLERK_ISSUER"]);
    assert_eq!(faulty(&[secret, jwks]), ["CLERK_ISSUER"]);
    // A key given by hand needs no network, so the address of the keys is not asked.
    assert!(matches!(tokens(&[issuer, pem, jwks]).keys, Keys::Pem(_)));
    assert_eq!(faulty(&[secret, ("CLERK_PUBLISHABLE_KEY", "pk_test_")]), ["CLERK_PUBLISHABLE_KEY"]);
    assert_eq!(faulty(&[secret, ("CLERK_ISSUER", "http://id.example.com")]), ["CLERK_ISSUER"]);
}

#[test]
fn tokens_of_users_are_for_calls_about_users_and_need_the_key() {
    let url = ("ROLLBOOK_FORWARD_URL", "https://app.example.com/api");
    let set = |more: &[(&'static str, &'static str)]| {
        [&MINIMUM[..], &[url, ("ROLLBOOK_FORWARD_SECRET", SECRET), ("ROLLBOOK_FORWARD_BEARER", "true")], more].concat()
    };
    let (api, key) = (("ROLLBOOK_FORWARD_KIND", "api"), ("CLERK_SECRET_KEY", "sk_test_12345678"));
    assert_eq!(faulty(&set(&[])), ["ROLLBOOK_FORWARD_BEARER"]);
    assert_eq!(faulty(&set(&[key])), ["ROLLBOOK_FORWARD_BEARER"]);
    assert_eq!(faulty(&set(&[api])), ["ROLLBOOK_FORWARD_BEARER"]);
    let forward = read(&set(&[api, key])).unwrap().forward.unwrap();
    assert!(forward.bearer && forward.kind == Kind::Api);
}

#[test]
fn a_target_is_set_whole_or_not_at_all() {
    let (url, secret) =
        (("ROLLBOOK_FORWARD_URL", "https://app.example.com/hooks"), ("ROLLBOOK_FORWARD_SECRET", SECRET));
    let forward = with(&[url, secret, ("ROLLBOOK_FORWARD_TYPES", "user.*")]).unwrap().forward.unwrap();
    assert_eq!((forward.url.as_str(), forward.kind, forward.bearer), (url.1, Kind::Events, false));
    assert!(with(&[]).unwrap().forward.is_none());
    let faulty = |values: &[(&str, &str)]| faulty(&[&MINIMUM, values].concat());
    assert_eq!(faulty(&[url]), ["ROLLBOOK_FORWARD_SECRET"]);
    for alone in [secret, ("ROLLBOOK_FORWARD_KIND", "api"), ("ROLLBOOK_FORWARD_TYPES", "user.*")] {
        assert_eq!(faulty(&[alone]), ["ROLLBOOK_FORWARD_URL"], "{alone:?}");
    }
    let long = format!("whsec_{}", "A".repeat(88));
    for bad in ["whsec_short", &long] {
        assert_eq!(faulty(&[url, ("ROLLBOOK_FORWARD_SECRET", bad)]), ["ROLLBOOK_FORWARD_SECRET"], "{bad}");
    }
}

#[test]
fn other_commands_need_no_secret() {
    let local = Local::read(|name| (name == "ROLLBOOK_DATA").then(|| "/srv/roll.redb".to_owned())).unwrap();
    assert_eq!(local.data.to_str(), Some("/srv/roll.redb"));
    assert_eq!(signing_secrets(|_| None).unwrap_err().to_string().lines().count(), 1);
}

#[test]
fn backups_are_made_daily_and_a_week_of_them_kept() {
    assert_eq!(read(&MINIMUM).unwrap().backups, None);
    let set = |more: &[(&str, &str)]| with(&[&[("ROLLBOOK_BACKUP_DIR", "/backups")], more].concat());
    let backups = |interval, keep| {
        Some(Backups { folder: "/backups".into(), interval: NonZeroU32::new(interval), keep: NonZeroU32::new(keep) })
    };
    assert_eq!(set(&[]).unwrap().backups, backups(24, 7));
    let never = [("ROLLBOOK_BACKUP_INTERVAL", "0"), ("ROLLBOOK_BACKUP_KEEP", "0")];
    assert_eq!(set(&never).unwrap().backups, backups(0, 0));
    let off = [("ROLLBOOK_BACKUP_INTERVAL", "off"), ("ROLLBOOK_BACKUP_KEEP", "off")];
    assert_eq!(set(&off).unwrap().backups, backups(0, 0));
    for (name, bad) in
        [("INTERVAL", "8761"), ("INTERVAL", "1h"), ("INTERVAL", "-1"), ("KEEP", "100001"), ("KEEP", "all")]
    {
        assert!(set(&[(&format!("ROLLBOOK_BACKUP_{name}"), bad)]).is_err(), "{name}={bad}");
    }
    for alone in ["ROLLBOOK_BACKUP_INTERVAL", "ROLLBOOK_BACKUP_KEEP"] {
        let faults = with(&[(alone, "1")]).unwrap_err().to_string();
        assert!(faults.starts_with("ROLLBOOK_BACKUP_DIR: set it too") && faults.contains(alone), "{faults}");
    }
}

#[test]
fn tls_is_set_whole_or_not_at_all() {
    let (cert, key) = (("ROLLBOOK_TLS_CERT", "/etc/cert.pem"), ("ROLLBOOK_TLS_KEY", "/etc/key.pem"));
    let redirect = ("ROLLBOOK_TLS_REDIRECT_LISTEN", "0.0.0.0:80");
    let set = with(&[cert, key, redirect, ("ROLLBOOK_PUBLIC_URL", "https://roll.example.com")]).unwrap();
    assert_eq!(set.local.tls, Some(Tls { certificate: "/etc/cert.pem".into(), key: "/etc/key.pem".into() }));
    assert_eq!(set.redirect_listen, Some("0.0.0.0:80".parse().unwrap()));
    assert_eq!((with(&[]).unwrap().local.tls, with(&[]).unwrap().redirect_listen), (None, None));
    for (values, fault) in [
        (&[cert][..], "ROLLBOOK_TLS_KEY: set it too"),
        (&[key], "ROLLBOOK_TLS_CERT: set it too"),
        (&[redirect], "ROLLBOOK_TLS_REDIRECT_LISTEN: set ROLLBOOK_TLS_CERT and"),
        (
            &[cert, key, ("ROLLBOOK_PUBLIC_URL", "http://localhost:8080")],
            "ROLLBOOK_PUBLIC_URL: must begin with https://",
        ),
        (
            &[cert, ("ROLLBOOK_TLS_KEY", "-----BEGIN PRIVATE KEY-----canary")],
            "ROLLBOOK_TLS_KEY: must be the path of a file",
        ),
    ] {
        let faults = with(values).unwrap_err().to_string();
        assert!(faults.starts_with(fault) && faults.lines().count() == 1 && !faults.contains("canary"), "{faults}");
    }
}
