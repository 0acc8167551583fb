//! What stands in paths, queries and forms: ids, names, cursors, limits, moments, filters. Whatever is read is written
//! back the same, and reads as the same again.
#![no_main]

use std::fmt::{Debug, Display};
use std::str::FromStr;

use libfuzzer_sys::fuzz_target;
use rollbook::api_key::{KeyId, KeyName, Scope, Secret};
use rollbook::audit::feed::Types;
use rollbook::audit::{Actions, Actor, ActorRef, Ranges};
use rollbook::clock::{Moment, Timestamp};
use rollbook::event::DeliveryId;
use rollbook::page::{Cursor, Limit};
use rollbook::target::TargetName;
use rollbook::user::{ClerkId, Handle, HandleKind, PracticeId, Role, UserId, UserRef};

fuzz_target!(|text: &str| {
    written_back::<Cursor>(text);
    written_back::<KeyId>(text);
    written_back::<Scope>(text);
    written_back::<Types>(text);
    written_back::<Ranges>(text);
    written_back::<DeliveryId>(text);
    written_back::<TargetName>(text);
    written_back::<ClerkId>(text);
    written_back::<HandleKind>(text);
    written_back::<PracticeId>(text);
    written_back::<Role>(text);
    reads_the_same::<KeyName>(text);
    reads_the_same::<UserId>(text);
    reads_the_same::<UserRef>(text);
    reads_the_same::<ActorRef>(text);
    if let Ok(limit) = text.parse::<Limit>() {
        assert!((1..=500).contains(&limit.get()));
        assert_eq!(text.parse(), Ok(limit.get()));
    }
    if let Ok(cursor) = text.parse::<Cursor>() {
        let list = text.as_bytes()[0];
        assert_eq!(Cursor::new(list, cursor.key(list).unwrap()), cursor);
        assert!(cursor.key(list ^ 1).is_err());
    }
    if let Ok(actions) = text.parse::<Actions>() {
        assert_eq!(String::from(actions.clone()), text);
        assert_eq!(
            actions.fit(text),
            matches!(actions, Actions::Named(_)) || text.starts_with(&text.replace(".*", "."))
        );
    }
    if let Ok(actor) = text.parse::<Actor>() {
        assert_eq!(actor.word().map_or(Ok(actor.clone()), |word| word.parse()), Ok(actor));
    }
    if let Ok(secret) = text.parse::<Secret>() {
        assert_eq!(secret.reveal(), text);
        assert!(!format!("{secret:?}").contains(text));
    }
    if let Ok(Moment(at)) = text.parse() {
        // What lies beyond is shown as the end of the year 9999.
        assert!(at.as_millis() > 253_402_000_000_000 || at.to_string().parse::<Timestamp>().is_ok());
    }
    for handle in Handle::typed(text, None) {
        assert!(Handle::typed(handle.as_str(), None).contains(&handle), "{handle:?}");
    }
});

/// For forms that have one way to write a thing.
fn written_back<T: FromStr + Display>(text: &str) {
    if let Ok(read) = text.parse::<T>() {
        assert_eq!(read.to_string(), text);
    }
}

/// For forms that have several.
fn reads_the_same<T: FromStr<Err: Debug> + Display + PartialEq + Debug>(text: &str) {
    if let Ok(read) = text.parse::<T>() {
        assert_eq!(read.to_string().parse::<T>().unwrap(), read);
    }
}
