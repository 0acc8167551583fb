//! Texts of any length, cut to what a page may weigh. How long they are is for strangers to choose.

use std::fmt::Write as _;

/// What a field of a form may weigh when it is shown again: all that could have been taken fits.
pub(super) const FIELD: usize = 512;

/// The text, cut so that it takes no more than `most` bytes of HTML, and whether something is missing.
pub(super) fn cut(text: &str, most: usize) -> (&str, bool) {
    let mut weight = 0;
    for (at, c) in text.char_indices() {
        weight += of(c);
        if weight > most {
            return (&text[..at], true);
        }
    }
    (text, false)
}

/// The same with a mark where something is missing.
pub(super) fn brief(text: &str, most: usize) -> String {
    match cut(text, most) {
        (text, false) => text.to_owned(),
        (text, true) => format!("{text}…"),
    }
}

/// How many bytes of HTML the text takes.
pub(super) fn weight(text: &str) -> usize {
    text.chars().map(of).sum()
}

/// JSON in which every character can be seen that would turn others around or take no room.
pub(super) fn visible(json: &str) -> String {
    let mut text = String::with_capacity(json.len());
    for c in json.chars() {
        if is_hidden(c) {
            // All of these have one unit of UTF-16, and stand in strings alone. Writing to a string cannot fail.
            let _ = write!(text, "\\u{:04x}", u32::from(c));
        } else {
            text.push(c);
        }
    }
    text
}

/// The text without such characters: for a title, which takes no markup that would keep them to themselves.
pub(super) fn plain(text: &str) -> String {
    text.chars().filter(|c| !is_hidden(*c)).collect()
}

const fn is_hidden(c: char) -> bool {
    matches!(c, '\u{ad}' | '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

fn of(c: char) -> usize {
    match c {
        '<' | '>' | '&' | '"' | '\'' => "&#60;".len(),
        other => other.len_utf8(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn what_is_long_is_cut_between_characters() {
        assert_eq!(cut("abc", 3), ("abc", false));
        assert_eq!(cut("abcd", 3), ("abc", true));
        assert_eq!(cut("a<b", 6), ("a<", true));
        assert_eq!(cut("aéé", 4), ("aé", true));
        assert_eq!((brief("aéé", 4), weight("a<é")), ("aé…".to_owned(), 8));
    }

    #[test]
    fn what_cannot_be_seen_is_spelled_out_and_means_the_same() {
        let json = serde_json::to_string(&["a\u{202e}b\u{feff}", "\u{1f600}", "é\"\\"]).unwrap();
        let shown = visible(&json);
        assert_eq!(shown, "[\"a\\u202eb\\ufeff\",\"\u{1f600}\",\"é\\\"\\\\\"]");
        assert_eq!(plain("a\u{202e}b\u{2066}é"), "abé");
        assert_eq!(serde_json::from_str::<Vec<String>>(&shown).unwrap()[0], "a\u{202e}b\u{feff}");
    }
}
