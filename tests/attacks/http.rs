//! Connections and requests, byte by byte, before anybody has said who they are.

use super::{Attack, attack};

pub(crate) const ATTACKS: &[Attack] = &[
    attack(
        "A connection that says nothing, half a head, one line now and then",
        "Closed within ten seconds.",
        &["tests/raw_http.rs::a_head_has_its_time"],
    ),
    attack(
        "A body that drips, a reader who does not read",
        "408 within ten seconds; closed after thirty without progress. Nobody else waits.",
        &[
            "tests/raw_http.rs::a_dripping_body_is_given_up",
            "tests/raw_http.rs::who_does_not_read_is_closed",
            "tests/siege/crowds.rs::who_reads_slowly_costs_little_and_slows_nobody",
            "tests/siege/crowds.rs::who_writes_slowly_is_given_up_and_slows_nobody",
            "tests/description/statuses.rs::s408_is_answered_by_every_operation_that_takes_a_body",
            "tests/events/stream.rs::a_reader_who_does_not_read_holds_nobody_up",
            "src/server/accept/line.rs::a_write_without_progress_fails",
        ],
    ),
    attack(
        "5,000 connections, idle or in the middle of a head, from one address and from many",
        "Whoever comes with a request is served: the longest idle makes room. Where all are at work, the rest are closed.",
        &[
            "tests/siege/crowds.rs::five_thousand_idle_connections_keep_nobody_out",
            "tests/siege/crowds.rs::five_thousand_half_sent_heads_keep_nobody_out",
            "tests/siege/crowds.rs::few_descriptors_are_kept_for_what_matters",
            "tests/raw_http.rs::the_longest_idle_connection_makes_room",
            "tests/raw_http.rs::who_is_still_reading_an_answer_does_not_make_room",
            "tests/raw_http.rs::one_connection_too_many_is_closed_while_requests_are_under_way_on_all",
            "src/server/accept/seats.rs::a_peer_with_all_of_its_seats_loses_one_of_its_own",
            "src/server/accept/seats.rs::a_peer_has_so_many_seats_and_gets_them_back",
            "src/server/accept/seats.rs::an_ipv6_peer_is_its_64",
            "tests/raw_http.rs::out_of_descriptors_the_server_waits_for_some",
            "tests/raw_http.rs::a_connection_has_its_lifetime",
        ],
    ),
    attack(
        "A handshake that is half done, or none at all, where TLS is spoken; 5,000 of them",
        "Closed within ten seconds, and idle until then: the longest idle makes room. No line of the log for each.",
        &[
            "tests/tls/limits.rs::a_handshake_has_its_time_and_nobody_waits_for_it",
            "tests/tls/limits.rs::a_half_done_handshake_makes_room",
            "tests/tls/limits.rs::what_is_no_handshake_is_told_so",
            "tests/tls/limits.rs::who_does_not_read_is_given_up",
            "tests/siege/crowds.rs::five_thousand_half_done_handshakes_keep_nobody_out",
        ],
    ),
    attack(
        "An old version of TLS, a weak cipher, keys agreed on anew within a connection, compression, another protocol",
        "An alert, and the connection ends.",
        &[
            "tests/tls/probes.rs::the_two_versions_of_today_are_spoken_and_no_older_one",
            "tests/tls/probes.rs::no_weak_cipher_is_agreed_on",
            "tests/tls/probes.rs::nothing_is_agreed_on_anew_within_a_connection",
            "tests/tls/probes.rs::http_1_1_is_the_one_protocol",
        ],
    ),
    attack(
        "Plain HTTP in the place of HTTPS: a page, a webhook, a token; a Host that leads elsewhere",
        "A page is sent on to the name that is known, everything else refused. Nobody is sent where a stranger says.",
        &[
            "tests/tls/redirect.rs::pages_are_sent_on_to_the_public_url",
            "tests/tls/redirect.rs::a_webhook_in_the_clear_is_refused_and_told_why",
            "src/http/redirect.rs::nobody_is_sent_where_a_stranger_says",
            "src/http/redirect.rs::what_carries_something_is_not_sent_on",
            "tests/tls/clients.rs::browsers_are_told_to_come_by_https_but_not_for_every_program_of_a_machine",
        ],
    ),
    attack(
        "Two lengths, a list of them, with a sign, in hexadecimal, negative, too large, empty, with a space before the colon; \
         encodings other than chunked, two of them, folded, in HTTP/1.0; NUL in a header",
        "400, and the connection ends: what follows is not taken for a request.",
        &["tests/raw_http.rs::bodies_of_doubtful_length_are_refused"],
    ),
    attack(
        "Chunks of endless or wrong size, without carriage returns",
        "400, and the connection ends.",
        &["tests/raw_http.rs::broken_chunks_end_the_request"],
    ),
    attack(
        "A length beside a transfer encoding",
        "One request, the encoding counts, and the connection ends.",
        &["tests/raw_http.rs::with_both_lengths_the_transfer_encoding_wins_and_nothing_follows"],
    ),
    attack(
        "A request hidden in the body of another, behind a proxy that may read it otherwise",
        "Done only where the proxy saw a request there too.",
        &["tests/hostile/proxy.rs::no_request_hidden_in_another_comes_through_a_proxy"],
    ),
    attack("64 headers and more, an address of 70 kB", "431.", &["tests/raw_http.rs::heads_too_large_are_refused"]),
    attack(
        "Line ends without carriage return, chunk extensions, the same length twice, no space behind the colon",
        "Accepted: nobody reads these in another way.",
        &["tests/raw_http.rs::harmless_oddities_are_accepted"],
    ),
    attack(
        "HTTP/2 without asking, and asked for",
        "Closed; passed over.",
        &["tests/raw_http.rs::http_2_is_not_spoken"],
    ),
    attack(
        "No host, two, a malformed one, another in the address than in the header",
        "400.",
        &["tests/raw_http.rs::a_request_names_one_host", "src/http/guard.rs::target_and_host_agree"],
    ),
    attack(
        "A host that is not ours: another name, our address as part of one, another port, an address written otherwise",
        "421 on every route, also where there is none. A name bound to this machine opens nothing.",
        &[
            "tests/raw_http.rs::another_s_host_is_misdirected_on_every_route",
            "tests/description/walk.rs::every_operation_is_refused_under_another_host",
            "src/http/guard.rs::local_names_need_the_right_port",
        ],
    ),
    attack(
        "`X-Forwarded-For` from anybody, a chain of five through a trusted proxy, `Forwarded`, `X-Real-IP`",
        "The peer counts; behind trusted proxies the nearest hop that is none. Nothing else is read.",
        &[
            "src/http/guard.rs::forwarded_addresses_count_from_trusted_proxies_only",
            "tests/edge/limits.rs::an_address_has_so_many_requests",
            "tests/edge/limits.rs::what_a_proxy_here_sends_on_does_not_come_from_this_machine",
            "tests/forward_auth/proxies.rs::nginx_with_the_configuration_handed_out",
        ],
    ),
    attack(
        "TRACE, CONNECT, a method in lower case, one that nobody knows",
        "405, and nothing of the request comes back.",
        &["tests/raw_http.rs::methods_out_of_use_are_refused", "src/http/guard.rs::methods_are_a_closed_list"],
    ),
    attack(
        "What errors give away: in bodies, in headers, of paths, versions and causes",
        "One form, a fixed sentence, and an id by which the log has the cause.",
        &[
            "tests/api/problems.rs::every_refusal_has_one_form_and_an_id_that_the_log_shares",
            "tests/api/problems.rs::our_own_trouble_is_told_to_the_log_alone",
        ],
    ),
    attack(
        "A handler that panics",
        "One 500. Everybody else is served, and so is the next request.",
        &["tests/raw_http.rs::a_panic_is_one_500"],
    ),
    attack(
        "Parameters twice, unknown, negative, enormous; places in lists that were made up or are another list's",
        "400.",
        &[
            "tests/api/lists.rs::parameters_unknown_doubled_or_impossible_are_refused",
            "tests/users/places.rs::every_cursor_is_a_place_in_every_list",
            "src/page.rs::a_cursor_belongs_to_its_list",
        ],
    ),
    attack(
        "Headers that browsers protect with, missing on some answer",
        "They are on every one.",
        &[
            "tests/api/problems.rs::every_answer_carries_the_security_headers",
            "tests/admin/access.rs::every_page_comes_with_its_armour",
        ],
    ),
    attack(
        "Pages of other sites that call the API: from an evil origin, from `null`, from another port here",
        "No permission, unless the settings name them one by one.",
        &[
            "tests/edge/cors.rs::no_other_page_may_call",
            "tests/edge/cors.rs::unset_there_is_nothing_of_it",
            "tests/api/problems.rs::every_answer_carries_the_security_headers",
        ],
    ),
    attack(
        "One address, one session, that asks without pause",
        "429 with when to come again. Of IPv6, a whole /64 is one address.",
        &[
            "tests/edge/limits.rs::an_address_has_so_many_requests",
            "tests/edge/limits.rs::an_ipv6_address_counts_for_its_64",
            "tests/edge/limits.rs::a_session_has_so_many_requests_wherever_from",
            "src/http/limit.rs::beyond_so_many_the_newcomers_share",
        ],
    ),
    attack(
        "Requests that a machine makes up from the description of the API",
        "Nothing undocumented, and no 500.",
        &["tests/description/independent.rs::schemathesis_finds_nothing"],
    ),
];
