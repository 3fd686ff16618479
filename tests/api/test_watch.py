"""Feeds, events, live logs, curves and workers: what can be watched, as it happens."""

import http.client
import json
import math
import resource
import socket
import unittest

import harness
from kit import Case, Client


class Stream:
    """An answer that is read as it comes."""

    def __init__(self, client, path, headers=None, timeout=60):
        self.connection = http.client.HTTPConnection(client.host, client.port, timeout=timeout)
        self.connection.request("GET", path, headers={**(headers or {}), "Authorization": client.authorization})
        self.reply = self.connection.getresponse()
        self.status, self.headers = self.reply.status, self.reply.headers

    def line(self):
        return self.reply.readline().decode()

    def event(self):
        """The next event as a dict; comments and the greeting are passed over, but its id is kept."""
        event = {}
        while True:
            line = self.line()
            if not line:
                raise EOFError
            if line == "\n":
                if "data" in event:
                    event["data"] = json.loads(event["data"])
                    return event
                self.id = event.get("id", getattr(self, "id", None))
                event = {}
            elif not line.startswith(":"):
                key, _, value = line.rstrip("\n").partition(": ")
                event[key] = value

    def greeting(self):
        lines = [self.line(), self.line(), self.line()]
        assert lines[0].startswith("retry: ") and lines[1].startswith("id: ") and lines[2] == "\n", lines
        return lines[1][4:-1]

    def close(self):
        self.connection.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


