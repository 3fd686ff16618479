"""The request queue: the exchanges recorded from the original, with a browser
and a worker of ours, and what the original did wrong."""

import base64
import hashlib
import http.client
import json
import os
import re
import signal
import socket
import threading
import unittest

import harness
import kit

FIELDS = ["bucket", "created_at", "key", "value", "progress", "canceled", "error", "request_id"]
NO_TIME = "0001-01-01T00:00:00Z"
BUCKET = "/cats-request"
LABEL = "[WORKER - ACK] it's a 'cat'!"


class Case(unittest.TestCase):
    only_database = "sqlite"  # items are files of the server, whatever its database
    arguments = ["--bucket", "cats-request:cats", "--allow-private-urls"]
    more = []

    def setUp(self):
        self.origin = kit.Origin()
        self.addCleanup(self.origin.close)
        self.server = harness.Server(self.arguments + self.more)
        self.addCleanup(lambda: self.server.stop())

    def picture(self, name="cat.png", data=b"cat"):
        return self.origin.put("/" + name, data)

    def item(self, method, path, body=None, headers=None):
        reply = self.server.request(method, path, body, headers)
        self.assertEqual((reply.status, reply.headers["Content-Type"]), (200, "text/plain; charset=utf-8"), reply)
        item = reply.json
        self.assertEqual(list(item), FIELDS)
        return item

    def post(self, url, create=True, headers=None, **more):
        return self.item("POST", BUCKET, {"data_from_frontend": url, "create_request": create, **more}, headers)

    def forget(self, url):
        reply = self.server.request("POST", BUCKET, {"data_from_frontend": url, "create_request": False})
        self.assertEqual((reply.status, reply.body), (200, b""))

    def get(self, request_id):
        return self.item("GET", BUCKET, headers={"Request-Id": request_id})

    def take(self):
        return self.item("GET", BUCKET + "/queue")

    def tell(self, item, **changes):
        return self.item("POST", BUCKET + "/queue", {**item, **changes})

    def error(self, method, path, body=None, headers=None):
        item = self.item(method, path, body, headers)
        self.assertEqual((item["created_at"], item["bucket"]), (NO_TIME, BUCKET))
        self.assertTrue(item["error"])
        return item["error"]

    def spool(self):
        folder = os.path.join(os.path.realpath(self.server.data), "buckets", "cats-request")
        return {n: os.path.join(folder, n) for n in os.listdir(folder) if not n.endswith(".json")}


