//! Keys, signed notes and checkpoints.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rollbook::tlog::checkpoint::{BadCheckpoint, Checkpoint};
use rollbook::tlog::note::{self, BadKey, BadNote, Note, SigningKey, VerifierKey};

/// The example of Go's `golang.org/x/mod/sumdb/note`: its key, its text and the signature that Go makes of them.
const GO_PRIVATE: &str = "PRIVATE+KEY+PeterNeumann+c74f20a3+AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz";
const GO_PUBLIC: &str = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
const GO_TEXT: &str =
    "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n";
const GO_LINE: &str =
    "— PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n";

const ORIGIN: &str = "rollbook.example/log-1";

fn key(name: &str) -> SigningKey {
    SigningKey::generate(name).unwrap()
}

fn public(key: &SigningKey) -> VerifierKey {
    key.verifier().clone()
}

/// The line that a note gets for a signature of these bytes.
fn line(name: &str, id: u32, bytes: &[u8]) -> String {
    format!("— {name} {}\n", STANDARD.encode([&id.to_be_bytes(), bytes].concat()))
}

fn checkpoint() -> Checkpoint {
    Checkpoint { origin: ORIGIN.into(), size: 70_000, root: [7; 32] }
}

#[test]
fn keys_and_notes_are_those_of_go() {
    let signer: SigningKey = GO_PRIVATE.parse().unwrap();
    assert_eq!(signer.expose(), GO_PRIVATE);
    assert_eq!(signer.verifier().to_string(), GO_PUBLIC);
    assert_eq!(GO_PUBLIC.parse(), Ok(public(&signer)));
    let note = note::sign(GO_TEXT, &[&signer]).unwrap();
    assert_eq!(note.to_string(), format!("{GO_TEXT}\n{GO_LINE}"));
    assert_eq!(note.verify(&[public(&signer)]), Ok(vec![signer.verifier()]));
}

#[test]
fn a_key_under_another_name_is_another_key() {
    let one = key("one");
    let two = one.renamed("two").unwrap();
    assert_ne!(one.verifier().id(), two.verifier().id());
    assert_eq!(two.renamed("one").unwrap().expose(), one.expose());
    assert_ne!(key("one").expose(), one.expose(), "two new keys are the same");
    assert_eq!(format!("{one:?}"), "SigningKey(one, [redacted])");
    let note = note::sign("text\n", &[&one]).unwrap();
    assert_eq!(note.verify(&[public(&two)]), Err(BadNote::Unknown));
}

#[test]
fn malformed_keys_are_refused() {
    for name in ["", "a b", "a\u{a0}b", "a\u{2003}b", "a\nb", "a+b", "a\u{1}b", "a\u{85}b"] {
        assert_eq!(SigningKey::generate(name).unwrap_err(), BadKey::Name, "{name:?}");
        assert_eq!(key("a").renamed(name).unwrap_err(), BadKey::Name, "{name:?}");
        assert!(GO_PUBLIC.replace("PeterNeumann", name).parse::<VerifierKey>().is_err(), "{name:?}");
    }
    for (from, to, fault) in [
        ("c74f20a3", "c74f20a4", BadKey::Id),
        ("c74f20a3", "C74F20A3", BadKey::Id),
        ("c74f20a3", "c74f20a", BadKey::Id),
        ("PeterNeumann", "PeterNewmann", BadKey::Id),
        ("+A", "+B", BadKey::Form("")),
        ("+A", "+", BadKey::Form("")),
        ("+A", "+AA", BadKey::Form("")),
        ("+A", " A", BadKey::Form("")),
        ("+A", "+ A", BadKey::Form("")),
    ] {
        let same = |got: BadKey| std::mem::discriminant(&got) == std::mem::discriminant(&fault);
        assert!(same(GO_PUBLIC.replace(from, to).parse::<VerifierKey>().unwrap_err()), "{from} to {to}");
        assert!(same(GO_PRIVATE.replace(from, to).parse::<SigningKey>().unwrap_err()), "{from} to {to}");
    }
    for text in ["", "+", "++", GO_PRIVATE, &format!("{GO_PUBLIC}\n"), &format!("{GO_PUBLIC}=")] {
        assert!(text.parse::<VerifierKey>().is_err(), "{text:?}");
    }
    for text in ["", "PRIVATE+KEY+", GO_PUBLIC, &format!("{GO_PRIVATE}\n"), &GO_PRIVATE.to_lowercase()] {
        assert!(text.parse::<SigningKey>().is_err(), "{text:?}");
    }
}