class Feeds(Case):
    def ids(self, rows):
        return [row["id"] for row in rows]

    def test_a_continuous_feed_is_a_line_a_change_and_ends_at_its_limit(self):
        first = self.chain.datafile()["id"]
        with Stream(self.client, "/elastic-thought/_changes?feed=continuous&limit=3&heartbeat=60000") as feed:
            self.assertEqual([self.owner, first], [json.loads(feed.line())["id"] for _ in range(2)])
            second = self.chain.datafile()["id"]
            change = json.loads(feed.line())
            self.assertEqual((second, 3), (change["id"], change["seq"]))
            self.assertEqual({"last_seq": 3, "pending": 0}, json.loads(feed.line()))
            self.assertEqual("", feed.line())

    def test_a_continuous_feed_ends_after_its_timeout(self):
        with Stream(self.client, "/elastic-thought/_changes?feed=continuous&since=now&timeout=1") as feed:
            self.assertEqual({"last_seq": 1, "pending": 0}, json.loads(feed.line()))
            self.assertEqual("", feed.line())

    def test_an_event_source_goes_on_from_the_last_event_id(self):
        self.chain.datafile()
        path = "/elastic-thought/_changes?feed=eventsource&include_docs=true"
        with Stream(self.client, path, {"Last-Event-ID": "1"}) as feed:
            self.assertEqual("text/event-stream", feed.headers["Content-Type"])
            data, last = feed.line(), feed.line()
            self.assertEqual("id: 2\n", last)
            change = json.loads(data[len("data: "):])
            self.assertEqual("datafile", change["doc"]["type"])

    def test_a_long_poll_with_a_heartbeat_sends_newlines_then_the_page(self):
        with Stream(self.client, "/elastic-thought/_changes?feed=longpoll&style=all_docs&heartbeat=1000&since=1"
                                 "&limit=100") as feed:
            self.assertEqual("\n", feed.line())
            made = self.chain.datafile()["id"]
            rest = feed.reply.read()
            page = json.loads(rest)
            self.assertEqual([made], self.ids(page["results"]))
            self.assertEqual((2, 0), (page["last_seq"], page["pending"]))

    def test_pending_counts_what_the_page_left_out(self):
        for _ in range(3):
            self.chain.datafile()
        page = self.client.get("/elastic-thought/_changes?limit=1").json
        self.assertEqual((1, 3), (page["last_seq"], page["pending"]))

    def test_bad_queries_are_refused(self):
        for query in ("feed=x", "feed=continuous&since=x", "heartbeat=x", "heartbeat=-5", "limit=-1", "include_docs=maybe",
                      "filter=_doc_ids", "doc_ids=%5B%5D", "view=x", "descending=true"):
            self.assertEqual(400, self.client.get("/elastic-thought/_changes?" + query).status, query)
        for query in ("types=x", "since=x", "since=1/", "since=1/2/3", "since=1/2/3:", "since=-1", "heartbeat=1",
                      "log=" + ",".join("0" * 32 for _ in range(7))):
            self.assertIn(self.client.get("/events?" + query).status, (400, 404), query)
        self.assertEqual(404, self.client.get("/events?log=" + "0" * 32).status)
        made = self.chain.make("/datafiles", {"url": "http://192.0.2.1/1.zip"})["id"]
        self.assertEqual(400, self.client.get(f"/datafiles/{made}/logs?follow=perhaps").status)
        self.assertEqual(400, self.client.get("/events", headers={"Last-Event-ID": "junk"}).status)

    def test_the_database_tells_its_size_with_and_without_a_slash(self):
        self.chain.datafile()
        for path in ("/elastic-thought", "/elastic-thought/"):
            self.assertEqual({"db_name": "elastic-thought", "doc_count": 2, "update_seq": 2},
                             self.client.get(path).json)

    def test_a_bulk_get_names_all_ancestors_also_of_the_deleted(self):
        made = self.chain.datafile()
        self.client.delete("/datafiles/" + made["id"])
        deleted = self.client.get("/elastic-thought/_changes").json["results"][-1]
        self.assertTrue(deleted["deleted"])
        reply = self.client.post("/elastic-thought/_bulk_get?revs=true&latest=true", {"docs": [
            {"id": made["id"], "rev": deleted["changes"][0]["rev"]}, {"id": self.owner}, {"id": "no", "rev": "1-x"}]})
        gone, user, missing = [row["docs"][0] for row in reply.json["results"]]
        self.assertEqual({"_id", "_rev", "_deleted", "_revisions"}, set(gone["ok"]))
        number, _, newest = gone["ok"]["_rev"].partition("-")
        revisions = gone["ok"]["_revisions"]
        self.assertEqual(int(number), revisions["start"])
        self.assertEqual(int(number), len(revisions["ids"]))
        self.assertEqual(newest, revisions["ids"][0])
        self.assertEqual(self.owner, user["ok"]["_id"])
        self.assertEqual(("not_found", "1-x"), (missing["error"]["error"], missing["error"]["rev"]))

    def test_an_older_revision_is_there_only_as_the_latest(self):
        dataset = self.chain.dataset()["id"]
        first = self.client.get("/elastic-thought/" + dataset).json["_rev"]
        self.worker.split()
        asked = {"docs": [{"id": dataset, "rev": first}]}
        now = self.client.get("/elastic-thought/" + dataset).json["_rev"]
        self.assertNotEqual(first, now)
        self.assertIn("error", self.client.post("/elastic-thought/_bulk_get", asked).json["results"][0]["docs"][0])
        newest = self.client.post("/elastic-thought/_bulk_get?latest=true", asked).json["results"][0]["docs"][0]["ok"]
        self.assertEqual(now, newest["_rev"])

    def test_a_local_document_is_the_users_own_and_in_no_feed(self):
        path = "/elastic-thought/_local/aB3._xyz%3D%3D"
        self.assertEqual(404, self.client.get(path).status)
        self.assertEqual({"ok": True, "id": "_local/aB3._xyz==", "rev": "0-1"},
                         self.client.put(path, json.dumps({"last_seq": 5}),
                                         headers={"Content-Type": "application/json"}).json)
        again = self.client.put(path, json.dumps({"last_seq": 6}), headers={"Content-Type": "application/json"})
        self.assertEqual((201, "0-2"), (again.status, again.json["rev"]))
        self.assertEqual({"_id": "_local/aB3._xyz==", "_rev": "0-2", "last_seq": 6}, self.client.get(path).json)
        self.assertEqual(404, self.new_user().get(path).status)
        self.assertEqual([self.owner], self.ids(self.client.get("/elastic-thought/_changes").json["results"]))

    def test_nothing_can_be_pushed(self):
        for path in ("_revs_diff", "_bulk_docs"):
            self.assertEqual(403, self.client.post("/elastic-thought/" + path, {}).status)


class Watching(Case):
    def running(self):
        """A training job that the test's worker holds."""
        datafile = self.chain.datafile()["id"]
        dataset = self.chain.dataset(datafile)["id"]
        self.worker.split()
        job = self.chain.training_job(self.chain.solver(dataset)["id"])["id"]
        return job, self.worker.lease()


