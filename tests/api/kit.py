"""What the tests of the resources share: a web server for URLs, a worker in
Python that speaks docs/worker-protocol.md, and small prototxts."""

import hashlib
import http.client
import http.server
import json
import secrets
import threading
import unittest
import urllib.parse

import harness

SOLVER = """net: "/home/me/net.prototxt"
test_iter: 2
test_interval: 10
base_lr: 0.01
lr_policy: "fixed"
max_iter: 100
snapshot_prefix: "/home/me/snapshots"
solver_mode: CPU
"""

NET = """name: "letters"
layer { name: "train" type: "ImageData" top: "data" top: "label" include { phase: TRAIN }
  image_data_param { source: "/home/me/list.txt" batch_size: 4 is_color: false new_height: 8 new_width: 8 } }
layer { name: "test" type: "ImageData" top: "data" top: "label" include { phase: TEST }
  image_data_param { source: "/home/me/test.txt" batch_size: 4 is_color: false new_height: 8 new_width: 8 } }
layer { name: "ip" type: "InnerProduct" bottom: "data" top: "ip" inner_product_param { num_output: 2 } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "ip" bottom: "label" top: "loss" }
"""

DATA_NET = """name: "digits"
layers { name: "d" type: DATA top: "data" top: "label" include: { phase: TRAIN }
  data_param { source: "mnist_train" backend: LMDB batch_size: 4 } transform_param { crop_size: 8 } }
layers { name: "d" type: DATA top: "data" top: "label" include: { phase: TEST }
  data_param { source: "mnist_test" backend: LMDB batch_size: 4 } transform_param { crop_size: 8 } }
layers { name: "ip" type: INNER_PRODUCT bottom: "data" top: "ip" inner_product_param { num_output: 2 } }
layers { name: "loss" type: SOFTMAX_LOSS bottom: "ip" bottom: "label" top: "loss" }
"""

CLASSIFIER = """name: "letters"
input: "data"
input_dim: 1
input_dim: 1
input_dim: 8
input_dim: 8
layer { name: "ip" type: "InnerProduct" bottom: "data" top: "ip" inner_product_param { num_output: 2 } }
layer { name: "prob" type: "Softmax" bottom: "ip" top: "prob" }
"""


def sha1(data):
    return hashlib.sha1(data if isinstance(data, bytes) else data.encode()).hexdigest()


def sha256(data):
    return hashlib.sha256(data).hexdigest()


class Reply(harness.Reply):
    @property
    def text(self):
        return self.body.decode()


def multipart(parts):
    """parts: (name, value) or (name, file name, bytes)."""
    edge = secrets.token_hex(16)
    out = b""
    for part in parts:
        head = f'--{edge}\r\nContent-Disposition: form-data; name="{part[0]}"'
        if len(part) == 3:
            head += f'; filename="{part[1]}"\r\nContent-Type: application/octet-stream'
        value = part[-1]
        out += head.encode() + b"\r\n\r\n" + (value if isinstance(value, bytes) else value.encode()) + b"\r\n"
    return out + f"--{edge}--\r\n".encode(), f"multipart/form-data; boundary={edge}"


class Client:
    """Requests to a server, as one user (Basic) or with a token (Bearer)."""

    def __init__(self, url, user=None, password=None, token=None):
        parts = urllib.parse.urlsplit(url)
        self.host, self.port = parts.hostname, parts.port
        self.authorization = None
        if user:
            self.authorization = harness.basic(user, password)
        if token:
            self.authorization = "Bearer " + token

    def request(self, method, path, body=None, headers=None, parts=None, data=None, timeout=60):
        headers = dict(headers or {})
        if self.authorization and "Authorization" not in headers:
            headers["Authorization"] = self.authorization
        if body is not None:
            data, headers["Content-Type"] = json.dumps(body).encode(), "application/json"
        if parts is not None:
            data, headers["Content-Type"] = multipart(parts)
        if isinstance(data, str):
            data = data.encode()
        connection = http.client.HTTPConnection(self.host, self.port, timeout=timeout)
        try:
            connection.request(method, path, data, headers)
            reply = connection.getresponse()
            return Reply(reply.status, reply.headers, reply.read())
        finally:
            connection.close()

    def get(self, path, **more):
        return self.request("GET", path, **more)

    def post(self, path, body=None, **more):
        return self.request("POST", path, body, **more)

    def put(self, path, data, **more):
        return self.request("PUT", path, data=data, **more)

    def delete(self, path, **more):
        return self.request("DELETE", path, **more)


class Origin:
    """A web server on a free port: files by path; asked: the paths that clients wanted."""

    def __init__(self):
        files, asked = self.files, self.asked = {}, []

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                asked.append(self.path)
                data = files.get(self.path)
                self.send_response(404 if data is None else 200)
                self.send_header("Content-Length", str(len(data or b"")))
                self.end_headers()
                self.wfile.write(data or b"")

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()

    def put(self, path, data):
        self.files[path] = data if isinstance(data, bytes) else data.encode()
        return self.url + path

    def close(self):
        self.server.shutdown()
        self.server.server_close()