#[test]
fn a_note_is_read_back_as_it_was_written() {
    let (one, two) = (key("one"), key("two"));
    for text in ["\n", "a\n", "a\n\nb\n", "a\n\n", "— one AAAAAA==\n", "grüße\u{7f}\u{85}\n", "\n\n\n"] {
        let note = note::sign(text, &[&one, &two]).unwrap();
        let read: Note = note.to_string().parse().unwrap();
        assert_eq!((read.text(), &read), (text, &note), "{text:?}");
        assert_eq!(read.verify(&[public(&two), public(&one)]).unwrap(), [one.verifier(), two.verifier()]);
    }
    for text in ["", "a", "a\r\n", "\t\n", "a\0\n", "\u{1b}\n"] {
        assert!(matches!(note::sign(text, &[&one]), Err(BadNote::Form(_))), "{text:?}");
    }
    assert!(matches!(note::sign("a\n", &[]), Err(BadNote::Signing(_))));
    assert!(matches!(note::sign("a\n", &[&one, &two, &one]), Err(BadNote::Signing(_))));
}

#[test]
fn only_known_keys_are_believed_and_all_known_keys_must_be_right() {
    let (one, two, stranger) = (key("one"), key("two"), key("one"));
    let known = [public(&one), public(&two)];
    let signed = |keys: &[&SigningKey]| note::sign("text\n", keys).unwrap();
    assert_eq!(signed(&[&stranger, &two]).verify(&known).unwrap(), [two.verifier()]);
    assert_eq!(signed(&[&stranger]).verify(&known), Err(BadNote::Unknown));
    assert_eq!(signed(&[&one]).verify(&[]), Err(BadNote::Unknown));
    // The other text is well signed by both.
    let other = signed(&[&one, &two]).to_string().replace("text", "texts");
    assert_eq!(other.parse::<Note>().unwrap().verify(&known), Err(BadNote::Signature("one".into())));
    // Beside a good signature, a wrong one under a known name and id is not passed over; of whatever length.
    for length in [1, 63, 64, 65, 5000] {
        let line = line("two", two.verifier().id(), &vec![1; length]);
        let note: Note = format!("{}{line}", signed(&[&one])).parse().unwrap();
        assert_eq!(note.verify(&known), Err(BadNote::Signature("two".into())), "{length}");
        assert_eq!(note.verify(&known[..1]).unwrap(), [one.verifier()], "{length}");
    }
    // One that shares only the name or only the id is a stranger's.
    let id = one.verifier().id();
    for line in [line("one", id ^ 1, &[1; 64]), line("other", id, &[1; 64])] {
        let note: Note = format!("{}{line}", signed(&[&one])).parse().unwrap();
        assert_eq!(note.verify(&known).unwrap(), [one.verifier()], "{line}");
        let note: Note = format!("text\n\n{line}").parse().unwrap();
        assert_eq!(note.verify(&known), Err(BadNote::Unknown), "{line}");
    }
}

#[test]
fn malformed_notes_are_refused() {
    let one = key("one");
    let good = note::sign("first\nsecond\n", &[&one]).unwrap().to_string();
    let signature = good.lines().last().unwrap();
    let bad = [
        String::new(),
        "\n".into(),
        "\n\n".into(),
        "first\nsecond\n".into(),
        "first\nsecond\n\n".into(),
        good.replace('\n', "\r\n"),
        good.replace("first\n", "first\r\n"),
        good.replace("first", "fir\tst"),
        good.replace("first", "fir\0st"),
        good.replace("\n\n", "\n"),
        good.trim_end().into(),
        format!("{good}\n"),
        format!("{good} \n"),
        format!("{good}more\n"),
        format!("\n{signature}\n"),
        good.replace("— ", "- "),
        good.replace("— ", "—"),
        good.replace("— ", "—\u{a0}"),
        good.replace("— ", " — "),
        good.replace(" one ", " one  "),
        good.replace(" one ", "  "),
        good.replace(" one ", " o+e "),
        good.replace(" one ", " o\u{2003}e "),
        good.replace(signature, "— one"),
        good.replace(signature, "— one "),
        good.replace(signature, "— one AAAA"),
        good.replace(signature, "— one AAAAAA=="),
        good.replace(signature, &signature[..signature.len() - 1]),
        good.replace(signature, &format!("{signature}=")),
        good.replace(signature, &format!("{signature} ")),
        good.replace(signature, &format!("— one {}", STANDARD.encode([0xff; 68]).replace('/', "_"))),
        // Bits that say nothing must be zero, or one note had several forms.
        good.replace(signature, &format!("— one {}", STANDARD.encode([0; 68]).replace("A=", "B="))),
        format!("{good}{signature}\n"),
        // Twice the same key, once with another signature.
        format!("{good}{}", line("one", one.verifier().id(), &[1; 64])),
        format!("{good}{0}{0}", line("stranger", 7, &[1; 64])),
    ];
    for bad in bad {
        assert!(matches!(bad.parse::<Note>(), Err(BadNote::Form(_))), "{bad:?}");
    }
    assert!(good.parse::<Note>().is_ok());
    for bytes in [[0xff; 68], [0; 68]] {
        assert!(good.replace(signature, &format!("— one {}", STANDARD.encode(bytes))).parse::<Note>().is_ok());
    }
}