class Contract(Case):
    def test_a_request_is_acknowledged_taken_worked_on_and_told(self):
        url = self.picture()
        made = self.post(url + "?w=1")
        path = self.spool()[hashlib.sha256(b"cat").hexdigest() + ".png"]
        hashed = base64.b64encode(hashlib.sha512(path.encode()).digest()).decode()[:7]
        request_id = BUCKET + "-12700-" + hashed
        self.assertEqual(made["request_id"], request_id)
        self.assertEqual(made["value"], '[BACKEND - ACK] Requested "%s" (request ID: %s)' % (path, request_id))
        self.assertEqual((made["bucket"], made["progress"], made["canceled"], made["error"]), (BUCKET, 0, False, ""))

        taken = self.take()
        self.assertEqual(taken, {**made, "value": path})
        with open(path, "rb") as file:
            self.assertEqual(file.read(), b"cat")
        self.assertEqual(self.get(request_id), made)

        half = self.tell(taken, progress=50, value="[WORKER - ACK] computing")
        self.assertEqual(half, {**taken, "progress": 50, "value": "[WORKER - ACK] computing"})
        self.assertEqual(self.get(request_id), half)
        done = {**taken, "progress": 100, "value": LABEL}
        self.assertEqual(self.tell(done), done)
        self.assertEqual(self.get(request_id), done)
        self.assertEqual(self.post(url), done)

    def test_the_key_is_the_weight_and_the_time(self):
        made = self.post(self.picture())
        match = re.fullmatch(r"/cats-request/99899([0-9A-F]{35})", made["key"])
        self.assertTrue(match, made["key"])
        whole, fraction = re.fullmatch(r"(.*:\d\d)(?:\.(\d{1,9}))?Z", made["created_at"]).groups()
        self.assertEqual(int(match.group(1), 16) % 10**9, int((fraction or "").ljust(9, "0")))
        self.assertEqual(len("99899" + match.group(1)), len("99899000000000000000000018E9E9B101EF0505"))
        heavy = self.post(self.picture("heavy.png", b"heavy"), weight=99999)
        self.assertTrue(heavy["key"].startswith("/cats-request/00000"), heavy["key"])

    def test_the_heaviest_is_next_then_the_oldest(self):
        order = [("a", 100), ("b", 0), ("c", 99999), ("d", 100)]
        ids = {n: self.post(self.picture(n + ".png", n.encode()), weight=w)["request_id"] for n, w in order}
        self.assertEqual([self.take()["request_id"] for _ in order], [ids[n] for n in "cadb"])

    def test_the_request_id_begins_with_the_clients_address(self):
        for forwarded, user in [("203.0.113.9", "20301"), ("1.2.3.4, 10.0.0.1", "1234"), ("2001:db8::1", "2001:"),
                                ('"\\x', "__x")]:
            with self.subTest(forwarded=forwarded):
                item = self.post(self.picture(), headers={"X-Forwarded-For": forwarded})
                self.assertTrue(item["request_id"].startswith("%s-%s-" % (BUCKET, user)), item["request_id"])

    def test_a_picture_is_fetched_once(self):
        url = self.picture("Big.JPEG", b"x" * 100000)
        first = self.post(url)
        for query in ["?w=1", "?w=2", "#top", ""]:
            self.assertEqual(self.post(url + query), first)
        other = self.post(url, headers={"X-Forwarded-For": "198.51.100.1"})
        self.assertNotEqual(other["request_id"], first["request_id"])
        self.assertEqual(len(self.origin.asked), 1)
        self.assertEqual(list(self.spool()), [hashlib.sha256(b"x" * 100000).hexdigest() + ".jpeg"])

    def test_a_forgotten_request_is_unknown_and_can_be_made_anew(self):
        url = self.picture()
        made = self.post(url)
        self.forget(url + "?again")
        self.assertEqual(self.get(made["request_id"])["error"], 'cannot find request ID "%s"' % made["request_id"])
        again = self.post(url)
        self.assertEqual(again["request_id"], made["request_id"])
        self.assertGreater(again["key"], made["key"])
        self.assertEqual(self.error("POST", BUCKET + "/queue", {**made, "progress": 100}),
                         'unknown request ID "%s"' % made["request_id"])
        self.forget(self.origin.url + "/never.png")
        self.forget("")

    def test_errors_travel_in_error(self):
        queue = BUCKET + "/queue"
        made = self.post(self.picture())
        for method, path, body, headers, words in [
                ("GET", BUCKET, None, None, 'expected "Request-Id" from header'),
                ("GET", BUCKET, None, {"Request-Id": "x"}, 'cannot find request ID "x"'),
                ("GET", BUCKET + "/events", None, None, 'expected "request_id"'),
                ("GET", BUCKET + "/events?request_id=x", None, None, 'cannot find request ID "x"'),
                ("POST", queue, {**made, "request_id": "x", "progress": 100}, None, 'unknown request ID "x"'),
                ("POST", queue, {**made, "request_id": ""}, None, "invalid item"),
                ("POST", queue, {}, None, "invalid item"),
                ("POST", queue, [], None, "no object"),
                ("POST", queue, b"{", None, ""),
                ("POST", queue, b"", None, ""),
                ("POST", queue, {**made, "progress": 101}, None, "'progress'"),
                ("POST", queue, {**made, "progress": -1}, None, "'progress'"),
                ("POST", queue, {**made, "progress": "50"}, None, "'progress'"),
                ("POST", queue, {**made, "canceled": 1}, None, "'canceled'"),
                ("POST", queue, {**made, "value": {}}, None, "'value'"),
                ("POST", BUCKET, {"create_request": True}, None, "'data_from_frontend' is missing"),
                ("POST", BUCKET, b"\xff", None, ""),
                ("POST", BUCKET, {"data_from_frontend": "http://h/a.png", "create_request": 1}, None, "true or false"),
                ("POST", BUCKET, {"data_from_frontend": "http://h/a.png", "weight": -1}, None, "'weight'"),
        ]:
            with self.subTest(path=path, body=body):
                self.assertIn(words, self.error(method, path, body, headers))
        self.assertEqual(self.get(made["request_id"]), made)

    def test_pictures_that_cannot_be_had_say_why(self):
        self.origin.put("/huge.png", b"x" * (15 * 1024 * 1024 + 1))
        self.origin.put("/most.png", b"x" * (15 * 1024 * 1024))
        for url, words in [
                (self.origin.url + "/nothing.png", "404"),
                (self.origin.url + "/huge.png", "more than"),
                (self.origin.url + "/cat.gif", "must end in .jpg, .jpeg or .png"),
                (self.origin.url + "/cat", "must end in"),
                ("file:///etc/passwd.png", "http://"),
                ("cat.png", ""),
                ("http://127.0.0.1:1/cat.png", "connect"),
        ]:
            with self.subTest(url=url):
                self.assertIn(words, self.error("POST", BUCKET, {"data_from_frontend": url, "create_request": True}))
        self.assertEqual(self.post(self.origin.url + "/most.png")["error"], "")
        self.assertEqual(len(self.spool()), 1)

    def test_a_slow_server_of_pictures_holds_up_nobody_else(self):
        with socket.create_server(("127.0.0.1", 0)) as slow:
            url = "http://127.0.0.1:%d/" % slow.getsockname()[1]
            replies = []
            asking = [threading.Thread(target=lambda n=n: replies.append(self.post("%s%d.png" % (url, n))))
                      for n in range(3)]
            for a in asking:
                a.start()
            taken = [slow.accept()[0] for _ in asking]
            for n in range(20):
                self.assertEqual(self.post(self.picture("%d.png" % n, b"%d" % n))["error"], "")
            for connection in taken:
                connection.close()
            for a in asking:
                a.join(120)
        self.assertEqual([bool(r["error"]) for r in replies], [True] * 3)

    def test_it_says_that_it_is_well(self):
        reply = self.server.request("GET", "/healthz")
        self.assertEqual((reply.status, reply.headers["Content-Type"], reply.body),
                         (200, "text/plain; charset=utf-8", b"OK"))

    def test_other_methods_are_405(self):
        for path in [BUCKET, BUCKET + "/queue"]:
            for method in ["PUT", "DELETE", "PATCH"]:
                self.assertEqual(self.server.request(method, path).status, 405)

    def test_a_worker_waits_for_the_next_item(self):
        got = []
        waiting = threading.Thread(target=lambda: got.append(self.take()))
        waiting.start()
        made = self.post(self.picture())
        waiting.join(120)
        self.assertEqual(got[0]["request_id"], made["request_id"])

    def test_no_item_is_given_to_two_workers(self):
        got, lock = [], threading.Lock()

        def worker():
            item = self.take()
            with lock:
                got.append(item["request_id"])

        workers = [threading.Thread(target=worker) for _ in range(12)]
        for w in workers:
            w.start()
        made = [self.post(self.picture("%d.png" % i, b"%d" % i))["request_id"] for i in range(12)]
        for w in workers:
            w.join(120)
        self.assertEqual(sorted(got), sorted(made))

    def test_a_poller_that_has_gone_swallows_nothing(self):
        for _ in range(3):
            with self.server.connect() as gone:
                gone.sendall(b"GET /cats-request/queue HTTP/1.1\r\nHost: h\r\n\r\n")
                while self.server.metric("et_http_requests_waiting") < 1:
                    pass
        made = self.post(self.picture())
        self.assertEqual(self.take()["request_id"], made["request_id"])

    def test_head_takes_nothing(self):
        made = self.post(self.picture())
        self.assertEqual(self.server.request("HEAD", BUCKET + "/queue").status, 200)
        self.assertEqual(self.take()["request_id"], made["request_id"])

    def test_a_worker_that_fails_or_cancels_ends_the_item(self):
        for changes in [{"error": "no model", "progress": 10}, {"canceled": True}]:
            with self.subTest(changes=changes):
                url = self.picture()
                made = self.post(url)
                ended = self.tell(self.take(), **changes)
                self.assertEqual(self.get(made["request_id"]), ended)
                self.assertEqual(self.tell(made, progress=100, value="late"), ended)
                self.forget(url)

    def test_requests_survive_a_server_that_is_killed(self):
        waiting, done = self.post(self.picture()), self.post(self.picture("dog.png", b"dog"), weight=200)
        done = self.tell(self.take(), progress=100, value="dog")
        data, self.server.owns_data = self.server.data, False
        self.server.stop(signal.SIGKILL)
        self.server = harness.Server(self.arguments, data=data)
        self.server.owns_data = True
        self.assertEqual(self.get(done["request_id"]), done)
        self.assertEqual(self.take()["request_id"], waiting["request_id"])

    def test_a_waiting_worker_is_told_when_the_server_stops(self):
        got = []
        waiting = threading.Thread(target=lambda: got.append(self.take()))
        waiting.start()
        while self.server.metric("et_http_requests_waiting") < 1:
            pass
        self.server.stop()
        waiting.join(120)
        self.assertIn("ask again", got[0]["error"])
        self.server = harness.Server(self.arguments)

    def events(self, request_id):
        connection = http.client.HTTPConnection(self.server.host, self.server.port, timeout=120)
        self.addCleanup(connection.close)
        connection.request("GET", BUCKET + "/events?request_id=" + request_id.replace("+", "%2B"))
        reply = connection.getresponse()
        self.assertEqual(reply.headers["Content-Type"], "text/event-stream")
        for line in reply:
            if line.startswith(b"data: "):
                yield json.loads(line[6:])

    def test_progress_streams_to_the_browser(self):
        made = self.post(self.picture())
        events = self.events(made["request_id"])
        self.assertEqual(next(events), made)
        taken = self.take()
        for progress in [10, 50, 100]:
            told = self.tell(taken, progress=progress, value="at %d" % progress)
            self.assertEqual(next(events), told)
        self.assertEqual(list(events), [])
        self.assertEqual(list(self.events(made["request_id"])), [told])

    def test_a_stream_ends_when_its_request_is_forgotten(self):
        url = self.picture()
        events = self.events(self.post(url)["request_id"])
        next(events)
        self.forget(url)
        self.assertIn("cannot find request ID", next(events)["error"])
        self.assertEqual(list(events), [])


