//! The admin page: who gets in, and what the pages of others can make an admin's browser do.

use super::{Attack, attack};

pub(crate) const ATTACKS: &[Attack] = &[
    attack(
        "A fresh installation that nobody has set up",
        "403 everywhere, and no form. Only a link from the terminal makes an admin.",
        &["tests/admin/access.rs::nothing_creates_an_admin_but_a_link"],
    ),
    attack(
        "Links that are wrong, five times; the right one then; after a day; after its use; two at once with one",
        "403; 429 for a quarter of an hour; 403; 403; one admin.",
        &[
            "tests/admin/access.rs::wrong_links_rest_set_up",
            "tests/admin/access.rs::a_link_lives_a_day",
            "tests/admin/access.rs::a_link_sets_the_password_once",
            "tests/admin/access.rs::a_new_link_and_a_new_password_end_the_older_links",
        ],
    ),
    attack(
        "Passwords tried one after another, and many at once",
        "After five, 429 for a quarter of an hour, for the right one too; thirty a minute for everybody. Counted in the log.",
        &[
            "tests/admin/access.rs::guessing_is_held_up_even_when_it_succeeds",
            "tests/admin/access.rs::guessing_in_parallel_is_no_way_around",
            "tests/admin/access.rs::everybody_together_may_guess_thirty_times_a_minute_and_no_more_is_hashed",
        ],
    ),
    attack(
        "A name that nobody has",
        "The words of a wrong password, and as much work.",
        &[
            "tests/admin/access.rs::a_wrong_name_looks_like_a_wrong_password",
            "src/http/admin/password.rs::nobody_costs_as_much_as_somebody",
        ],
    ),
    attack(
        "Two hundred who sign in at once, each of whom takes 64 MiB",
        "Two are hashed at a time, thirty a minute; the memory is that of two.",
        &["tests/hostile/left.rs::two_hundred_who_try_passwords_at_once_take_the_memory_of_two"],
    ),
    attack(
        "Passwords of less than 12 characters, of more than 256 bytes, among the first that anybody tries, one's own name",
        "400 with a sentence. Any other, in any script, to the letter.",
        &[
            "src/http/admin/password.rs::takes_long_ones_and_refuses_the_first_guesses",
            "src/http/admin/password.rs::a_hash_fits_its_password_alone",
            "tests/admin/access.rs::a_link_sets_the_password_once",
        ],
    ),
    attack(
        "A session from before signing in, after signing out, after a new password, after 15 minutes, after 8 hours, changed, \
         shown twice",
        "A new id each time; 303 to the door, 401 for forms.",
        &[
            "tests/admin/access.rs::a_session_ends_when_it_should",
            "tests/admin/access.rs::a_session_dies_of_idleness_and_of_age",
            "tests/admin/admins.rs::a_changed_password_ends_every_other_session_and_renews_this_one",
            "tests/admin/admins.rs::nothing_is_done_in_the_name_of_a_session_that_has_ended",
            "tests/admin/admins.rs::who_is_removed_is_out_at_once_and_for_good",
        ],
    ),
    attack(
        "A cookie that scripts, other sites or plain http get to see; one that the data file gives away",
        "`__Host-`, Secure, HttpOnly, SameSite=Strict; the file has its hash.",
        &[
            "tests/admin/access.rs::the_cookie_is_for_this_site_and_no_script",
            "tests/secrets.rs::no_secret_is_kept_or_repeated",
        ],
    ),
    attack(
        "Forms of other sites, by all that browsers say of where they come from",
        "403, and nothing is done. Stricter than Go's protection: a form with a cookie has to say where it is from, and \
         another host of the same site is another site.",
        &[
            "tests/admin/forms.rs::forms_of_other_sites_change_nothing",
            "tests/admin/forms.rs::requests_of_other_sites_are_judged_as_by_go_or_more_strictly",
            "src/http/admin/csrf.rs::forms_of_other_sites_are_refused",
            "src/http/admin/csrf.rs::other_sites_open_nothing",
        ],
    ),
    attack(
        "A form sent as plain text, as JSON, in parts; by GET; with fields doubled or unknown",
        "415, 405, 400. No GET changes anything.",
        &[
            "tests/admin/forms.rs::forms_of_other_sites_change_nothing",
            "tests/admin/forms.rs::only_a_well_formed_post_changes_anything",
        ],
    ),
    attack(
        "Every form without a session, or with one that was made up",
        "401.",
        &["tests/admin/forms.rs::forms_of_strangers_change_nothing"],
    ),
    attack(
        "Markup, templates, addresses with a scheme of their own and text that runs backwards, in whatever people say of \
         themselves",
        "Shown as text; no address of theirs is followed or loaded, and the page allows no script.",
        &[
            "tests/admin/pages.rs::hostile_particulars_are_shown_as_text",
            "tests/layering.rs::templates_escape_what_they_show",
            "src/http/admin/brief.rs::what_cannot_be_seen_is_spelled_out_and_means_the_same",
            "src/http/admin/audit/live.rs::no_name_ends_an_event",
        ],
    ),
    attack(
        "Cells of a table that a spreadsheet takes for formulas, after spaces, tabs, NUL, quotation marks; line ends in them",
        "Marked as text, quoted, and read back by other programs.",
        &[
            "src/export/table.rs::what_could_be_a_formula_is_marked_as_text",
            "src/export/table.rs::what_was_written_is_read",
            "tests/admin/export.rs::no_cell_is_a_formula",
            "tests/export.rs::a_table_is_safe_to_open_and_read_by_others",
        ],
    ),
    attack(
        "The page in a frame of another site",
        "Not shown: `frame-ancestors 'none'`.",
        &["tests/admin/access.rs::every_page_comes_with_its_armour"],
    ),
    attack(
        "A sign-in that leads on to another site: two slashes, a scheme, a backslash, a line end",
        "To the overview.",
        &[
            "tests/admin/access.rs::strangers_are_shown_the_door_and_led_back",
            "src/http/admin/sign_in.rs::leads_on_to_our_own_pages_alone",
        ],
    ),
    attack(
        "A page whose name is bound to this machine (DNS rebinding)",
        "421.",
        &["tests/admin/access.rs::a_name_that_was_bound_to_this_machine_opens_nothing"],
    ),
    attack(
        "The page over plain http from anywhere but this machine",
        "403; as a public address it is refused at the start.",
        &[
            "src/http/admin/csrf.rs::the_password_never_travels_in_the_clear",
            "src/config/url.rs::a_public_url_is_an_origin_and_in_the_clear_only_on_this_machine",
        ],
    ),
    attack(
        "An admin's session that somebody else got hold of, and what matters most: erase, sign in as, keys, admins, targets",
        "403 without the password, each time.",
        &[
            "tests/admin/forms.rs::what_matters_most_wants_the_password_again",
            "tests/admin/danger.rs::nobody_is_erased_without_the_password_a_session_and_our_own_form",
            "tests/admin/backups.rs::nobody_takes_a_backup_without_the_password_or_anything_else_with_it",
        ],
    ),
    attack(
        "Names of a file to download that lead elsewhere, files that are not ours, pipes in the way",
        "404; nothing waits.",
        &[
            "tests/admin/backups.rs::nobody_takes_a_backup_without_the_password_or_anything_else_with_it",
            "src/backup/folder.rs::only_whole_files_of_ours_are_listed_and_opened",
            "src/backup/part.rs::a_pipe_in_the_way_of_a_backup_holds_nothing_up",
        ],
    ),
];
