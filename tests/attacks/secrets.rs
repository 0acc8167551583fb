//! Secrets where they do not belong, files that others can read, and addresses that lead inside.

use super::{Attack, attack};

pub(crate) const ATTACKS: &[Attack] = &[
    attack(
        "Every secret used for a day, in the right places and in wrong ones, then looked for in data file, output at the \
         chattiest level, answers and arguments",
        "Nowhere; passwords, keys and cookies as hashes.",
        &["tests/secrets.rs::no_secret_is_kept_or_repeated", "tests/keys.rs::no_secret_is_in_any_file"],
    ),
    attack(
        "A crash that leaves the memory in a file",
        "No core is dumped, whatever the shell allows.",
        &["tests/hostile/left.rs::a_crash_leaves_no_core"],
    ),
    attack(
        "Secrets printed for debugging",
        "`[redacted]`.",
        &[
            "src/config/tests.rs::secrets_are_never_shown",
            "src/config/tests.rs::what_is_in_force_says_where_it_is_from_and_no_secret",
            "src/http/admin/token.rs::keeps_quiet_in_debug_output",
            "src/api_key/secret.rs::a_secret_has_one_form_and_is_not_shown",
            "src/clerk/backend/call/tests.rs::the_key_is_in_no_line_and_no_error",
            "src/clerk/sender.rs::no_secret_is_shown",
        ],
    ),
    attack(
        "Secrets on the command line, where every user of the machine sees them",
        "There is no such flag; a file is read instead.",
        &["src/config/tests.rs::a_secret_may_be_in_a_file", "tests/readme.rs::flags_are_named_as_the_readme_says"],
    ),
    attack(
        "Files that others may read, whatever the umask is: data, key, mark, socket, backups, exports",
        "The owner's alone.",
        &[
            "tests/hostile/left.rs::what_it_writes_is_its_owners_alone",
            "tests/crash.rs::only_its_owner_may_read_the_file",
            "tests/notary.rs::a_new_log_gets_a_key_that_only_its_owner_reads",
            "tests/export.rs::a_file_is_whole_private_and_nobody_elses",
        ],
    ),
    attack(
        "A key that others can read, or a link in its place",
        "Not used; the start says what to do.",
        &[
            "tests/notary.rs::a_key_that_others_can_read_is_not_used",
            "tests/restore.rs::a_key_that_others_can_read_is_seen_to_first",
            "src/forward/secrets.rs::a_file_that_others_can_read_or_that_is_something_else_is_refused",
        ],
    ),
    attack(
        "The control socket asked by somebody else, or with nonsense, or left by a server that died",
        "Its owner's alone; refused; replaced.",
        &[
            "src/control/tests.rs::only_the_owner_may_ask",
            "src/control/tests.rs::what_is_no_request_is_refused_and_harms_nobody",
            "src/control/tests.rs::a_dead_servers_socket_is_replaced_and_a_live_ones_is_not",
        ],
    ),
    attack(
        "Names and addresses with line ends, escapes of terminals, U+2028, in what is logged",
        "One line, escaped; one field cannot pass for another.",
        &[
            "src/log/line.rs::whatever_a_value_holds_it_is_one_line_of_json",
            "src/log/line.rs::a_field_cannot_pass_for_another",
            "src/log/line.rs::text_for_a_terminal_is_escaped_too",
            "src/cli/send_test.rs::lines_are_aligned_and_tame",
        ],
    ),
    attack(
        "Addresses in the settings: plain http, files, with a user, by number, of a cloud's metadata",
        "Refused at the start; http only on this machine.",
        &[
            "src/config/url.rs::an_issuer_is_on_the_network_by_https_and_by_name",
            "src/config/value.rs::a_publishable_key_names_a_host",
        ],
    ),
    attack(
        "Redirects, names that lead inside after they were checked, addresses in disguise, carrier-grade NAT",
        "Not followed; judged by what a name leads to at the moment of the call.",
        &[
            "src/clerk/http.rs::tells_public_addresses_from_all_others",
            "src/clerk/http.rs::a_name_that_leads_inside_leads_nowhere",
            "src/clerk/sender.rs::follows_no_redirect",
            "src/clerk/backend/call/tests.rs::a_redirect_leads_nowhere",
            "src/clerk/backend/call/tests.rs::an_answer_ends_in_time_and_in_size",
            "tests/forward/addresses.rs::no_redirect_is_followed",
            "tests/forward/addresses.rs::a_name_that_leads_inside_leads_nowhere",
        ],
    ),
    attack(
        "A target inside, typed into the admin page, in every way of writing an address",
        "Refused, unless the settings name the network.",
        &[
            "tests/forward/addresses.rs::an_address_inside_is_refused_however_it_is_written",
            "tests/forward/addresses.rs::a_network_that_the_settings_name_is_open_and_no_other",
            "tests/forward/addresses.rs::what_is_no_longer_allowed_is_no_longer_called",
            "tests/admin/targets.rs::what_cannot_be_is_refused_with_a_sentence_and_nothing_is_added",
        ],
    ),
    attack(
        "An id of Clerk's that would lead to another path of its API",
        "Never asked for.",
        &[
            "src/clerk/backend/tests.rs::an_id_leads_nowhere_else",
            "tests/forward/calls.rs::an_id_that_leads_elsewhere_is_never_told",
        ],
    ),
    attack(
        "A crate from elsewhere than crates.io, or changed; a second provider of cryptography; a licence that binds",
        "Not taken; `cargo deny` says the same of what is known to be broken.",
        &[
            "tests/supply.rs::every_crate_comes_from_crates_io_and_is_known_by_its_checksum",
            "tests/supply.rs::there_is_one_provider_of_cryptography",
            "tests/supply.rs::every_licence_is_one_we_can_pass_on",
        ],
    ),
    attack(
        "A metric, or a label, for whatever strangers send",
        "Names are ours, and their number does not grow.",
        &["tests/edge/metrics.rs::it_names_nobody_and_grows_by_nothing_that_is_sent"],
    ),
];
