//! Session tokens. Whatever is wrong with one, the answer is the same 401, and nothing is written.

use super::{Attack, attack};

pub(crate) const ATTACKS: &[Attack] = &[
    attack(
        "No token, another scheme, an empty one, two headers, a token under another header's name",
        "401, also where strangers may ask.",
        &["tests/tokens.rs::no_bearer_token_at_all", "tests/tokens.rs::every_door_asks_for_a_token"],
    ),
    attack(
        "`alg` is none in every spelling; no signature, an empty or a borrowed one",
        "401.",
        &["tests/tokens.rs::unsigned_tokens", "src/clerk/session/tests.rs::unsigned_tokens"],
    ),
    attack(
        "HS256 keyed with the public key: as PEM, DER, JWK, JWKS, modulus",
        "401.",
        &["tests/tokens.rs::the_public_key_as_a_shared_secret"],
    ),
    attack(
        "RS384, RS512, PS256, ES256, EdDSA, correctly signed by the right key or another, under their own name or RS256's",
        "401: RS256 is all there is.",
        &[
            "tests/tokens.rs::other_algorithms_and_other_keys",
            "src/clerk/session/wycheproof.rs::of_all_signatures_only_rs256_by_a_key_for_it_counts",
        ],
    ),
    attack(
        "A key in the token or an address to fetch one from: `jwk`, `x5c`, `jku`, `x5u`",
        "401, and nobody calls that address.",
        &["tests/tokens/keys.rs::keys_that_come_with_the_token"],
    ),
    attack(
        "`kid` missing, a number, a path, SQL, 10 kB, not ASCII, with NUL, made up",
        "401, and one fetch of keys for all of them.",
        &["tests/tokens/keys.rs::ids_that_name_no_key"],
    ),
    attack(
        "`crit` with names or without, `b64: false`, validly signed",
        "401. Members that nobody knows are no matter: Clerk adds some.",
        &["tests/tokens.rs::headers_that_would_change_the_rules"],
    ),
    attack(
        "Members of header or claims twice, also spelled with escapes, validly signed",
        "401.",
        &["tests/tokens.rs::members_named_twice"],
    ),
    attack(
        "Claims that are a list, text, no text, followed by something, after a byte order mark, nested 200 deep",
        "401.",
        &["tests/tokens.rs::claims_that_are_no_object"],
    ),
    attack(
        "`exp` missing, text, a fraction, endless, negative, exactly as long over as clocks may differ",
        "401.",
        &["tests/tokens.rs::tokens_that_end_never_long_ago_or_in_no_number"],
    ),
    attack(
        "`nbf` or `iat` in the future, missing, or no number",
        "401.",
        &["tests/tokens.rs::tokens_from_the_future_or_from_no_time"],
    ),
    attack(
        "Times within the five seconds that clocks may differ",
        "200: the edges are met to the second.",
        &["tests/tokens.rs::clocks_may_be_five_seconds_apart", "src/clerk/session/tests.rs::tokens_hold_in_their_time"],
    ),
    attack(
        "`iss` missing, null, a number, an object, a list with ours in it, in capitals, with a slash more, of another instance",
        "401.",
        &["tests/tokens.rs::other_issuers"],
    ),
    attack(
        "A good token of another instance, whose key is known too; either's claims under the other's key",
        "401. A server serves one instance.",
        &["tests/tokens/keys.rs::another_instance_whose_key_is_known"],
    ),
    attack(
        "`azp` not listed, nearly listed, a list, an object; missing where it is required",
        "401.",
        &["tests/tokens.rs::authorized_parties"],
    ),
    attack(
        "`aud` wrong, part of ours, a list without ours, missing where it is set",
        "401; 200 with ours.",
        &["tests/tokens.rs::audiences"],
    ),
    attack(
        "Tokens of machines, of templates, of OAuth, of the handshake, and keys of other kinds, signed by the same key",
        "401.",
        &["tests/tokens.rs::tokens_that_are_no_sessions"],
    ),
    attack(
        "A session that still has tasks to do (`sts: pending`)",
        "403 and an entry; nobody is put on the roll.",
        &["tests/tokens/people.rs::pending_sessions_are_forbidden_and_noted"],
    ),
    attack(
        "Somebody else in a user's session (`act`)",
        "200, and every entry names them; 403 and an entry where that is not allowed; 401 where it names nobody.",
        &[
            "tests/tokens/people.rs::impersonation_is_noted_or_forbidden",
            "tests/api.rs::nothing_is_read_in_an_impersonated_session_without_an_entry",
        ],
    ),
    attack(
        "Spaces, line ends, padding, standard base64, two, four or five parts, JSON instead of the short form, one character \
         changed anywhere",
        "401; 400 where it is no header.",
        &[
            "tests/tokens.rs::text_that_is_nearly_a_token",
            "src/clerk/session/tests.rs::no_character_of_a_token_can_be_another",
        ],
    ),
    attack("A token of 8 KiB and a byte, a header of 64 KiB", "401, 431.", &["tests/tokens.rs::tokens_too_long"]),
    attack(
        "The token in the address or in a cookie",
        "401: the API reads one header.",
        &["tests/tokens.rs::tokens_in_other_places"],
    ),
    attack(
        "Keys that are replaced, retired, or come back under an old name",
        "One fetch for a new one, 401 once an old one is known to be gone, also for tokens that were good before.",
        &[
            "tests/tokens/keys.rs::keys_are_replaced_without_a_gap_and_retired_ones_end",
            "tests/tokens/keys.rs::a_remembered_token_ends_with_its_key",
        ],
    ),
    attack(
        "10,000 tokens with ids of keys that were made up",
        "401, one fetch in thirty seconds, and good tokens are taken meanwhile.",
        &["tests/tokens/keys.rs::made_up_key_ids_make_one_fetch_in_thirty_seconds"],
    ),
    attack(
        "Hundreds who ask first, all at once",
        "One fetch, and all are let in.",
        &[
            "tests/tokens/keys.rs::many_first_callers_make_one_fetch",
            "src/clerk/jwks/tests.rs::five_hundred_first_callers_make_one_fetch",
        ],
    ),
    attack(
        "The issuer is down, and keys are known",
        "They count for a day, over a restart too; their age can be watched.",
        &[
            "tests/tokens/keys.rs::warm_keys_serve_for_a_day_and_over_a_restart",
            "src/clerk/jwks/tests.rs::last_good_keys_serve_for_a_day",
            "src/clerk/jwks/tests.rs::a_clock_set_back_makes_no_set_immortal",
        ],
    ),
    attack(
        "The issuer is down, and no keys were ever known",
        "503 with when to try again, not 401.",
        &["tests/tokens/keys.rs::without_keys_nobody_is_judged"],
    ),
    attack(
        "Instead of keys: nothing, HTML, 5 MB, a redirect, an error, silence, 100 keys, one id twice, a private key, a short \
         one, an exponent of 1, keys for encryption",
        "The keys that were good stay; no redirect is followed, no more than 64 KiB are read, five seconds are waited.",
        &[
            "tests/tokens/keys.rs::no_answer_takes_good_keys_away",
            "src/clerk/jwks/tests.rs::no_answer_takes_good_keys_away",
            "src/clerk/jwks/tests.rs::gives_up_on_an_address_that_says_nothing",
            "src/clerk/session/wycheproof.rs::weak_doubled_and_misused_keys_open_nothing",
        ],
    ),
    attack(
        "Good tokens of somebody who was deleted or banned here",
        "403 and an entry, from the next request on: the token is good, its bearer is not welcome.",
        &[
            "tests/tokens/people.rs::deleted_and_banned_users_are_forbidden",
            "tests/tokens/people.rs::a_remembered_token_ends_with_its_user",
        ],
    ),
    attack("A remembered token after its time", "401.", &["tests/tokens.rs::a_remembered_token_ends_with_its_time"]),
    attack(
        "Paths that are nearly ours: doubled slashes, dots, escapes, capitals, semicolons, a slash more; other methods, and \
         headers that name one",
        "400, 401, 404 or 405, never data.",
        &["tests/tokens.rs::paths_that_are_nearly_ours_give_no_data"],
    ),
    attack(
        "Another user's id",
        "404, as if there were nobody, and an entry; many at once are counted.",
        &[
            "tests/tokens/people.rs::other_peoples_ids_lead_nowhere",
            "tests/tokens/people.rs::denials_of_one_second_are_counted_not_listed",
            "tests/description/walk.rs::no_route_shows_one_user_anything_of_another",
        ],
    ),
    attack(
        "Tokens that a library nobody here wrote has made, good and bad",
        "Judged as our own are.",
        &["tests/tokens/library.rs::tokens_of_another_library_are_judged_alike"],
    ),
    attack(
        "An API key cut short, made up, revoked, over, without the scope",
        "401 or 403, the same words whatever it is.",
        &[
            "tests/keys.rs::whatever_is_wrong_with_a_key_the_answer_is_the_same_and_only_counted",
            "tests/keys.rs::a_key_is_refused_from_the_moment_it_is_revoked",
            "tests/keys.rs::a_key_opens_what_its_scopes_say_and_nothing_else",
        ],
    ),
];