class Events(Watching):
    def test_documents_metrics_progress_and_log_lines_come_as_they_are_made(self):
        job, lease = self.running()
        with Stream(self.client, "/events?log=" + job) as events:
            events.greeting()
            lease.log("I one\nI tw")
            event = events.event()
            self.assertEqual(("log", {"job": job, "attempt": 1, "offset": 0, "text": "I one\n"}),
                             (event["event"], event["data"]))
            self.assertTrue(event["id"].endswith("/1:6"), event)
            lease.metrics([{"name": "loss", "step": 1, "value": 0.5, "at": 7},
                           {"name": "loss", "step": 2, "value": "NaN", "at": 8}], {"iteration": 2})
            event = events.event()
            self.assertEqual(("metric", {"job": job, "points": [
                {"name": "loss", "step": 1, "value": 0.5, "at": 7}, {"name": "loss", "step": 2, "value": "NaN", "at": 8}]}),
                (event["event"], event["data"]))
            event = events.event()
            self.assertEqual(("progress", {"job": job, "progress": {"iteration": 2}}), (event["event"], event["data"]))
            lease.log("o\nend", 10)
            self.assertEqual("I two\n", events.event()["data"]["text"])
            lease.finish("failed", "why not")
            got = [events.event(), events.event()]
            document = next(e for e in got if e["event"] == "document")
            self.assertEqual((job, "failed"), (document["data"]["id"], document["data"]["doc"]["processing-state"]))
            self.assertEqual("end", next(e for e in got if e["event"] == "log")["data"]["text"])

    def test_types_choose(self):
        job, lease = self.running()
        with Stream(self.client, "/events?types=progress") as events:
            events.greeting()
            self.chain.datafile()
            lease.metrics([{"name": "loss", "step": 1, "value": 1}], {"iteration": 1})
            self.assertEqual("progress", events.event()["event"])

    def test_a_watcher_that_comes_back_misses_nothing_of_any_kind(self):
        job, lease = self.running()
        with Stream(self.client, "/events?log=" + job) as events:
            last = events.greeting()
        lease.log("first\n")
        lease.metrics([{"name": "loss", "step": 1, "value": 1}])
        made = self.chain.datafile()["id"]
        seen = []
        while len(seen) < 3:
            with Stream(self.client, "/events?log=" + job, {"Last-Event-ID": last}) as events:
                event = events.event()  # one event a connection
                last = event["id"]
                seen.append((event["event"], event["data"].get("id") or event["data"].get("text") or
                             event["data"]["points"][0]["step"]))
        self.assertEqual([("document", made), ("log", "first\n"), ("metric", 1)], sorted(seen))

    def test_a_lines_end_that_an_attempt_never_wrote_does_not_swallow_the_next_ones_beginning(self):
        job, lease = self.running()
        lease.log("half")
        lease.finish("released")
        second = self.worker.lease()
        second.log("new\n")
        with Stream(self.client, f"/events?types=log&log={job}") as events:
            got = [events.event() for _ in range(2)]
        self.assertEqual([(1, "half", "/1:4"), (2, "new\n", "/2:4")],
                         [(e["data"]["attempt"], e["data"]["text"], "/" + e["id"].split("/")[2]) for e in got])

    def test_bytes_that_are_no_text_become_replacement_characters(self):
        job, lease = self.running()
        lease.log(b"\xff\xfe caf\xc3\xa9 \xed\xa0\x80 \x00\x1b[31m\n")
        with Stream(self.client, f"/events?types=log&log={job}") as events:
            self.assertEqual("\ufffd\ufffd caf\u00e9 \ufffd\ufffd\ufffd \x00\x1b[31m\n", events.event()["data"]["text"])

    def test_others_are_not_seen(self):
        job, lease = self.running()
        other = self.new_user()
        self.assertEqual(404, other.get("/events?log=" + job).status)
        with Stream(other, "/events") as events:
            events.greeting()
            lease.metrics([{"name": "loss", "step": 1, "value": 1}], {"iteration": 1})
            self.chain.datafile()
            mine = other.post("/tokens", {"name": "x"})
            self.assertEqual(201, mine.status)
            made = self.chain.__class__(other, self.worker).datafile()["id"]
            self.assertEqual(made, events.event()["data"]["id"])

    def test_silence_is_broken_by_heartbeats(self):
        with Stream(self.client, "/events?heartbeat=1000") as events:
            events.greeting()
            self.assertEqual([":\n", "\n"], [events.line(), events.line()])

    def test_a_token_that_is_revoked_ends_its_streams(self):
        made = self.client.post("/tokens", {"name": "x"}).json
        watcher = Client(self.server.url, token=made["token"])
        with Stream(watcher, "/events?heartbeat=1000&types=document") as events:
            events.greeting()
            self.assertEqual(204, self.client.delete("/tokens/" + made["id"]).status)
            with self.assertRaises((http.client.IncompleteRead, ConnectionError)):
                while events.reply.read(3):
                    pass

    def test_a_watcher_that_has_gone_is_forgotten(self):
        before = self.server.metric("et_http_requests_waiting")
        events = Stream(self.client, "/events")
        events.greeting()
        events.close()
        while self.server.metric("et_http_requests_waiting") > before:
            pass  # each request takes its time


