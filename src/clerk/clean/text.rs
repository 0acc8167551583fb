//! Bodies with a good signature that no JSON reader accepts (cut off, a key twice, nested too deep): kept for the
//! operator to look at, without what may be secret.

use std::fmt::Write as _;
use std::ops::Range;

use super::is_secret;

/// The text with the values of all members that could hold a secret replaced by `null`. Where it cannot be told what
/// belongs to what, or where it is about a message, only its length and SHA-256 are left.
pub fn scrub_text(body: &str) -> String {
    let kept = if is_about_a_message(body) { None } else { blank(body) };
    kept.unwrap_or_else(|| seal(body))
}

fn seal(body: &str) -> String {
    let mut sealed = r#"{"sha256":""#.to_owned();
    for byte in aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, body.as_bytes()).as_ref() {
        // Writing to a string cannot fail.
        let _ = write!(sealed, "{byte:02x}");
    }
    let _ = write!(sealed, r#"","length":{}}}"#, body.len());
    sealed
}

/// A cut-off message may have lost its type; then the names of its members tell.
fn is_about_a_message(body: &str) -> bool {
    const SIGNS: [&str; 9] = [
        "email.created",
        "sms.created",
        "smsmessage",
        "bodyplain",
        "deliveredbyclerk",
        "fromemailname",
        "toemailaddress",
        "tophonenumber",
        "fromphonenumber",
    ];
    let text = reveal(body);
    SIGNS.iter().any(|sign| text.contains(sign)) || body.contains("\"ema_") || body.contains("\"sms_")
}

/// `None` where the text is not even the beginning of JSON, or seems to hold a secret in a place that has no name.
fn blank(body: &str) -> Option<String> {
    let tokens = tokens(body).filter(|tokens| is_beginning(tokens))?;
    let (mut kept, mut nameless, mut copied, mut i) = (String::new(), String::new(), 0, 0);
    while let Some(token) = tokens.get(i) {
        let is_name = token.kind == Kind::Text && tokens.get(i + 1).is_some_and(|next| next.kind == Kind::Colon);
        if !is_name {
            nameless.push_str(&body[token.at.clone()]);
            i += 1;
        } else if may_be_secret(&reveal(&body[token.at.clone()])) {
            let value = value(&tokens, i + 2);
            if let Some(first) = tokens.get(i + 2) {
                kept.push_str(&body[copied..first.at.start]);
                kept.push_str("null");
                copied = tokens[value.end - 1].at.end;
            }
            i = value.end;
        } else {
            i += 2;
        }
    }
    // What comes after the last token is white space, or a text that was cut off.
    kept.push_str(&body[copied..tokens.last().map_or(0, |last| last.at.end)]);
    let hidden = ["otpcode", "backupcode", "magiclink", "ticket", "token", "secret", "passworddigest", "passwordhash"];
    let nameless = reveal(&nameless);
    if hidden.iter().any(|word| nameless.contains(word)) { None } else { Some(kept) }
}

/// Broader than for JSON that can be read: here nothing says what kind of object a member belongs to.
fn may_be_secret(name: &str) -> bool {
    let name: String = name.chars().filter(|c| *c != '.').collect();
    is_secret(&name) || ["url", "code", "message", "body", "subject"].contains(&name.as_str())
}

