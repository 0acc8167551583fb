//! The log, before somebody who can write its files.

use super::{Attack, attack};

pub(crate) const ATTACKS: &[Attack] = &[
    attack(
        "One byte changed: in a leaf, a tile, the head, a checkpoint, a detail, its salt, anywhere",
        "`verify` ends with 1 and names the place; the server takes no writes.",
        &[
            "tests/verify/tampering.rs::what_is_changed_in_entries_is_named",
            "tests/verify/tampering.rs::what_is_changed_in_the_tree_is_named",
            "tests/verify/tampering.rs::what_is_changed_in_details_and_people_is_named",
            "tests/verify/attacks.rs::a_server_on_a_changed_file_takes_no_writes",
            "tests/verify/flips.rs::every_byte_of_a_data_file_counts",
            "tests/verify/export.rs::every_bit_of_an_export_counts",
        ],
    ),
    attack(
        "The newest entries removed, and all that is left made to fit",
        "Refused by the mark outside the file; without that, `--against` any checkpoint kept elsewhere.",
        &["tests/verify/attacks.rs::entries_taken_from_the_end"],
    ),
    attack(
        "A past that was written anew, signed by nobody, or by another key",
        "`verify` with the key or a checkpoint from elsewhere ends with 1.",
        &["tests/verify/attacks.rs::a_forged_past"],
    ),
    attack(
        "An older copy of the file",
        "The same as entries removed: no writes until the operator says, in the log, that it is so.",
        &[
            "tests/verify/attacks.rs::an_older_copy_of_the_file",
            "tests/restore.rs::of_an_older_copy_it_is_said_what_is_missing_and_what_to_do",
            "tests/restore.rs::a_copy_with_another_past_is_told_from_an_older_one",
        ],
    ),
    attack(
        "The mark removed or made unreadable; the key removed, or another's in its place",
        "No writes, and never a new key in silence; `adopt` goes on and leaves an entry.",
        &[
            "tests/verify/attacks.rs::files_beside_the_data_file",
            "tests/notary.rs::files_that_do_not_belong_together_are_noticed",
        ],
    ),
    attack(
        "A detail, or a person, exchanged for another",
        "The commitment does not fit: `verify` ends with 1.",
        &[
            "tests/verify/tampering.rs::what_is_changed_in_details_and_people_is_named",
            "tests/verify/attacks.rs::a_changed_detail_in_an_adopted_log",
        ],
    ),
    attack(
        "Proofs with hashes missing, doubled, exchanged, for other places and sizes",
        "All are refused.",
        &[
            "tests/tlog/malformed.rs::wrong_proofs_of_inclusion_are_refused",
            "tests/tlog/malformed.rs::wrong_proofs_of_consistency_are_refused",
            "tests/tlog/crates.rs::roots_and_proofs_are_theirs",
            "tests/tlog/files.rs::malformed_proofs_to_be_handed_on_are_refused",
        ],
    ),
    attack(
        "Notes with the wrong id of a key, a signature twice, carriage returns, no empty line, bytes that are no text; \
         checkpoints with a zero before the size, a root of 33 bytes, lines more",
        "Refused, and nothing panics; a hundred signatures are read.",
        &[
            "tests/tlog/notes.rs::malformed_notes_are_refused",
            "tests/tlog/notes.rs::malformed_keys_are_refused",
            "tests/tlog/notes.rs::malformed_checkpoints_are_refused_whoever_signed_them",
            "tests/tlog/notes.rs::only_known_keys_are_believed_and_all_known_keys_must_be_right",
            "tests/tlog/notes.rs::a_note_may_have_many_signatures_but_not_any_number",
            "tests/tlog/crates.rs::changed_notes_are_judged_as_by_them",
            "tests/verify/copies.rs::the_exit_status_tells_why_there_is_no_verdict",
        ],
    ),
    attack(
        "Proofs asked for beyond the end, of more than was signed, from nothing, by numbers without end",
        "400.",
        &["tests/log.rs::impossible_proofs_are_refused"],
    ),
    attack(
        "An export that only we can check",
        "Go's packages, Sigstore's and ct-merkle come to the same, and to the same about one bit changed.",
        &[
            "tests/proved.rs::the_go_projects_judgement",
            "tests/proved.rs::sigstores_judgement",
            "tests/proved.rs::ct_merkles_judgement",
            "tests/proved.rs::our_own_judgement",
        ],
    ),
    attack(
        "A clock that is turned back",
        "Times in the log do not go back, and an entry says that the clock did.",
        &[
            "tests/verify/attacks.rs::a_clock_that_is_turned_back",
            "tests/siege/clocks.rs::a_clock_that_jumps_while_it_runs_is_followed_and_the_log_never_goes_back",
            "tests/siege/clocks.rs::a_clock_that_was_turned_between_two_starts_is_followed_and_the_log_never_goes_back",
        ],
    ),
    attack(
        "A log that grows by what strangers do",
        "One entry a minute for each reason.",
        &[
            "tests/tokens/people.rs::what_strangers_try_becomes_one_entry_for_each_reason",
            "tests/webhook.rs::bad_signatures_do_not_make_the_log_grow",
        ],
    ),
    attack(
        "Somebody erased whom the log still names; an erasure as a way to hide something",
        "No byte of them is left, and the proof holds; each erasure says what it took.",
        &[
            "tests/erasure/whole.rs::nothing_is_left_of_somebody_erased_and_nothing_of_others_is_lost",
            "tests/scrub.rs::nothing_of_what_was_removed_is_left_and_all_else_is",
            "tests/erasure/whole.rs::what_comes_late_of_somebody_erased_names_nobody",
        ],
    ),
];
