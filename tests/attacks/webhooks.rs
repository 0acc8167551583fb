//! Webhooks. A bad request or signature is 4xx and nothing is written; what is well signed is kept, whatever it says.

use super::{Attack, attack};

pub(crate) const ATTACKS: &[Attack] = &[
    attack(
        "A delivery as it should be",
        "200 with what became of it, the user and one entry, in one commit.",
        &[
            "tests/webhook.rs::a_valid_event_changes_the_user_and_leaves_one_entry",
            "tests/independent.rs::what_svix_signs_in_python_is_accepted",
            "tests/independent.rs::what_standard_webhooks_signs_in_node_is_accepted",
        ],
    ),
    attack(
        "Headers missing, doubled, of both families, an id with a dot or too long, a time that is none",
        "400.",
        &["tests/webhook.rs::headers_missing_doubled_mixed_or_malformed_are_refused"],
    ),
    attack(
        "Another secret; one byte, a space or a line end more; the same JSON written otherwise",
        "401.",
        &["tests/webhook.rs::wrong_signatures_are_refused"],
    ),
    attack(
        "A signature that is cut short, without its version, of another version, without padding, in lower case",
        "401.",
        &["tests/webhook.rs::wrong_signatures_are_refused", "tests/fixtures.rs::what_is_signed_here_svix_accepts"],
    ),
    attack(
        "Several signatures: the good one third; none of them good; more than sixteen",
        "200, 401, 400.",
        &[
            "tests/webhook.rs::wrong_signatures_are_refused",
            "tests/webhook.rs::headers_missing_doubled_mixed_or_malformed_are_refused",
        ],
    ),
    attack(
        "Signed more than five minutes ago, or ahead; just within",
        "401, 401, 200.",
        &["tests/webhook.rs::wrong_signatures_are_refused"],
    ),
    attack(
        "The same message again, and a hundred at once",
        "200, one effect and one entry; the others are called duplicates.",
        &["tests/webhook.rs::a_hundred_copies_at_once_have_one_effect"],
    ),
    attack(
        "The same message under the names of the other family: some of its headers, all of them",
        "400 for a mixture; a duplicate, which writes nothing.",
        &[
            "tests/webhook.rs::a_message_said_again_under_the_other_names_is_a_duplicate",
            "tests/webhook.rs::headers_missing_doubled_mixed_or_malformed_are_refused",
        ],
    ),
    attack(
        "Older news after newer, anything after a deletion, a deletion before the creation, in every order",
        "200 and stale; who they are does not change, byte for byte.",
        &[
            "tests/webhook.rs::late_news_changes_nothing",
            "tests/order.rs::every_order_ends_in_the_same_file",
            "tests/order.rs::every_order_ends_in_the_same_answers",
        ],
    ),
    attack(
        "Well signed and not to be read: no JSON, no text, doubled keys, half a surrogate, 1e400, nested 200 deep, no id, \
         another instance's",
        "200; kept as it came with the reason, for an admin to see and to try again. An unknown type is recorded.",
        &[
            "tests/webhook.rs::what_cannot_be_applied_is_kept_with_the_reason",
            "tests/webhook.rs::another_instance_is_kept_apart",
            "tests/webhook.rs::a_signed_body_that_is_no_text_is_kept_and_an_unsigned_one_is_not",
            "tests/webhook.rs::an_unknown_verb_of_a_known_object_changes_nothing",
            "tests/admin/pages.rs::what_could_not_be_applied_is_named",
            "tests/admin/quarantine.rs::what_was_put_aside_is_applied_once_it_can_be",
        ],
    ),
    attack(
        "A body of 1 MiB and a byte, with a length and in chunks; a length that lies; a body that drips",
        "413, 413, 400 or 401, 408 within ten seconds.",
        &[
            "tests/webhook.rs::bodies_too_large_or_encoded_are_refused",
            "tests/webhook.rs::a_length_that_lies_changes_nothing",
            "tests/description/statuses.rs::s408_is_answered_by_every_operation_that_takes_a_body",
            "tests/raw_http.rs::a_dripping_body_is_given_up",
        ],
    ),
    attack(
        "A compressed body, which could be a bomb",
        "415, unread.",
        &["tests/webhook.rs::bodies_too_large_or_encoded_are_refused"],
    ),
    attack(
        "A body said to be plain text or a form",
        "200 if it is well signed: the signature is over the bytes, and their name decides nothing.",
        &["tests/webhook.rs::the_type_that_a_body_is_said_to_have_is_no_matter"],
    ),
    attack(
        "PUT, PATCH, DELETE, OPTIONS; GET and HEAD",
        "405; these two say that the service is there.",
        &[
            "tests/webhook.rs::only_get_and_post_are_known_there",
            "tests/webhook.rs::all_three_paths_take_webhooks_and_say_so",
        ],
    ),
    attack(
        "Bad signatures without end",
        "401, then 429; one entry a minute counts them, and the file does not grow by them. Good ones are taken meanwhile.",
        &[
            "tests/siege/floods.rs::forged_webhooks_leave_one_entry_a_minute_and_good_ones_are_taken",
            "tests/webhook.rs::bad_signatures_do_not_make_the_log_grow",
            "tests/edge/limits.rs::a_good_signature_always_passes_and_bad_ones_count",
        ],
    ),
    attack(
        "A secret that is being replaced; the former one afterwards",
        "200 with either; then 401.",
        &["tests/webhook.rs::secrets_can_be_replaced_without_a_gap"],
    ),
    attack(
        "The disk fails or is full at any call of a commit",
        "503, so that it is sent again; then it has one effect.",
        &[
            "tests/faults.rs::a_write_fails_once",
            "tests/faults.rs::a_sync_fails_and_everything_after_it",
            "tests/faults.rs::the_disk_is_full",
            "tests/siege/full.rs::full_while_webhooks_come_it_stops_and_goes_on_once_there_is_room",
            "tests/siege/faults.rs::writes_that_fail_lose_nothing",
        ],
    ),
    attack(
        "The server is killed between commit and answer, and the message is sent again",
        "200 and a duplicate; one entry.",
        &["tests/crash.rs::killed_under_load_it_loses_nothing_it_has_acknowledged"],
    ),
    attack(
        "Particulars with markup, formulas, NUL, text that runs the other way, 100 kB of metadata",
        "200; kept as they are, and harmless wherever they are shown.",
        &[
            "tests/webhook.rs::hostile_particulars_are_kept_as_they_are",
            "tests/admin/pages.rs::hostile_particulars_are_shown_as_text",
            "tests/admin/people.rs::a_list_stays_small_and_harmless_whatever_people_are_called",
        ],
    ),
    attack(
        "Codes, links that let somebody in and messages, in events that are whole and broken",
        "200; none of it reaches the disk.",
        &[
            "tests/webhook.rs::secrets_never_reach_the_disk",
            "tests/fixtures.rs::no_secret_in_them_survives_cleaning",
            "src/clerk/clean/text.rs::no_damage_lets_a_code_through",
        ],
    ),
    attack(
        "A signed event about somebody else, or of another type, where a user is to be deleted by one",
        "400, and nobody is deleted.",
        &["tests/users/delete.rs::an_event_deletes_whom_it_is_about_and_nobody_else"],
    ),
    attack(
        "A Rollbook's own event sent back to it",
        "400: it would go round for ever.",
        &["tests/forward/addresses.rs::a_rollbook_does_not_take_its_own_events_for_those_of_clerk"],
    ),
];
