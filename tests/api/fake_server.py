"""A server of docs/worker-protocol.md in memory, to which a real `et worker` is held."""
import hashlib
import json
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

TOKEN = "worker-secret"
DEADLINE = 180  # seconds until a wait counts as failed


class Job:
    """One attempt at one job, and all that the worker said about it."""

    def __init__(self, kind, spec, inputs=None, attempt=1, **more):
        self.id = hashlib.md5(f"{kind}{id(self)}".encode()).hexdigest()
        self.attempt = attempt
        self.token = "lease-" + self.id
        self.inputs = inputs or {}
        self.lease = {"job": self.id, "attempt": attempt, "token": self.token, "kind": kind, "heartbeat_ms": 100,
                      "lease_ms": 5000, "max_seconds": 0, "allow_private_urls": True, "spec": spec,
                      "inputs": [{"name": n, "size": len(b), "sha256": hashlib.sha256(b).hexdigest()}
                                 for n, b in self.inputs.items()]}
        self.lease.update(more)
        self.logs = {"stdout": b"", "stderr": b""}
        self.points, self.progress, self.blobs, self.puts = {}, None, {}, []
        self.heartbeats = self.late_beats = 0
        self.cancel = self.gone = False
        self.slow_finish = False  # answered after two beats, and one that met the finished attempt
        self.finish = None
        self.answered = False


class Server:
    def __init__(self):
        self.changed = threading.Condition()
        self.waiting, self.jobs, self.requests = [], {}, []
        self.files = {}      # path -> (status, headers, bytes, length said)
        self.swallow = 0     # so many answers to POST /leases are lost on the way
        self.port = 0
        self.httpd = None
        self.start()

    def start(self):
        fake = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def log_message(self, *_):
                pass

            def handle_any(self):
                length = int(self.headers.get("Content-Length") or 0)
                body = self.rfile.read(length)
                if len(body) == length:
                    fake.answer(self, body)

            do_GET = do_POST = do_PUT = handle_any

        class Listener(ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 32

            def handle_error(self, request, client_address):
                pass  # a worker that went away is no news here

        self.httpd = Listener(("127.0.0.1", self.port), Handler)
        self.port = self.httpd.server_port
        threading.Thread(target=self.httpd.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    def stop(self):
        """Nobody listens any more; connections that are kept answer nothing."""
        httpd, self.httpd = self.httpd, None
        httpd.shutdown()
        httpd.server_close()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}"

    def offer(self, job):
        with self.changed:
            self.jobs[job.id, job.attempt] = job
            self.waiting.append(job)
            self.changed.notify_all()
        return job

    def wait(self, what, condition):
        with self.changed:
            if not self.changed.wait_for(condition, DEADLINE):
                raise AssertionError(f"no {what} within {DEADLINE} s")

    def wait_end(self, job):
        self.wait("end of the job", lambda: job.finish)
        return job.finish

    # ---- answers ----

    def answer(self, h, body):
        path = urlsplit(h.path).path
        if self.httpd is None:
            h.close_connection = True
            return
        if path.startswith("/files/"):
            return self.answer_file(h, path)
        if path == "/leases":
            return self.answer_lease(h, json.loads(body))
        match = re.fullmatch(r"/leases/(\w+)/(\d+)/(.+)", path)
        job = match and self.jobs.get((match[1], int(match[2])))
        if not job or h.headers.get("Authorization") != "Bearer " + job.token:
            return self.reply(h, 403 if job else 404, {})
        with self.changed:
            status, answer = self.answer_job(h, job, match[3], body)
            self.changed.notify_all()
        self.reply(h, status, answer)

    def answer_file(self, h, path):
        status, headers, data, length = self.files.get(path, (404, {}, b"", 0))
        h.send_response(status)
        for name, value in headers.items():
            h.send_header(name, value)
        h.send_header("Content-Length", str(length))
        h.end_headers()
        h.wfile.write(data)
        h.close_connection = len(data) != length

    def answer_lease(self, h, request):
        if h.headers.get("Authorization") != "Bearer " + TOKEN:
            return self.reply(h, 403, {"title": "not a worker's token"})
        with self.changed:
            self.requests.append(request)
            self.changed.notify_all()
            if self.swallow:
                self.swallow -= 1
                h.close_connection = True
                return None
            self.changed.wait_for(lambda: self.waiting or self.httpd is None, request["wait_ms"] / 1000)
            if self.httpd is None:
                h.close_connection = True
                return None
            taken, self.waiting = self.waiting[:request["slots"]], self.waiting[request["slots"]:]
        return self.reply(h, 200 if taken else 204, {"jobs": [j.lease for j in taken]})

    def answer_job(self, h, job, what, body):
        if what.startswith("inputs/"):
            data = job.inputs.get(what[len("inputs/"):])
            return (200, data) if data is not None else (404, {})
        if job.gone or (job.finish and what != "finish"):
            job.late_beats += what == "heartbeat"
            self.changed.notify_all()
            return 409, {"title": "over"}
        if what == "heartbeat":
            job.heartbeats += 1
            return 200, {"cancel": job.cancel}
        if what == "log":
            query = parse_qs(urlsplit(h.path).query)
            stream, offset = query["stream"][0], int(query["offset"][0])
            stored = job.logs[stream]
            if offset <= len(stored):
                job.logs[stream] = stored + body[len(stored) - offset:]
            return (200 if offset <= len(stored) else 416), {"offset": len(job.logs[stream])}
        if what == "metrics":
            said = json.loads(body)
            for point in said["points"]:
                job.points[point["name"], point["step"]] = point["value"]
            job.progress = said.get("progress", job.progress)
            return 200, {}
        if what.startswith("blobs/"):
            digest = hashlib.sha256(body).hexdigest()
            if h.headers.get("ET-Sha256") != digest:
                return 400, {"title": "other bytes"}
            job.blobs[what[len("blobs/"):]] = body
            job.puts.append(what[len("blobs/"):])
            return 200, {"sha256": digest, "size": len(body)}
        if what == "finish":
            if job.slow_finish:
                beats = job.heartbeats
                if not self.changed.wait_for(lambda: job.heartbeats >= beats + 2, DEADLINE):
                    return 400, {"title": "no heart beats"}
            job.finish = job.finish or json.loads(body)
            if job.slow_finish and not self.changed.wait_for(lambda: job.late_beats, DEADLINE):
                return 400, {"title": "no heart beats"}
            job.answered = True
            return 200, {}
        return 404, {}

    @staticmethod
    def reply(h, status, answer):
        data = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
        data = b"" if status == 204 else data
        h.send_response(status)
        h.send_header("Content-Type", "application/json")
        if status != 204:
            h.send_header("Content-Length", str(len(data)))
        h.end_headers()
        h.wfile.write(data)
