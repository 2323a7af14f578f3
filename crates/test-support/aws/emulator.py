"""An AWS for tests: moto's Secrets Manager, SQS, SES and CloudWatch behind one address.

What it adds to moto:

- CloudWatch's CBOR protocol, the only one that aws-sdk-cloudwatch speaks; moto knows the JSON one.
- An AWS account for each access key, which is the account's number: tests share a server and see nothing of each other.
- A record of all calls and metrics, and faults on request, below `/_emulator/`.

Prints its address on one line when it is ready. Ends when standard input does, so that it never outlives the test.
"""

import gzip
import io
import json
import os
import sys
import threading
from collections import defaultdict
from dataclasses import dataclass, field

import cbor2
from moto.core.utils import unix_time_millis
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, MotoRequestHandler, create_backend_app
from moto.ses.models import ses_backends
from moto.sqs.models import sqs_backends
from werkzeug.serving import make_server

SEND_EMAIL_PATH = "/v2/email/outbound-emails"
CBOR_PREFIX = "/service/GraniteServiceVersion20100801/operation/"

# What each kind of fault answers in place of the service.
REFUSALS = {
    "unavailable": ("500 Internal Server Error", "InternalFailure", "The service is unavailable."),
    "denied": ("400 Bad Request", "AccessDeniedException", "The role is not authorized to perform this."),
}


@dataclass
class Account:
    """What is known of one test's calls, and what is to go wrong with the next."""

    requests: list = field(default_factory=list)
    metrics: list = field(default_factory=list)
    faults: dict = field(default_factory=lambda: defaultdict(list))


@dataclass
class Call:
    """A request to AWS."""

    account: str
    region: str
    service: str
    operation: str
    body: bytes
    is_cbor: bool

    @classmethod
    def read(cls, environ):
        # AWS4-HMAC-SHA256 Credential=<key>/<day>/<region>/<service>/aws4_request, SignedHeaders=…, Signature=…
        credential = environ["HTTP_AUTHORIZATION"].split("Credential=", 1)[1].split(",", 1)[0]
        account, _, region, service, _ = credential.split("/")
        body = read_body(environ)
        if environ.pop("HTTP_CONTENT_ENCODING", None) == "gzip":
            body = gzip.decompress(body)
        path = environ["PATH_INFO"]
        is_cbor = path.startswith(CBOR_PREFIX)
        if is_cbor:
            operation = path.removeprefix(CBOR_PREFIX)
            body = json.dumps(cbor2.loads(body)).encode()
        elif path == SEND_EMAIL_PATH:
            operation = "SendEmail"
        else:
            operation = environ.get("HTTP_X_AMZ_TARGET", "").rsplit(".", 1)[-1]
        return cls(account, region, service, operation, body, is_cbor)