class Logs(Watching):
    def follow(self, job, headers=None):
        return Stream(self.client, f"/training-jobs/{job}/logs?follow=1", headers)

    def test_a_followed_log_goes_from_its_first_byte_to_the_jobs_end_over_all_attempts(self):
        job, lease = self.running()
        lease.log("one\n")
        with self.follow(job) as log:
            self.assertEqual("one\n", log.line())
            lease.log("two\n", 4)
            self.assertEqual("two\n", log.line())
            lease.finish("released")
            second = self.worker.lease()
            second.log("three\n")
            self.assertEqual("three\n", log.line())
            second.finish("failed", "no")
            self.assertEqual(b"", log.reply.read())  # the chunked end: not cut

    def test_a_range_says_where_to_begin(self):
        job, lease = self.running()
        lease.log("0123456789")
        for given, expected in (("bytes=4-", b"456789"), ("bytes=-3", b"789")):
            with self.follow(job, {"Range": given}) as log:
                self.assertEqual((200, str(10 - len(expected))), (log.status, log.headers["ET-Log-Offset"]))
                self.assertEqual(expected, log.reply.read(len(expected)))
        with self.follow(job, {"Range": "bytes=10-"}) as log:
            lease.log("!\n", 10)
            self.assertEqual("!\n", log.line())
        with self.follow(job, {"Range": "bytes=13-"}) as log:
            self.assertEqual(416, log.status)

    def test_the_log_of_a_job_that_has_ended_ends_at_once(self):
        job, lease = self.running()
        lease.log("all\n")
        lease.finish("failed", "no")
        with self.follow(job) as log:
            self.assertEqual(b"all\n", log.reply.read())

    def test_metrics_come_whole_as_deltas_and_thinned(self):
        job, lease = self.running()
        path = f"/training-jobs/{job}/metrics"
        self.assertEqual({"id": job, "series": [], "last": 0, "more": False}, self.client.get(path).json)
        points = [{"name": "loss", "step": i, "value": 1 / (i + 1), "at": i} for i in range(100)]
        points[50]["value"], points[60]["value"], points[70]["value"] = "Infinity", "NaN", 9
        lease.metrics(points)
        lease.metrics(points)  # told again: nothing new
        whole = self.client.get(path).json
        series = whole["series"][0]
        self.assertEqual((100, 1, 100), (series["count"], series["nan-count"], whole["last"]))
        self.assertEqual(["Infinity", "NaN", 9.0], [series["values"][i] for i in (50, 60, 70)])
        lease.metrics([{"name": "loss", "step": 3, "value": 5, "at": 3}, {"name": "rate", "step": 0, "value": 0.1}])
        delta = self.client.get(f"{path}?since={whole['last']}").json
        self.assertEqual([("loss", [3], [5.0]), ("rate", [0], [0.1])],
                         [(s["name"], s["steps"], s["values"]) for s in delta["series"]])
        page = self.client.get(f"{path}?limit=10").json
        self.assertTrue(page["more"])
        thin = self.client.get(f"{path}?points=13&name=loss").json["series"][0]
        self.assertLessEqual(len(thin["steps"]), 13)
        self.assertEqual(sorted(thin["steps"]), thin["steps"])
        self.assertTrue({0, 3, 50, 60, 70, 99} <= set(thin["steps"]), thin)
        self.assertEqual((100, 1), (thin["count"], thin["nan-count"]))
        part = self.client.get(f"{path}?points=100&name=loss&from=10&to=19").json["series"][0]
        self.assertEqual(list(range(10, 20)), part["steps"])
        for query in ("points=4", "points=x", "since=-1", "limit=0", "points=10001"):
            self.assertEqual(400, self.client.get(f"{path}?{query}").status, query)

    def test_workers_and_their_jobs_are_shown_to_whom_they_concern(self):
        job, lease = self.running()
        lease.metrics([], {"iteration": 5})
        mine = self.client.get("/workers").json["workers"]
        self.assertEqual([("test-1", [(job, self.owner, "train", {"iteration": 5})])],
                         [(w["name"], [(j["id"], j["user-id"], j["kind"], j["progress"]) for j in w["jobs"]])
                          for w in mine])
        self.assertEqual([], self.new_user().get("/workers").json["workers"])
        self.worker.__class__(self.server.url, self.server.worker_token, "idle-1").ask(pools=["gpu"], slots=3)
        everyone = {w["name"]: w for w in Client(self.server.url, token=self.server.admin_token).get("/workers").json["workers"]}
        self.assertEqual((3, ["gpu"], []), tuple(everyone["idle-1"][k] for k in ("slots", "pools", "jobs")))
        self.assertIn(job, [j["id"] for j in everyone["test-1"]["jobs"]])


