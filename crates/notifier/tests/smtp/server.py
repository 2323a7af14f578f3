"""A mail server for tests. Prints its port, then each mail that it took, as JSON on a line.

Its argument says how it answers: `take`, `busy` (451), `refuse` (550), `login` (535), or `hang` after the mail was sent.
Ends when standard input does.
"""

import asyncio
import email
import email.policy
import json
import sys

from aiosmtpd.smtp import SMTP, AuthResult


class Handler:
    def __init__(self, mode):
        self.mode = mode

    async def handle_DATA(self, server, session, envelope):
        match self.mode:
            case "busy":
                return "451 Try again later, leads@example.com"
            case "refuse":
                return "550 No such mailbox, leads@example.com"
            case "hang":
                await asyncio.sleep(3600)
        mail = email.message_from_bytes(envelope.content, policy=email.policy.default)
        parts = {part.get_content_type(): part.get_content() for part in mail.walk() if not part.is_multipart()}
        taken = {"from": envelope.mail_from, "to": envelope.rcpt_tos, "headers": dict(mail.items()), "parts": parts}
        print(json.dumps(taken), flush=True)
        return "250 OK"


async def main():
    mode = sys.argv[1]
    options = {}
    if mode == "login":
        options = {
            "authenticator": lambda *_: AuthResult(success=False, handled=False),
            "auth_required": True,
            "auth_require_tls": False,
        }
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: SMTP(Handler(mode), **options), "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await loop.run_in_executor(None, sys.stdin.read)


asyncio.run(main())