class Lease(Case):
    """With a lease that a test can wait for."""

    more = ["--item-lease-ms", "300"]

    def test_an_item_whose_worker_is_silent_goes_to_the_next_and_the_late_post_counts(self):
        made = self.post(self.picture())
        first = self.take()
        self.assertEqual(self.take(), first)
        told = self.tell(first, progress=100, value=LABEL)
        self.assertEqual(self.get(made["request_id"]), told)


class Expiry(Case):
    """With items of a life that a test can wait for."""

    more = ["--item-ms", "400"]

    def test_an_item_expires_with_its_picture(self):
        made = self.post(self.picture())
        while not self.get(made["request_id"])["error"]:
            pass
        self.assertEqual(self.get(made["request_id"])["error"], 'cannot find request ID "%s"' % made["request_id"])
        url = self.picture("dog.png", b"dog")
        while hashlib.sha256(b"cat").hexdigest() + ".png" in self.spool():
            self.post(url)
        self.assertEqual(list(self.spool()), [hashlib.sha256(b"dog").hexdigest() + ".png"])


class OwnClassifier(unittest.TestCase):
    """A bucket that one of our classifiers serves; the worker is the test's, a step at a time."""

    def setUp(self):
        self.origin = kit.Origin()
        self.addCleanup(self.origin.close)
        self.server = harness.Server(["--registration", "open"])
        self.addCleanup(lambda: self.server.stop())
        self.server.user("foo", "bar")
        self.connect()
        self.classifier = self.chain.classifier()["id"]
        self.worker.split()
        self.worker.train(labels=("cat", "dog"))
        self.restart(["--bucket", "pets:foo:" + self.classifier, "--allow-private-urls"])

    def connect(self):
        self.worker = kit.Worker(self.server.url, self.server.worker_token)
        self.chain = kit.Chain(kit.Client(self.server.url, "foo", "bar"), self.worker)

    def restart(self, arguments):
        data, self.server.owns_data = self.server.data, False
        self.server.stop()
        self.server = harness.Server(arguments, data=data)
        self.server.owns_data = True
        self.connect()

    def ask(self, name, data):
        url = self.origin.put("/" + name, data)
        return self.server.request("POST", "/pets", {"data_from_frontend": url, "create_request": True}).json

    def until(self, request_id, wanted):
        while True:
            item = self.server.request("GET", "/pets", headers={"Request-Id": request_id}).json
            if wanted(item):
                return item

    def test_a_pictures_url_goes_in_and_its_label_comes_out(self):
        request_id = self.ask("cat.png", b"cat")["request_id"]
        lease = self.worker.lease()
        self.assertEqual(lease.kind, "classify")
        self.assertEqual([i["key"] for i in lease.spec["images"]], [kit.sha1(b"cat")])
        self.assertEqual(lease.input(kit.sha1(b"cat")).body, b"cat")
        half = self.until(request_id, lambda i: i["progress"] >= 50)
        self.assertEqual((half["progress"], half["value"]), (50, "[WORKER - ACK] classifying"))
        lease.finish(result={"results": {kit.sha1(b"cat"): "cat"}, "scores": {}, "skipped": 0})
        done = self.until(request_id, lambda i: i["progress"] == 100)
        self.assertEqual((done["value"], done["error"]), (LABEL, ""))

    def test_a_picture_that_cannot_be_read_says_so(self):
        request_id = self.ask("bad.png", b"no picture")["request_id"]
        self.worker.lease().finish("failed", "none of the 1 images can be classified: not an image")
        item = self.until(request_id, lambda i: i["error"])
        self.assertIn("not an image", item["error"])

    def test_a_request_survives_a_restart(self):
        request_id = self.ask("dog.png", b"dog")["request_id"]
        self.until(request_id, lambda i: i["progress"] == 10)
        self.restart(["--bucket", "pets:foo:" + self.classifier, "--allow-private-urls"])
        label = {"results": {kit.sha1(b"dog"): "dog"}, "scores": {}, "skipped": 0}
        for _ in range(2):
            self.worker.lease().finish(result=label)
        done = self.until(request_id, lambda i: i["progress"] == 100)
        self.assertEqual(done["value"], "[WORKER - ACK] it's a 'dog'!")

    def test_a_classifier_that_is_not_there_is_refused(self):
        with self.assertRaisesRegex(RuntimeError, "no classifier 'nothing'"):
            harness.Server(["--bucket", "pets:foo:nothing"])