#[test]
fn a_note_may_have_many_signatures_but_not_any_number() {
    let one = key("one");
    let mut note = note::sign("text\n", &[&one]).unwrap().to_string();
    for id in 2..=100 {
        note += &line("witness.example", id, &[9; 72]);
        if id == 17 || id == 100 {
            assert_eq!(note.parse::<Note>().unwrap().verify(&[public(&one)]).unwrap(), [one.verifier()]);
        }
    }
    note += &line("witness.example", 101, &[9; 72]);
    assert!(matches!(note.parse::<Note>(), Err(BadNote::Form("more than 100 signatures"))));
}

#[test]
fn a_checkpoint_is_believed_when_its_own_log_signed_it() {
    let (old, new, witness) = (key(ORIGIN), key(ORIGIN), key("witness.example"));
    let note = checkpoint().sign(&[&old, &new]).unwrap();
    assert!(note.starts_with("rollbook.example/log-1\n70000\nBwcHBwcH"), "{note}");
    for known in [vec![public(&old)], vec![public(&new)], vec![public(&witness), public(&new), public(&old)]] {
        assert_eq!(Checkpoint::open(&note, &known), Ok(checkpoint()));
    }
    assert_eq!(Checkpoint::unverified(&note), Ok(checkpoint()));
    let origin = || BadCheckpoint::Origin(ORIGIN.into());
    assert_eq!(Checkpoint::open(&note, &[public(&witness)]), Err(BadNote::Unknown.into()));
    // A witness's word alone is not the log's.
    let witnessed = note::sign(&checkpoint().to_string(), &[&witness]).unwrap().to_string();
    assert_eq!(Checkpoint::open(&witnessed, &[public(&witness), public(&old)]), Err(origin()));
    assert_eq!(checkpoint().sign(&[&old, &witness]), Err(origin()));
    assert!(matches!(checkpoint().sign(&[]), Err(BadCheckpoint::Note(BadNote::Signing(_)))));
    let forged = note.replace("70000", "70001");
    assert_eq!(Checkpoint::open(&forged, &[public(&old)]), Err(BadNote::Signature(ORIGIN.into()).into()));
    assert_eq!(Checkpoint::unverified(&forged).unwrap().size, 70_001);
}

#[test]
fn malformed_checkpoints_are_refused_whoever_signed_them() {
    let one = key(ORIGIN);
    let root = STANDARD.encode([7; 32]);
    let open = |text: &str| {
        let note = note::sign(text, &[&one]).unwrap().to_string();
        assert_eq!(Checkpoint::open(&note, &[public(&one)]), Checkpoint::unverified(&note), "{text:?}");
        Checkpoint::unverified(&note)
    };
    assert_eq!(open(&format!("{ORIGIN}\n70000\n{root}\n")), Ok(checkpoint()));
    assert_eq!(open(&format!("{ORIGIN}\n0\n{root}\n")).unwrap().size, 0);
    assert_eq!(open(&format!("{ORIGIN}\n18446744073709551615\n{root}\n")).unwrap().size, u64::MAX);
    for size in ["", "00", "070000", "+70000", "-1", " 70000", "70000 ", "7e4", "0x1", "18446744073709551616", "٣"] {
        let text = format!("{ORIGIN}\n{size}\n{root}\n");
        assert!(matches!(open(&text), Err(BadCheckpoint::Form(_))), "{size:?}");
    }
    let (short, long) = (STANDARD.encode([7; 31]), STANDARD.encode([7; 33]));
    let loose = root.replace("c=", "d=");
    assert_ne!(loose, root);
    for root in ["", &short, &long, &loose, &root[..43], &format!("{root}="), &format!(" {root}"), &"=".repeat(44)] {
        let text = format!("{ORIGIN}\n70000\n{root}\n");
        assert!(matches!(open(&text), Err(BadCheckpoint::Form(_))), "{root:?}");
    }
    for text in [
        format!("{ORIGIN}\n70000\n"),
        format!("\n70000\n{root}\n"),
        format!("{ORIGIN}\n70000\n{root}\nan extension\n"),
        format!("{ORIGIN}\n70000\n{root}\n\n"),
        format!("\n{ORIGIN}\n70000\n{root}\n"),
        format!("{ORIGIN}\n\n70000\n{root}\n"),
    ] {
        assert!(matches!(open(&text), Err(BadCheckpoint::Form(_))), "{text:?}");
    }
}
