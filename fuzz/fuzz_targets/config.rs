//! Settings: lines of `NAME=value`. Whatever they are, they are taken or every fault is told, and no secret is.
#![no_main]

use std::collections::BTreeMap;

use libfuzzer_sys::fuzz_target;
use rollbook::config::{Config, SETTINGS};

fuzz_target!(|text: &str| {
    let values: BTreeMap<&str, &str> = text.lines().filter_map(|line| line.split_once('=')).collect();
    let shown = match Config::read(|name| values.get(name).map(|value| (*value).to_owned())) {
        Ok(config) => format!("{config:?}"),
        Err(faults) => {
            let told = faults.to_string();
            assert!(!told.is_empty());
            told
        }
    };
    // The key of tokens is a public one.
    for setting in SETTINGS.iter().filter(|setting| setting.is_secret() && setting.name != "CLERK_JWT_KEY") {
        let secret = [Some(setting.name), setting.also].into_iter().flatten().find_map(|name| values.get(name));
        // What is short, or stands in another setting as well, may be in the text by chance.
        let Some(secret) = secret.filter(|secret| secret.len() >= 24) else { continue };
        let elsewhere = values.iter().filter(|(_, value)| value.contains(secret)).count() > 1;
        assert!(elsewhere || !shown.contains(secret), "{}", setting.name);
    }
});