class Lease:
    def __init__(self, url, job):
        self.job = job
        self.id, self.attempt, self.kind, self.spec = job["job"], job["attempt"], job["kind"], job["spec"]
        self.inputs = {i["name"]: i for i in job["inputs"]}
        self.client = Client(url, token=job["token"])
        self.base = f"/leases/{self.id}/{self.attempt}"

    def heartbeat(self):
        return self.client.post(self.base + "/heartbeat", {})

    def input(self, name, **more):
        return self.client.get(f"{self.base}/inputs/{name}", **more)

    def log(self, text, offset=0, stream="stderr"):
        return self.client.put(f"{self.base}/log?stream={stream}&offset={offset}", text)

    def metrics(self, points=(), progress=None):
        body = {"points": list(points)}
        if progress is not None:
            body["progress"] = progress
        return self.client.post(self.base + "/metrics", body)

    def put(self, name, data, **more):
        return self.client.put(f"{self.base}/blobs/{name}", data, **more)

    def done(self):
        """Ends a fetch job, whatever its bytes."""
        self.put(self.spec["name"], b"bytes")
        return self.finish()

    def finish(self, outcome="done", reason="", result=None):
        return self.client.post(self.base + "/finish", {"outcome": outcome, "reason": reason, "result": result or {}})


class Worker:
    """The protocol, step by step: nothing happens unless the test says so."""

    def __init__(self, url, token, name="test-1"):
        self.url, self.name = url, name
        self.client = Client(url, token=token)

    def ask(self, request_id=None, **more):
        body = {"request_id": request_id or secrets.token_hex(16), "worker": self.name}
        body.update(more)
        return self.client.post("/leases", body)

    def lease(self, **more):
        more.setdefault("wait_ms", 30000)
        reply = self.ask(**more)
        assert reply.status == 200, reply
        return Lease(self.url, reply.json["jobs"][0])

    def fetch(self, data):
        lease = self.lease()
        assert lease.kind == "fetch", lease.job
        assert lease.put(lease.spec["name"], data).status == 200
        assert lease.finish().status == 200
        return lease

    def split(self, labels=("A", "B"), shape=(1, 8, 8)):
        lease = self.lease()
        assert lease.kind == "split", lease.job
        assert lease.put("training.tar.gz", b"training").status == 200
        assert lease.put("testing.tar.gz", b"testing").status == 200
        reply = lease.finish(result={
            "training": {"images": 7}, "test": {"images": 3}, "labels": list(labels), "image-shape": list(shape),
            "skipped": 0})
        assert reply.status == 200, reply
        return lease

    def train(self, labels=("A", "B")):
        lease = self.lease()
        assert lease.kind == "train", lease.job
        assert lease.log("I solver\nI done\n").status == 200
        assert lease.put("trained.caffemodel", b"weights").status == 200
        assert lease.put("std-out.txt", b"").status == 200
        assert lease.put("std-err.txt", b"I solver\nI done\n").status == 200
        reply = lease.finish(result={"labels": list(labels), "skipped": 0, "accuracy": 0.75})
        assert reply.status == 200, reply
        return lease


class Chain:
    """Documents of one user, each made by the path that the contract says."""

    def __init__(self, client, worker):
        self.client, self.worker = client, worker

    def make(self, path, body=None, **more):
        reply = self.client.post(path, body, **more)
        assert reply.status == 201, reply
        return reply.json

    def datafile(self, data=b"archive", **more):
        document = dict(more)
        return self.make("/datafiles", parts=[("document", json.dumps(document)), ("url", "data.tar.gz", data)])

    def dataset(self, datafile=None, training=0.7, test=0.3):
        datafile = datafile or self.datafile()["id"]
        return self.make("/datasets", {
            "training": {"datafile-id": datafile, "split-percentage": training},
            "test": {"datafile-id": datafile, "split-percentage": test}})

    def solver(self, dataset=None, solver=SOLVER, net=NET):
        dataset = dataset or self.dataset()["id"]
        return self.make("/solvers", {"dataset-id": dataset, "specification": solver, "specification-net": net})

    def training_job(self, solver=None, **more):
        solver = solver or self.solver()["id"]
        return self.make("/training-jobs", {"solver-id": solver, **more})

    def classifier(self, training_job=None):
        training_job = training_job or self.training_job()["id"]
        return self.make("/classifiers", {
            "specification": CLASSIFIER, "training-job-id": training_job, "scale": "255", "image-width": "8",
            "image-height": "8", "color": False, "gpu": False})


class Case(unittest.TestCase):
    """A server without workers for the class; a new user for each test."""

    arguments = ["--allow-private-urls"]

    @classmethod
    def setUpClass(cls):
        cls.server = harness.Server(["--registration", "open"] + cls.arguments)
        cls.origin = Origin()

    @classmethod
    def tearDownClass(cls):
        cls.origin.close()
        cls.server.stop()

    def setUp(self):
        self.client = self.new_user()
        self.name, self.owner = self.client.name, self.client.owner
        self.worker = Worker(self.server.url, self.server.worker_token)
        self.chain = Chain(self.client, self.worker)
        self.addCleanup(self.leave_nothing)

    def new_user(self):
        name, password = "u" + secrets.token_hex(8), secrets.token_hex(8)
        reply = Client(self.server.url).post("/users", {"username": name, "email": "", "password": password})
        assert reply.status == 201, reply
        client = Client(self.server.url, name, password)
        client.name, client.owner = name, f"user:{name}"
        return client

    def leave_nothing(self):
        """The next test's worker must find its own jobs only."""
        for collection in ("datafiles", "datasets", "training-jobs", "classify-jobs", "jobs"):
            for state in ("pending", "processing"):
                for document in self.client.get(f"/{collection}?state={state}&limit=1000").json["items"]:
                    self.client.post(f"/{collection}/{document['id']}/cancel")

    def in_background(self, call):
        """Starts call; the result of the returned function is call's."""
        result = []
        thread = threading.Thread(target=lambda: result.append(call()))
        thread.start()

        def wait():
            thread.join(120)
            return result[0]

        return wait