class Falling(Watching):
    arguments = ["--allow-private-urls", "--idle-ms", "1000"]

    def test_one_that_stops_reading_is_dropped_and_goes_on_from_where_it_was(self):
        job, lease = self.running()
        lines = ["line %d of a log of which no socket's buffer takes the whole\n" % i for i in range(180000)]
        whole = "".join(lines)
        for offset in range(0, len(whole), 1 << 20):
            self.assertEqual(200, lease.log(whole[offset:offset + (1 << 20)], offset).status)
        s = socket.socket()
        s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        s.settimeout(120)
        s.connect((self.client.host, self.client.port))
        s.sendall(("GET /events?types=log&log=%s HTTP/1.1\r\nHost: x\r\nAuthorization: %s\r\n\r\n" %
                   (job, self.client.authorization)).encode())
        while self.server.metric("et_http_connections") > 1:
            pass  # dropped when it has not read for a second; each request takes its time
        got = harness.read_all(s)
        s.close()
        last = [line for line in got.split(b"\n") if line.startswith(b"id: ") and b":" in line[4:]][-2].decode()[4:]
        seen = int(last.split(":")[1])
        self.assertLess(seen, len(whole), "it read everything: not a test of falling behind")
        rest = ""
        with Stream(self.client, f"/events?types=log&log={job}", {"Last-Event-ID": last}) as events:
            while len(rest) < len(whole) - seen:
                rest += events.event()["data"]["text"]
        self.assertEqual(whole[seen:], rest)


class Crowd(unittest.TestCase):
    """Servers that stop, and a crowd."""

    def test_a_server_that_stops_ends_its_streams_at_once(self):
        server = harness.Server(["--registration", "open"])
        client = Client(server.url, *server.user())
        streams = [Stream(client, path) for path in (
            "/events", "/elastic-thought/_changes?feed=continuous&since=now&heartbeat=60000",
            "/elastic-thought/_changes?feed=longpoll&since=1&heartbeat=60000")]
        streams[0].greeting()
        self.assertEqual(0, server.stop())
        self.assertEqual(b"", streams[0].reply.read())
        self.assertEqual({"last_seq": 1, "pending": 0}, json.loads(streams[1].reply.read()))
        self.assertEqual([], json.loads(streams[2].reply.read())["results"])

    def test_a_thousand_watchers_of_whom_ten_are_concerned(self):
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 8192), hard))
        crowd, concerned, changes = 1000, 10, 20
        with harness.Server(["--registration", "open"]) as server:
            ours, others = server.user("ours"), server.user("others")
            watchers = []
            for i in range(crowd):
                s = server.connect(60)
                s.sendall(("GET /events HTTP/1.1\r\nHost: x\r\nAuthorization: %s\r\n\r\n" %
                           harness.basic(*(ours if i < concerned else others))).encode())
                watchers.append((s, s.makefile("rb")))
            for _, file in watchers:
                while not file.readline().startswith(b"id: "):
                    pass
                file.readline()
            for i in range(changes):
                server.request("POST", "/datafiles", {"url": "http://example.com/%d" % i}, user=ours)
            for _, file in watchers[:concerned]:
                seqs = []
                while len(seqs) < changes:
                    line = file.readline()
                    if line.startswith(b"data: "):
                        seqs.append(json.loads(line[6:])["seq"])
                self.assertEqual(list(range(2, 2 + changes)), seqs)
            last = server.request("POST", "/datafiles", {"url": "http://example.com/end"}, user=others).json["id"]
            for _, file in watchers[concerned:]:
                line = b""
                while not line.startswith(b"data: "):
                    line = file.readline()
                self.assertEqual(last, json.loads(line[6:])["id"])
            for s, file in watchers:
                file.close()
                s.close()


if __name__ == "__main__":
    unittest.main()
