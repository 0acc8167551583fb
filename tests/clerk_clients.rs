//! The stand-in for Clerk, judged by the clients that Clerk itself publishes, for Node and for Python: what they read out of its
//! answers, and what they make of its refusals. Where one is not installed its test says so and passes:
//! `npm install @clerk/backend` (found by way of `NODE_PATH`), `pip install clerk-backend-api`.
#![allow(clippy::unwrap_used, missing_docs)]

use std::io::Write as _;
use std::process::{Command, Stdio};

use rollbook::clock::{Clock, Timestamp};
use rollbook::sample::{self, Scene};
use rollbook::stand_in::StandIn;
use serde_json::{Value, json};

/// What a script says when what it needs is not installed.
const NOT_HERE: i32 = 77;

/// How many people there are.
const PEOPLE: usize = 5;

/// Reads `{url, key, user, email, session}` and writes what it was told.
const NODE: &str = r#"
let clerk;
try { clerk = require("@clerk/backend"); } catch (cause) { console.log(cause.code); process.exit(77); }
const { url, key, user, email, session } = JSON.parse(require("fs").readFileSync(0, "utf8"));
const client = (secretKey) => clerk.createClerkClient({ secretKey, apiUrl: url, telemetry: { disabled: true } });
const refusal = async (asked) => {
    try { await asked; return null; } catch (cause) { return [cause.status, cause.errors[0].code]; }
};
const ids = (page) => page.data.map((user) => user.id);
(async () => {
    const { users, sessions, actorTokens } = client(key);
    const actor = await actorTokens.create({ userId: user, actor: { sub: "user_support" } });
    const token = await sessions.getToken(session, undefined, 90);
    const claims = await clerk.verifyToken(token.jwt, { secretKey: key, apiUrl: url });
    const one = await users.getUser(user);
    const said = {
        newest: ids(await users.getUserList()),
        first: ids(await users.getUserList({ orderBy: "+created_at", limit: 2 })),
        second: ids(await users.getUserList({ orderBy: "+created_at", limit: 2, offset: 2 })),
        found: ids(await users.getUserList({ emailAddress: [email] })),
        count: await users.getCount(),
        counted: await users.getCount({ userId: [user] }),
        one: [one.id, one.primaryEmailAddress.emailAddress, one.createdAt, one.privateMetadata.ledger],
        missing: await refusal(users.getUser("user_nobody")),
        badOrder: await refusal(users.getUserList({ orderBy: "shoe_size" })),
        otherKey: await refusal(client("sk_test_another").users.getCount()),
        actor: [actor.status, actor.userId, actor.actor.sub],
        url: actor.url,
        revoked: (await actorTokens.revoke(actor.id)).status,
        revokedAgain: await refusal(actorTokens.revoke(actor.id)),
        sessions: (await sessions.getSessionList({ userId: user })).data.map((session) => session.id),
        session: [(await sessions.getSession(session)).status, (await sessions.getSession(session)).userId],
        noSession: await refusal(sessions.getToken("sess_nothing")),
        claims: [claims.sub, claims.sid, claims.iss, claims.exp - claims.iat],
    };
    process.stdout.write(JSON.stringify(said));
})();
"#;

/// The same.
const PYTHON: &str = r#"
import json, sys
try:
    from clerk_backend_api import Clerk
    from clerk_backend_api.models import ClerkBaseError
    from clerk_backend_api.security.types import VerifyTokenOptions
    from clerk_backend_api.security.verifytoken import verify_token
except ImportError as cause:
    sys.exit(print(cause) or 77)
given = json.load(sys.stdin)
url, key, user, email, session = (given[name] for name in ("url", "key", "user", "email", "session"))
client = lambda key: Clerk(bearer_auth=key, server_url=url + "/v1")
def refusal(ask):
    try:
        ask()
    except ClerkBaseError as cause:
        return [cause.status_code, json.loads(cause.body)["errors"][0]["code"]]
clerk = client(key)
def ids(**asked):
    return [user.id for user in clerk.users.list(request=asked)]
