"""A service that is told of what happens, on FastAPI, as its authors would write it: signatures are checked by Svix' own
library over the bytes that came, session tokens by Clerk's own. `app.py FILE HOST PORT` notes each call that it takes in
the file, on the disk before it is answered, and prints the same line afterwards; at the beginning it prints where it
listens. What it knows comes from the file alone, so it can be killed at any moment. The settings are in the environment:
`SECRET`; `CLERK_API` and `CLERK_KEY` where calls have to carry a session token of the user."""

import json
import os
import socket
import sys

try:
    import uvicorn
    from fastapi import FastAPI, HTTPException, Request, Response
    from svix.webhooks import Webhook, WebhookVerificationError

    if "CLERK_API" in os.environ:
        from clerk_backend_api.security.types import TokenVerificationError, VerifyTokenOptions
        from clerk_backend_api.security.verifytoken import verify_token
except ImportError as cause:
    sys.exit(print(cause, flush=True) or 77)

path, host, port = sys.argv[1], sys.argv[2], int(sys.argv[3])
webhook = Webhook(os.environ["SECRET"])
users = {}


def apply(call):
    """What a call that was taken has changed."""
    if call["method"] == "DELETE":
        users.pop(call["user"], None)
    elif call["method"] != "EVENT":
        users[call["user"]] = call["body"]


def whole_lines():
    """The calls that were noted. The last line may be torn: its call was never answered, and the line goes."""
    with open(path, "a+b") as file:
        file.seek(0)
        text = file.read()
        whole = text[: text.rfind(b"\n") + 1]
        file.truncate(len(whole))
    return [json.loads(line) for line in whole.splitlines()]


for call in whole_lines():
    apply(call)
notes = open(path, "ab", buffering=0)


def take(call):
    line = json.dumps(call)
    notes.write(line.encode() + b"\n")
    os.fsync(notes.fileno())
    apply(call)
    print(line, flush=True)


def verified(request, body):
    """The id of a signed call."""
    try:
        webhook.verify(body, dict(request.headers))
    except WebhookVerificationError as cause:
        raise HTTPException(400, f"signature: {cause}")
    return request.headers.get("webhook-id") or request.headers["svix-id"]


def signed_in(request, user):
    """Lets nobody through but the user themselves, where tokens are asked for."""
    if "CLERK_API" not in os.environ:
        return
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if scheme != "Bearer":
        raise HTTPException(401, "no token")
    options = VerifyTokenOptions(secret_key=os.environ["CLERK_KEY"], api_url=os.environ["CLERK_API"])
    try:
        claims = verify_token(token, options)
    except TokenVerificationError as cause:
        raise HTTPException(401, f"token: {cause}")
    if claims["sub"] != user:
        raise HTTPException(403, "another user's token")


app = FastAPI(openapi_url=None)


@app.post("/hooks", status_code=204)
async def hook(request: Request):
    body = await request.body()
    id = verified(request, body)
    take({"method": "EVENT", "id": id, "body": json.loads(body)})


@app.post("/users", status_code=201)
async def create(request: Request, response: Response):
    body = json.loads(await request.body())
    user = body["clerk_user_id"]
    signed_in(request, user)
    if user in users:
        response.status_code = 200
    take({"method": "POST", "user": user, "body": users.get(user, body)})
    return users[user]


@app.patch("/users/{user}")
async def update(user: str, request: Request):
    body = json.loads(await request.body())
    signed_in(request, user)
    if user not in users:
        raise HTTPException(404, "no such user")
    take({"method": "PATCH", "user": user, "body": body})
    return users[user]


@app.delete("/users/webhook/{user}", status_code=204)
async def delete(user: str, request: Request):
    body = await request.body()
    id, event = verified(request, body), json.loads(body)
    if event["type"] != "user.deleted" or event["data"]["id"] != user:
        raise HTTPException(422, "about something else")
    if user not in users:
        raise HTTPException(404, "no such user")
    take({"method": "DELETE", "user": user, "id": id})


listener = socket.socket()
listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
listener.bind((host, port))
listener.listen()
print(listener.getsockname()[1], flush=True)
uvicorn.Server(uvicorn.Config(app, log_level="error")).run(sockets=[listener])