class Emulator:
    """The WSGI application."""

    def __init__(self):
        self.moto = DomainDispatcherApplication(create_backend_app)
        self.accounts = defaultdict(Account)
        self.lock = threading.Lock()

    def __call__(self, environ, start_response):
        if environ["PATH_INFO"].startswith("/_emulator/"):
            answer = self.control(environ["PATH_INFO"].removeprefix("/_emulator/"), json.loads(read_body(environ)))
            return respond(start_response, "200 OK", "application/json", json.dumps(answer).encode())
        call = Call.read(environ)
        # The preparations of a test are neither recorded nor disturbed.
        fault = None if "HTTP_X_EMULATOR_SETUP" in environ else self.record(call)
        status, body = self.answer(call, environ, fault)
        if call.is_cbor:
            body = cbor2.dumps(json.loads(body or b"{}"))
        if fault == "garbled":
            body = body[:-1]
        content_type = "application/cbor" if call.is_cbor else "application/x-amz-json-1.1"
        return respond(start_response, status, content_type, body)

    def record(self, call):
        """Notes the call and takes its fault, when there is one."""
        with self.lock:
            account = self.accounts[call.account]
            account.requests.append(f"{call.service}.{call.operation}")
            if account.faults[call.service]:
                return account.faults[call.service].pop(0)
            if call.operation == "PutMetricData":
                request = json.loads(call.body)
                for metric in request["MetricData"]:
                    account.metrics.append({"Namespace": request["Namespace"], **metric})
            return None

    def answer(self, call, environ, fault):
        if fault in REFUSALS:
            status, code, message = REFUSALS[fault]
            return status, json.dumps({"__type": code, "message": message}).encode()
        if fault != "partial":
            return self.ask_moto(call, environ)
        request = json.loads(call.body)
        lost = request["Entries"].pop()
        call.body = json.dumps(request).encode()
        result = {}
        if request["Entries"]:
            status, body = self.ask_moto(call, environ)
            result = json.loads(body)
        failure = {"Id": lost["Id"], "SenderFault": False, "Code": "InternalError", "Message": "Try again."}
        return "200 OK", json.dumps({"Successful": [], **result, "Failed": [failure]}).encode()

    def ask_moto(self, call, environ):
        if call.is_cbor:
            environ.pop("HTTP_SMITHY_PROTOCOL", None)
            environ.pop("HTTP_ACCEPT", None)
            environ["HTTP_X_AMZ_TARGET"] = f"GraniteServiceVersion20100801.{call.operation}"
            environ["CONTENT_TYPE"] = "application/x-amz-json-1.0"
            environ["PATH_INFO"] = environ["REQUEST_URI"] = environ["RAW_URI"] = "/"
        environ["HTTP_X_MOTO_ACCOUNT_ID"] = call.account
        environ["wsgi.input"] = io.BytesIO(call.body)
        environ["CONTENT_LENGTH"] = str(len(call.body))
        answer = {}

        def keep_status(status, headers, exc_info=None):
            answer["status"] = status

        body = b"".join(self.moto(environ, keep_status))
        return answer["status"], body

    def control(self, verb, request):
        with self.lock:
            account = self.accounts[request["account"]]
            match verb:
                case "fail_next":
                    account.faults[request["service"]] += [request["fault"]] * request["times"]
                    return None
                case "requests":
                    return account.requests
                case "metrics":
                    return account.metrics
        match verb:
            case "verify_sender":
                ses_backends[request["account"]][request["region"]].verify_email_identity(request["sender"])
                return None
            case "mails":
                sent = ses_backends[request["account"]][request["region"]].sent_messages
                return [str({**vars(message)}) for message in sent]
            case "messages":
                return [describe(message) for message in messages_of(request)]
            case "release":
                for message in messages_of(request):
                    message.visible_at = message.delayed_until = 0
                return None
        raise ValueError(verb)


def messages_of(request):
    """All messages of a queue, the hidden and delayed ones too, oldest first."""
    backend = sqs_backends[request["account"]][request["region"]]
    return list(backend.queues[request["queue"].rsplit("/", 1)[-1]]._messages)


def describe(message):
    wait_millis = max(message.visible_at, message.delayed_until) - unix_time_millis()
    return {
        "body": message.body,
        "receives": message.approximate_receive_count,
        "hidden_seconds": max(wait_millis / 1000, 0.0),
    }


def read_body(environ):
    return environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))


def respond(start_response, status, content_type, body):
    headers = [("Content-Type", content_type), ("Content-Length", str(len(body)))]
    if content_type == "application/cbor":
        headers.append(("smithy-protocol", "rpc-v2-cbor"))
    start_response(status, headers)
    return [body]


class QuietRequestHandler(MotoRequestHandler):
    """Does not log requests; failures of moto itself are still written to standard error."""

    def log_request(self, code="-", size="-"):
        pass


def end_with_standard_input():
    sys.stdin.buffer.read()
    os._exit(0)


def main():
    threading.Thread(target=end_with_standard_input, daemon=True).start()
    server = make_server("127.0.0.1", 0, Emulator(), threaded=True, request_handler=QuietRequestHandler)
    os.environ["MOTO_PORT"] = str(server.port)
    print(f"127.0.0.1:{server.port}", flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