actor = clerk.actor_tokens.create(request={"user_id": user, "actor": {"sub": "user_support"}})
token = clerk.sessions.create_token(session_id=session, expires_in_seconds=90)
claims = verify_token(token.jwt, VerifyTokenOptions(secret_key=key, api_url=url))
one = clerk.users.get(user_id=user)
addresses = {address.id: address.email_address for address in one.email_addresses}
json.dump({
    "newest": ids(),
    "first": ids(order_by="+created_at", limit=2),
    "second": ids(order_by="+created_at", limit=2, offset=2),
    "found": ids(email_address=[email]),
    "count": clerk.users.count(request={}).total_count,
    "counted": clerk.users.count(request={"user_id": [user]}).total_count,
    "one": [one.id, addresses[one.primary_email_address_id], one.created_at, one.private_metadata["ledger"]],
    "missing": refusal(lambda: clerk.users.get(user_id="user_nobody")),
    "badOrder": refusal(lambda: clerk.users.list(request={"order_by": "shoe_size"})),
    "otherKey": refusal(lambda: client("sk_test_another").users.count(request={})),
    "actor": [actor.status.value, actor.user_id, "user_support"],
    "url": actor.url,
    "revoked": clerk.actor_tokens.revoke(actor_token_id=actor.id).status.value,
    "revokedAgain": refusal(lambda: clerk.actor_tokens.revoke(actor_token_id=actor.id)),
    "sessions": [session.id for session in clerk.sessions.list(user_id=user)],
    "session": [(it := clerk.sessions.get(session_id=session)).status.value, it.user_id],
    "noSession": refusal(lambda: clerk.sessions.create_token(session_id="sess_nothing")),
    "claims": [claims["sub"], claims["sid"], claims["iss"], claims["exp"] - claims["iat"]],
}, sys.stdout)
"#;

/// What the script writes when it reads `input`; `None`, and a line for whoever reads the tests' output, when it cannot run here.
fn run(program: &str, flag: &str, script: &str, input: &Value, what: &str) -> Option<Value> {
    #[expect(clippy::explicit_write, reason = "a passing test keeps to itself what it prints by macro")]
    let skip = |why: &str| writeln!(std::io::stderr(), "SKIPPED {what}: {}", why.trim()).unwrap();
    // Given as a file: what a script is to read may wait for nobody.
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(input.to_string().as_bytes()).unwrap();
    std::io::Seek::rewind(&mut file).unwrap();
    let mut command = Command::new(program);
    let command = command.args([flag, script]).stdin(Stdio::from(file)).stderr(Stdio::inherit());
    let output = match command.output() {
        Ok(output) => output,
        Err(cause) => {
            skip(&format!("{program}: {cause}"));
            return None;
        }
    };
    if output.status.code() == Some(NOT_HERE) {
        skip(&String::from_utf8_lossy(&output.stdout));
        return None;
    }
    assert!(output.status.success(), "{what}: {}", output.status);
    Some(serde_json::from_slice(&output.stdout).unwrap())
}

/// Five people who signed up an hour apart, each with a session.
async fn stand_in(now: Timestamp) -> (StandIn, Vec<Scene>) {
    let stand_in = StandIn::start("ins_judged", Clock::system()).await.unwrap();
    let begin = now.plus_millis(-24 * 3_600_000);
    let scene = |(number, hour): (usize, i64)| {
        let since = begin.plus_millis(hour * 3_600_000);
        (Scene::new(b"judged", begin).person(number, since).visit(0, since), since)
    };
    let people: Vec<_> = (0..PEOPLE).zip(0..).map(scene).collect();
    for (scene, since) in &people {
        for kind in ["user.created", "session.created"] {
            stand_in.apply(&sample::event(kind, scene, *since).unwrap()).unwrap();
        }
    }
    (stand_in, people.into_iter().map(|(scene, _)| scene).collect())
}

async fn judge(program: &str, flag: &str, script: &str, what: &str) {
    let (stand_in, people) = stand_in(Clock::system().now()).await;
    let (user, session, email) = (people[1].user_id(), people[1].session_id(), people[1].email());
    let input = json!({
        "url": stand_in.url, "key": stand_in.secret_key(), "user": user, "email": email, "session": session,
    });
    let Some(mut said) = run(program, flag, script, &input, what) else { return };
    let link = said.as_object_mut().unwrap().remove("url").unwrap();
    let ids = |numbers: &[usize]| numbers.iter().map(|number| people[*number].user_id()).collect::<Vec<_>>();
    let whole = stand_in.users().remove(1);
    let expected = json!({
        "newest": ids(&[4, 3, 2, 1, 0]), "first": ids(&[0, 1]), "second": ids(&[2, 3]), "found": ids(&[1]),
        "count": PEOPLE, "counted": 1, "one": [user, email, whole["created_at"], "L-4001"],
        "missing": [404, "resource_not_found"], "badOrder": [422, "form_param_value_invalid"],
        "otherKey": [401, "clerk_key_invalid"],
        "actor": ["pending", user, "user_support"], "revoked": "revoked",
        "revokedAgain": [400, "actor_token_cannot_be_revoked_code"],
        "sessions": [session], "session": ["active", user], "noSession": [404, "resource_not_found"],
        "claims": [user, session, stand_in.url, 90],
    });
    assert_eq!(said, expected, "{what}");
    let page = reqwest::get(link.as_str().unwrap()).await.unwrap();
    assert_eq!(page.status(), 410, "{what}: the link was taken back");
}

#[tokio::test(flavor = "multi_thread")]
async fn clerks_client_for_node_takes_it_for_clerk() {
    judge("node", "-e", NODE, "@clerk/backend").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn clerks_client_for_python_takes_it_for_clerk() {
    judge("python3", "-c", PYTHON, "clerk-backend-api").await;
}