class Guard(unittest.TestCase):
    only_database = "sqlite"

    def test_private_addresses_are_refused_unless_allowed(self):
        with harness.Server(["--bucket", "b:u"]) as server:
            for host in ["127.0.0.1", "localhost", "10.0.0.1", "[::1]", "169.254.169.254"]:
                reply = server.request("POST", "/b", {"data_from_frontend": "http://%s/a.png" % host,
                                                      "create_request": True})
                self.assertIn("private", reply.json["error"])

    def test_bucket_names_are_their_own(self):
        for spec, words in [("users:u", "the name of another path"), ("job:u", "the name of another path"),
                            ("bored:u", "another path"), ("queue:u", "another path"), ("healthz:u", "another path"),
                            ("a", "not NAME:USER"), ("a:", "user name ''"), (":u", "bucket ''"), ("a/b:u", "'a/b'"),
                            (".a:u", "'.a'"), ("a:no/name", "user name 'no/name'"), ("a:u a:u", "two buckets")]:
            with self.subTest(spec=spec), self.assertRaisesRegex(RuntimeError, words):
                harness.Server(["--bucket", spec])

    def test_a_bucket_has_a_page_that_runs_its_own_script_only(self):
        with harness.Server(["--bucket", "a:u"]) as server:
            page = server.request("GET", "/queue/a")
            self.assertEqual((page.status, page.headers["Content-Type"]), (200, "text/html; charset=utf-8"))
            self.assertTrue(page.headers["Content-Security-Policy"].startswith("default-src 'none'; script-src 'self'"))
            for path in re.findall(rb'(?:src|href)="(.*?)"', page.body):
                self.assertEqual(server.request("GET", path.decode()).status, 200)
            self.assertEqual(server.request("GET", "/queue/b").status, 404)
            self.assertEqual(server.request("GET", "/queue/assets/none.js").status, 404)

    def test_several_buckets_are_served(self):
        with harness.Server(["--bucket", "a:u", "--bucket", "b:v"], env={"ET_BUCKET": "c:w"}) as server:
            self.assertEqual([server.request("GET", "/" + n).status for n in "abc"], [200, 200, 404])


if __name__ == "__main__":
    unittest.main()