/// The tokens of the value that begins at `first`; to the end if it is cut off.
fn value(tokens: &[Token], first: usize) -> Range<usize> {
    let mut depth = 0_usize;
    for (i, token) in tokens.iter().enumerate().skip(first) {
        match token.kind {
            Kind::Open(_) => depth += 1,
            Kind::Close(_) => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth == 0 {
            return first..i + 1;
        }
    }
    first..tokens.len()
}

/// Whether JSON could go on from here: brackets match, and every value in an object has a name.
fn is_beginning(tokens: &[Token]) -> bool {
    let kind = |i: usize| tokens.get(i).map(|token| token.kind);
    let mut open = Vec::new();
    tokens.iter().enumerate().all(|(i, token)| {
        let in_object = open.last() == Some(&b'}');
        let wants_name = in_object && i.checked_sub(1).is_some_and(|i| kind(i) != Some(Kind::Colon));
        match token.kind {
            Kind::Text => !wants_name || kind(i + 1) == Some(Kind::Colon),
            Kind::Plain => !wants_name,
            Kind::Colon => in_object && i.checked_sub(2).is_some_and(|i| kind(i) != Some(Kind::Colon)),
            Kind::Comma => true,
            Kind::Open(bracket) => {
                open.push(bracket);
                !wants_name
            }
            Kind::Close(bracket) => open.pop() == Some(bracket),
        }
    })
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Text,
    /// A number, or a word such as `true`.
    Plain,
    Colon,
    Comma,
    /// An opening bracket, by the one that closes it.
    Open(u8),
    Close(u8),
}

#[derive(Debug)]
struct Token {
    kind: Kind,
    at: Range<usize>,
}

/// Splits the text into tokens, up to a text that is cut off. `None` if it holds anything else, or two
/// values with nothing between them: then quotes are not where they should be.
fn tokens(body: &str) -> Option<Vec<Token>> {
    let bytes = body.as_bytes();
    let mut tokens: Vec<Token> = Vec::new();
    let mut start = if body.starts_with('\u{feff}') { 3 } else { 0 };
    while let Some(byte) = bytes.get(start) {
        let (kind, end) = match byte {
            b' ' | b'\t' | b'\r' | b'\n' => {
                start += 1;
                continue;
            }
            b'"' => match text_end(bytes, start) {
                Some(end) => (Kind::Text, end),
                None => break,
            },
            b':' => (Kind::Colon, start + 1),
            b',' => (Kind::Comma, start + 1),
            b'{' => (Kind::Open(b'}'), start + 1),
            b'[' => (Kind::Open(b']'), start + 1),
            b'}' | b']' => (Kind::Close(*byte), start + 1),
            _ => (Kind::Plain, plain_end(body, start)?),
        };
        if tokens.last().is_some_and(|last| !may_follow(last.kind, kind)) {
            return None;
        }
        tokens.push(Token { kind, at: start..end });
        start = end;
    }
    Some(tokens)
}

fn may_follow(last: Kind, next: Kind) -> bool {
    let ends_a_value = matches!(last, Kind::Text | Kind::Plain | Kind::Close(_));
    match next {
        Kind::Colon => last == Kind::Text,
        Kind::Comma => ends_a_value,
        Kind::Close(_) => last != Kind::Colon,
        Kind::Text | Kind::Plain | Kind::Open(_) => !ends_a_value,
    }
}

/// Where the text that begins with the quote at `start` ends; `None` if it does not.
fn text_end(bytes: &[u8], start: usize) -> Option<usize> {
    let mut at = start + 1;
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'"' => return Some(at + 1),
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
    None
}

/// Where the number or word at `start` ends; `None` if it is neither.
fn plain_end(body: &str, start: usize) -> Option<usize> {
    let word = body[start..].split(|c: char| !(c.is_ascii_alphanumeric() || "+-.".contains(c))).next()?;
    let end = start + word.len();
    let number = !word.is_empty() && word.bytes().all(|b| b.is_ascii_digit() || b"+-.eE".contains(&b));
    let known = ["true", "false", "null", "NaN", "Infinity"];
    let cut_off = end == body.len() && known.iter().any(|known| known.starts_with(word));
    (number || known.contains(&word) || cut_off).then_some(end)
}

/// The text as its reader would see it, for searching: escapes resolved however deep, letters in lower
/// case, and of everything else only digits and dots.
fn reveal(text: &str) -> String {
    let mut revealed = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        rest = &rest[c.len_utf8()..];
        let escaped = if c == '\\' { rest.strip_prefix('u').and_then(|hex| hex.get(..4)) } else { None };
        let escaped = escaped.and_then(|hex| u32::from_str_radix(hex, 16).ok());
        let c = match escaped {
            Some(code) => {
                rest = &rest[5..];
                char::from_u32(code).unwrap_or(' ')
            }
            None => c,
        };
        if c.is_alphanumeric() || c == '.' {
            revealed.extend(c.to_lowercase());
        }
    }
    revealed
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::clock::Timestamp;
    use crate::sample::{Scene, event};

    fn is_sealed(text: &str) -> bool {
        text.starts_with(r#"{"sha256":""#) && !text.contains("CANARY")
    }

    #[test]
    fn secrets_are_blanked_where_they_stand() {
        for (body, kept) in [
            (r#"{"id":"a","otp_code":"CANARY","id":"b"}"#, r#"{"id":"a","otp_code":null,"id":"b"}"#),
            (r#"{"otp_code":"CANARY","otp_code":"CANARY"}"#, r#"{"otp_code":null,"otp_code":null}"#),
            (r#"{"\u006ftp_code" : "CANARY", "n":1e400}"#, r#"{"\u006ftp_code" : null, "n":1e400}"#),
            (r#"{"\u006F\u0074p_code":12,"n":1e400}"#, r#"{"\u006F\u0074p_code":null,"n":1e400}"#),
            (r#"{"otpCode":"C\"ANARY","x":"\ud800"}"#, r#"{"otpCode":null,"x":"\ud800"}"#),
            (r#"[{"backup_codes":[["CANARY"],{"a":"CANARY"}],"x":[1"#, r#"[{"backup_codes":null,"x":[1"#),
            (r#"{"a":true,"backup_codes":["CANARY","CAN"#, r#"{"a":true,"backup_codes":null"#),
            (r#"{"a":"ü","token":"CANARY"#, r#"{"a":"ü","token":"#),
            (
                r#"{"url":"https://CANARY","image_url":"https://a","a":tr"#,
                r#"{"url":null,"image_url":"https://a","a":tr"#,
            ),
            ("\u{feff}{\"token\":1}", "\u{feff}{\"token\":null}"),
            ("", ""),
        ] {
            assert_eq!(scrub_text(body), kept, "{body}");
        }
    }

    #[test]
    fn what_cannot_be_told_apart_is_sealed() {
        for body in [
            r#"{"otp_code:"CANARY"}"#,
            r#"{otp_code:"CANARY"}"#,
            "{'otp_code':'CANARY'}",
            r#"{"otp_code" "CANARY"}"#,
            r#"{"otp_code"=>"CANARY"}"#,
            r#"{"otp_code":"CA"CANARY"}"#,
            r#"{"otp_code":CANARY}"#,
            r#"{"otp_code"::"CANARY"}"#,
            r#"{"otp_code":["a"},"CANARY":1]}"#,
            r#"{"backup_codes":["a"] "CANARY"]}"#,
            r#"{"body:"CANARY"}"#,
            r#"{"otp_code":"a","CANARY"]}"#,
            r#"{"otp_code":"a","CANARY""#,
            r#"{"otp_code":"a":"CANARY"}"#,
            r#"["otp_code":"CANARY"]"#,
            r#""otp_code":"CANARY""#,
            r#"{"x":{"otp_code":{"a":1}},"CANARY"}"#,
            r#"{"json":"{\"otp_code\":\"CANARY\"}"}"#,
            r#"{"json":"{\"\\u006ftp_code\":\"CANARY\"}"}"#,
            r#"["https://example.org/?__clerk_ticket=CANARY"]"#,
            "otp_code=CANARY",
            "CANARY",
        ] {
            let kept = scrub_text(body);
            assert!(is_sealed(&kept), "{body}: {kept}");
        }
        assert_eq!(
            scrub_text("abc"),
            r#"{"sha256":"ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad","length":3}"#
        );
    }

    #[test]
    fn messages_are_sealed_even_without_their_type() {
        for body in [
            r#"{"type":"email.created","data":{"x":"CANARY","x":1}}"#,
            r#"{"type":"sms\u002ecreated","data":{"x":"CANARY","x":1}}"#,
            r#"{"data":{"id":"ema_1","x":"CANARY"#,
            r#"{"data":{"to_phone_number":"CANARY"#,
            r#"{"data":{"object":"sms_message","x":"CANARY"},"#,
        ] {
            assert!(is_sealed(&scrub_text(body)), "{body}");
        }
        assert_eq!(scrub_text(r#"{"data":{"body":"CANARY","#), r#"{"data":{"body":null,"#);
    }

    /// Cuts each event off at every place, and takes every character that is not part of a name out of it.
    #[test]
    fn no_damage_lets_a_code_through() {
        let at = Timestamp::from_millis(1_767_225_600_000);
        for kind in ["user.updated", "organizationInvitation.created", "sms.created"] {
            let body = event(kind, &Scene::new(b"text", at), at).unwrap().to_string();
            let codes: Vec<&str> = body
                .split(|c: char| !c.is_ascii_alphanumeric())
                .map(|run| run.strip_prefix("sample").unwrap_or(run))
                .filter(|run| run.len() == 6 && run.bytes().all(|b| b.is_ascii_digit()))
                .collect();
            assert!(!codes.is_empty(), "{kind}: no code to look for");
            let check = |damaged: &str| {
                let kept = scrub_text(damaged);
                assert!(!codes.iter().any(|code| kept.contains(code)), "{kind}: {damaged}\n{kept}");
            };
            for (i, c) in body.char_indices() {
                check(&body[..i]);
                if !c.is_alphanumeric() && c != '_' {
                    check(&format!("{}{}", &body[..i], &body[i + c.len_utf8()..]));
                }
            }
        }
    }
}
