// A service that is told of what happens, on Express: what app.py does, by the same rules, in the other language.
"use strict";
const fs = require("node:fs");
let express, Webhook, verifyToken;
try {
    express = require("express");
    ({ Webhook } = require("svix"));
    if (process.env.CLERK_API) ({ verifyToken } = require("@clerk/backend"));
} catch (cause) {
    console.log(cause.message.split("\n")[0]);
    process.exit(77);
}

const [path, host, port] = process.argv.slice(2);
const webhook = new Webhook(process.env.SECRET);
const users = new Map();

function apply(call) {
    if (call.method === "DELETE") users.delete(call.user);
    else if (call.method !== "EVENT") users.set(call.user, call.body);
}

// The last line may be torn: its call was never answered, and the line goes.
const noted = fs.existsSync(path) ? fs.readFileSync(path) : Buffer.alloc(0);
const whole = noted.subarray(0, noted.lastIndexOf("\n") + 1);
if (whole.length < noted.length) fs.truncateSync(path, whole.length);
whole.toString().split("\n").filter(Boolean).forEach((line) => apply(JSON.parse(line)));
const notes = fs.openSync(path, "a", 0o600);

function take(call) {
    const line = JSON.stringify(call) + "\n";
    fs.writeSync(notes, line);
    fs.fsyncSync(notes);
    apply(call);
    process.stdout.write(line);
}

const refusal = (status, why) => Object.assign(new Error(why), { status });

/** The id of a signed call. */
function verified(request) {
    try {
        webhook.verify(request.body, request.headers);
    } catch (cause) {
        throw refusal(400, `signature: ${cause.message}`);
    }
    return request.get("webhook-id") ?? request.get("svix-id");
}

/** Lets nobody through but the user themselves, where tokens are asked for. */
async function signedIn(request, user) {
    if (!process.env.CLERK_API) return;
    const [scheme, token] = (request.get("authorization") ?? "").split(" ");
    if (scheme !== "Bearer") throw refusal(401, "no token");
    let claims;
    try {
        claims = await verifyToken(token, { secretKey: process.env.CLERK_KEY, apiUrl: process.env.CLERK_API });
    } catch (cause) {
        throw refusal(401, `token: ${cause.message}`);
    }
    if (claims.sub !== user) throw refusal(403, "another user's token");
}

const app = express();
app.use(express.raw({ type: () => true, limit: "2mb" }));

app.post("/hooks", (request, response) => {
    const id = verified(request);
    take({ method: "EVENT", id, body: JSON.parse(request.body) });
    response.sendStatus(204);
});

app.post("/users", async (request, response) => {
    const body = JSON.parse(request.body);
    const user = body.clerk_user_id;
    await signedIn(request, user);
    const known = users.get(user);
    take({ method: "POST", user, body: known ?? body });
    response.status(known ? 200 : 201).json(users.get(user));
});

app.patch("/users/:user", async (request, response) => {
    const { user } = request.params;
    await signedIn(request, user);
    if (!users.has(user)) throw refusal(404, "no such user");
    take({ method: "PATCH", user, body: JSON.parse(request.body) });
    response.json(users.get(user));
});

app.delete("/users/webhook/:user", (request, response) => {
    const { user } = request.params;
    const id = verified(request);
    const event = JSON.parse(request.body);
    if (event.type !== "user.deleted" || event.data.id !== user) throw refusal(422, "about something else");
    if (!users.has(user)) throw refusal(404, "no such user");
    take({ method: "DELETE", user, id });
    response.sendStatus(204);
});

app.use((cause, request, response, next) => response.status(cause.status ?? 500).json({ detail: cause.message }));

const server = app.listen(Number(port), host, (cause) => {
    if (cause) throw cause;
    console.log(server.address().port);
});
