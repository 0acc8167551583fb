//! What is changed is found, and named.

use redb::{ReadableTable as _, WriteTransaction};

use crate::log::*;

/// What is done to a file, and how the findings about that begin, all of them.
type Harm = (&'static str, fn(&WriteTransaction), &'static [&'static str]);

/// The leaf with one text in it replaced.
fn rewrite(txn: &WriteTransaction, seq: u64, from: &str, to: &str) {
    let leaf = String::from_utf8(row(txn, LEAVES, seq)).unwrap();
    assert!(leaf.contains(from), "{leaf}");
    put(txn, LEAVES, seq, leaf.replacen(from, to, 1).as_bytes());
}

fn name(n: u64) -> String {
    person(n).as_str().to_owned()
}

fn reference(txn: &WriteTransaction, n: u64) -> String {
    String::from_utf8(row(txn, SUBJECTS, &*name(n))[40..].to_vec()).unwrap()
}

const CHANGED: &str = "entry 37: changed, not what was hashed into the tree (tile 0/0)";

const OF_ENTRIES: &[Harm] = &[
    ("a leaf", |txn| rewrite(txn, 37, "req_37", "req_38"), &[CHANGED]),
    (
        "what was done",
        |txn| rewrite(txn, 37, "user.read", "user.rode"),
        &[CHANGED, "entry 37: missing in the list by action"],
    ),
    (
        "a leaf in the last tile",
        |txn| rewrite(txn, 1290, "req_1290", "req_1291"),
        &["entry 1290: changed, not what was hashed into the tree (tile 0/5)"],
    ),
    (
        "the form of a leaf",
        |txn| rewrite(txn, 37, "\"v\":1", "\"v\": 1"),
        &[CHANGED, "entry 37: not in the form of an entry (canonical JSON)"],
    ),
    (
        "the version of a leaf",
        |txn| rewrite(txn, 37, "\"v\":1", "\"v\":2"),
        &[CHANGED, "entry 37: in a form that this version does not know"],
    ),
    (
        "the time of a leaf",
        |txn| rewrite(txn, 37, "\"at\":1750000000370", "\"at\":1750000000350"),
        &[CHANGED, "entry 37: the time is before that of the entry in front"],
    ),
    (
        "two leaves change places",
        |txn| {
            let (a, b) = (row(txn, LEAVES, 300), row(txn, LEAVES, 301));
            put(txn, LEAVES, 300, &b);
            put(txn, LEAVES, 301, &a);
        },
        &[
            "entries 300-301: changed, not what was hashed into the tree",
            "entry 301: the time is before that of the entry in front",
            "entries 300-301: the detail or its salt was changed, the leaf commits to another",
            "entries 300-301: missing in the list by person",
        ],
    ),
    (
        "a leaf is missing",
        |txn| remove(txn, LEAVES, 37),
        &[
            "entry 37: missing",
            "entry 37: there is a detail, but no leaf",
            "the list by action has 1300 entries, and the log 1299",
        ],
    ),
    (
        "an entry too many",
        |txn| put(txn, LEAVES, 1300, b"{}"),
        &[
            "there is an entry 1300, behind the end of the log of 1300",
            "the list by action has 1300 entries, and the log 1301",
        ],
    ),
    (
        "entries are said to be pruned",
        |txn| put(txn, META, "first", &256_u64.to_be_bytes()),
        &["entries before 256 are said to be pruned, and no log.pruned entry says so"],
    ),
    (
        "entries are gone, and said to be pruned",
        |txn| {
            for seq in 0..256 {
                remove(txn, LEAVES, seq);
                remove(txn, DETAILS, seq);
            }
            put(txn, META, "first", &256_u64.to_be_bytes());
        },
        &[
            "entries 0-255: missing",
            "entries before 256 are said to be pruned, and no log.pruned entry says so",
            "the list by action has 1300 entries, and the log 1044",
        ],
    ),
    (
        "an entry and its hash",
        |txn| {
            remove(txn, LEAVES, 300);
            remove(txn, TILES, (0, 1));
        },
        &[
            "entry 300: there is a detail, but no leaf",
            "entries are missing from 256 on, and their hashes in tile 0/1 too",
            "from entry 256 on nothing could be verified",
        ],
    ),
    (
        "an entry is hidden from the list by action",
        |txn| remove(txn, BY_ACTION, ("user.read", 37)),
        &["entry 37: missing in the list by action", "the list by action has 1299 entries, and the log 1300"],
    ),
    (
        "an entry is hidden from a person's list",
        |txn| {
            let number = u64::from_be_bytes(row(txn, SUBJECTS, &*name(3))[..8].try_into().unwrap());
            remove(txn, BY_SUBJECT, (number, 34));
        },
        &["entry 34: missing in the list by person"],
    ),
    (
        "an entry is hidden from the list of an address",
        |txn| remove(txn, BY_FACET, ("ip:192.0.2.1", 35)),
        &["entry 35: missing in the list by address"],
    ),
    (
        "an entry is hidden from the list of who did it",
        |txn| remove(txn, BY_FACET, ("actor:system", 0)),
        &["entry 0: missing in the list by actor"],
    ),
];

const OF_THE_TREE: &[Harm] = &[
    (
        "a hash in a full tile",
        |txn| flip(txn, TILES, (0, 1), 32 * 3 + 1),
        &["entry 259: another hash stands for it in the tree (tile 0/1)"],
    ),
    (
        "a hash in the last tile",
        |txn| flip(txn, TILES, (0, 5), 32 * 3 + 1),
        &["entry 1283: another hash stands for it in the tree (tile 0/5)"],
    ),
    (
        "a hash in a tile above",
        |txn| flip(txn, TILES, (1, 0), 32 * 3),
        &["tile 0/3: another hash stands for it in the tree (tile 1/0)"],
    ),
    ("a tile is missing", |txn| remove(txn, TILES, (0, 2)), &["tile 0/2: missing"]),
    ("a tile above is missing", |txn| remove(txn, TILES, (1, 0)), &["tile 1/0: missing"]),
    (
        "a tile too wide",
        |txn| {
            let row = row(txn, TILES, (0, 5));
            put(txn, TILES, (0, 5), &[&row[..], &[7; 32]].concat());
        },
        &["tile 0/5: longer or shorter than it should be"],
    ),
    (
        "a tile that ends in the middle of a hash",
        |txn| {
            let row = row(txn, TILES, (1, 0));
            put(txn, TILES, (1, 0), &[&row[..], &[7; 5]].concat());
        },
        &["tile 1/0: longer or shorter than it should be"],
    ),
    (
        "a tile too many",
        |txn| put(txn, TILES, (2, 0), &[7; 32]),
        &["there is a tile 2/0, which a log of 1300 entries does not have"],
    ),
    ("the root in the head", |txn| flip(txn, META, "head", 20), &["the root in the head is not that of the entries"]),
    (
        "the size in the head",
        |txn| flip(txn, META, "head", 1),
        &["the head says 281474976711956 entries, and there are 1300"],
    ),
    ("the head cut short", |txn| put(txn, META, "head", &[1, 2]), &["the head (size and root) cannot be read"]),
    (
        "the noted time",
        |txn| flip(txn, META, "last_at", 7),
        &["the time of the last entry, as it is noted beside the log (last_at), is not the entry's"],
    ),
    (
        "a checkpoint's root",
        |txn| {
            let mut row = row(txn, CHECKPOINTS, (1, 400));
            let at = row.windows(5).position(|bytes| bytes == b"\n400\n").unwrap() + 8;
            row[at] = if row[at] == b'A' { b'B' } else { b'A' };
            put(txn, CHECKPOINTS, (1, 400), &row);
        },
        &[
            "the checkpoint of 400 entries cannot be believed: the signature of log.example.com/log-1 does not match the \
             note",
        ],
    ),
    (
        "a checkpoint that is no text",
        |txn| put(txn, CHECKPOINTS, (1, 400), &[0xff; 90]),
        &["the checkpoint of 400 entries (epoch 1) cannot be read"],
    ),
    (
        "a checkpoint under another size",
        |txn| {
            let row = row(txn, CHECKPOINTS, (1, 400));
            put(txn, CHECKPOINTS, (1, 401), &row);
        },
        &["the checkpoint of 400 entries is filed as one of 401"],
    ),
    (
        "the name and the keys",
        |txn| put(txn, META, "identity", b"{}"),
        &[
            "the log's name and keys cannot be read",
            "the checkpoint of 100 entries cannot be believed: the note is not signed by a known key, and 12 more \
             checkpoints likewise",
            "the high-water mark beside the file cannot be believed: the note is not signed by a known key",
        ],
    ),
];

const CANNOT_BE_FOUND: &str = ", named in entry 3, cannot be found, and no user.erased entry says why";
const IS_ANOTHER: &str = ", named in entry 3, is not the one who was meant: salt or id was changed";

const OF_DETAILS_AND_PEOPLE: &[Harm] = &[
    (
        "a detail",
        |txn| flip(txn, DETAILS, 37, 40),
        &["entry 37: the detail or its salt was changed, the leaf commits to another"],
    ),
    (
        "a salt",
        |txn| flip(txn, DETAILS, 1299, 0),
        &["entry 1299: the detail or its salt was changed, the leaf commits to another"],
    ),
    (
        "two details change places",
        |txn| {
            let (a, b) = (row(txn, DETAILS, 300), row(txn, DETAILS, 500));
            put(txn, DETAILS, 300, &b);
            put(txn, DETAILS, 500, &a);
        },
        &["entries 300,500: the detail or its salt was changed, the leaf commits to another"],
    ),
    (
        "details are missing",
        |txn| (500..600).chain([37]).for_each(|seq| remove(txn, DETAILS, seq)),
        &["entries 37,500-599: the detail is missing, and no user.erased entry says why"],
    ),
    (
        "a detail too many",
        |txn| put(txn, DETAILS, 1300, &[7; 40]),
        &["there is a detail of entry 1300, behind the end of the log of 1300"],
    ),
    ("a person's salt", |txn| flip(txn, SUBJECTS, &*name(3), 9), &[IS_ANOTHER]),
    (
        "a person's number",
        |txn| flip(txn, SUBJECTS, &*name(3), 7),
        &["entries 3,10,17,24,31,34,38,45 and 202 more: missing in the list by person"],
    ),
    (
        "two people change places",
        |txn| {
            let (a, b) = (row(txn, SUBJECTS, &*name(3)), row(txn, SUBJECTS, &*name(4)));
            put(txn, SUBJECTS, &*name(3), &b);
            put(txn, SUBJECTS, &*name(4), &a);
        },
        &[IS_ANOTHER, ", named in entry 4, is not the one who was meant: salt or id was changed"],
    ),
    (
        "a person is missing",
        |txn| {
            let reference = reference(txn, 3);
            remove(txn, SUBJECTS, &*name(3));
            remove(txn, REFS, &*reference);
        },
        &[CANNOT_BE_FOUND],
    ),
    (
        "a reference is missing",
        |txn| remove(txn, REFS, &*reference(txn, 3)),
        &[CANNOT_BE_FOUND, "there are 31 people, and 30 references to people"],
    ),
];

async fn each_is_named(harms: &[Harm]) {
    let whole = Log::of(1300).await;
    for (what, harm, expected) in harms {
        let log = whole.copy();
        log.change(harm);
        let found = log.verified().findings.told;
        assert_eq!(found.len(), expected.len(), "{what}: {found:#?}");
        for (found, expected) in found.iter().zip(*expected) {
            // People go by references that nobody can foresee.
            let found = if found.starts_with("s1.") { &found[46..] } else { found };
            assert!(found.starts_with(expected), "{what}: {found}\nshould be {expected}");
        }
    }
}

#[tokio::test]
async fn what_is_changed_in_entries_is_named() {
    each_is_named(OF_ENTRIES).await;
}

#[tokio::test]
async fn what_is_changed_in_the_tree_is_named() {
    each_is_named(OF_THE_TREE).await;
}

#[tokio::test]
async fn what_is_changed_in_details_and_people_is_named() {
    each_is_named(OF_DETAILS_AND_PEOPLE).await;
}

#[tokio::test]
async fn of_many_findings_the_first_are_told_and_all_are_counted() {
    let log = Log::of(1300).await;
    log.change(|txn| {
        let mut people = txn.open_table(SUBJECTS).unwrap();
        let rows: Vec<_> = people.iter().unwrap().map(|row| row.unwrap()).collect();
        let rows: Vec<_> = rows.into_iter().map(|(id, row)| (id.value().to_owned(), row.value().to_vec())).collect();
        for (id, mut row) in rows {
            row[20] ^= 1;
            people.insert(&*id, &row[..]).unwrap();
        }
    });
    let report = log.verified();
    assert_eq!((report.findings.told.len(), report.findings.count), (20, 31));
    assert!(log.run(&["verify"]).tampered().last().unwrap().ends_with("and 11 more"));
}
