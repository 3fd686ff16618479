"""The server's side of docs/worker-protocol.md: who may, fencing, and what
happens when a request is repeated."""

import secrets
import unittest

from kit import Case, Client, Lease, Worker, sha256


class Leases(Case):
    def test_only_a_worker_may_lease(self):
        body = {"request_id": secrets.token_hex(16), "worker": "w"}
        self.assertEqual(Client(self.server.url).post("/leases", body).status, 401)
        self.assertEqual(self.client.post("/leases", body).status, 403)
        self.assertEqual(Worker(self.server.url, "et_" + "x" * 43).ask().status, 401)

    def test_there_is_nothing_to_do(self):
        reply = self.worker.ask(wait_ms=0)
        self.assertEqual((reply.status, reply.body), (204, b""))

    def test_a_waiting_worker_is_woken(self):
        waiting = self.in_background(lambda: self.worker.ask(wait_ms=30000))
        made = self.chain.make("/datafiles", {"url": "http://192.0.2.1/x.zip"})
        reply = waiting()
        self.assertEqual((reply.status, reply.json["jobs"][0]["job"]), (200, made["id"]))

    def test_a_lease_says_all_that_a_worker_needs(self):
        self.chain.dataset()
        job = self.worker.ask(wait_ms=0).json["jobs"][0]
        self.assertEqual(set(job), {"job", "pool", "attempt", "token", "kind", "heartbeat_ms", "lease_ms", "max_seconds",
                                    "allow_private_urls", "spec", "inputs"})
        self.assertEqual(job["attempt"], 1)
        self.assertLess(job["heartbeat_ms"] * 3, job["lease_ms"])
        self.assertTrue(job["allow_private_urls"])
        self.assertEqual([(i["size"], i["sha256"]) for i in job["inputs"]], [(7, sha256(b"archive"))])

    def test_slots_bound_the_jobs_of_a_request(self):
        for i in range(3):
            self.chain.make("/datafiles", {"url": f"http://192.0.2.1/{i}.zip"})
        self.assertEqual(len(self.worker.ask(slots=2).json["jobs"]), 2)
        self.assertEqual(len(self.worker.ask(slots=2).json["jobs"]), 1)
        self.assertEqual(self.worker.ask(slots=2).status, 204)

    def test_a_pool_gets_its_own_jobs_only(self):
        self.worker.name = "gpu-1"
        job = self.chain.training_job(**{"gpu-required": True})
        self.worker.split()
        self.assertEqual(self.worker.ask(pools=["cpu"]).status, 204)
        reply = self.worker.ask(pools=["cpu", "gpu"])
        self.assertEqual(reply.json["jobs"][0]["job"], job["id"])

    def test_the_same_request_gets_the_same_jobs(self):
        self.chain.make("/datafiles", {"url": "http://192.0.2.1/1.zip"})
        self.chain.make("/datafiles", {"url": "http://192.0.2.1/2.zip"})
        request_id = secrets.token_hex(16)
        first = self.worker.ask(request_id)
        self.assertEqual(first.json, self.worker.ask(request_id).json)
        other = self.worker.ask()
        self.assertNotEqual(first.json["jobs"][0]["job"], other.json["jobs"][0]["job"])

    def test_an_attempt_has_one_token(self):
        self.chain.make("/datafiles", {"url": "http://192.0.2.1/1.zip"})
        lease = self.worker.lease()
        for token in ["x" * 64, self.server.worker_token, ""]:
            lease.client = Client(self.server.url, token=token)
            for reply in [lease.heartbeat(), lease.log("x"), lease.metrics(), lease.put("a", b"x"),
                          lease.input("a"), lease.finish()]:
                self.assertIn(reply.status, (401, 403), reply)
        self.assertIn(self.client.post(lease.base + "/heartbeat", {}).status, (401, 403))
        document = self.client.get(f"/datafiles/{lease.id}").json
        self.assertEqual(document["state"], "leased")

    def test_a_token_is_for_its_own_job(self):
        for i in range(2):
            self.chain.make("/datafiles", {"url": f"http://192.0.2.1/{i}.zip"})
        one, two = self.worker.lease(), self.worker.lease()
        one.base = two.base
        self.assertIn(one.heartbeat().status, (401, 403))
        one.base = f"/leases/{one.id}/7"
        self.assertIn(one.heartbeat().status, (401, 403, 409))
        one.base = f"/leases/{one.id}/x"
        self.assertEqual(one.heartbeat().status, 404)

    def test_a_stale_attempt_is_fenced_off(self):
        made = self.chain.make("/datafiles", {"url": "http://192.0.2.1/1.zip"})
        old = self.worker.lease()
        self.assertEqual(old.finish("released").status, 200)
        new = self.worker.lease()
        self.assertEqual((new.id, new.attempt), (made["id"], old.attempt + 1))
        for reply in [old.heartbeat(), old.log("x"), old.metrics(), old.put("1.zip", b"old"), old.input("x"),
                      old.finish("done"), old.finish("failed", "late")]:
            self.assertEqual(reply.status, 409, reply)
        self.assertEqual(old.finish("released").status, 200)
        self.assertEqual(new.put("1.zip", b"new").status, 200)
        self.assertEqual(new.finish().status, 200)
        self.assertEqual(self.client.get(f"/blobs/{made['id']}/1.zip").body, b"new")

    def test_the_end_may_be_told_again(self):
        made = self.chain.make("/datafiles", {"url": "http://192.0.2.1/1.zip"})
        lease = self.worker.lease()
        lease.put("1.zip", b"x")
        self.assertEqual(lease.finish().status, 200)
        rev = self.client.get(f"/datafiles/{made['id']}").json["_rev"]
        self.assertEqual(lease.finish().status, 200)
        self.assertEqual(lease.finish("failed", "no").status, 409)
        self.assertEqual(lease.heartbeat().status, 409)
        self.assertEqual(self.client.get(f"/datafiles/{made['id']}").json["_rev"], rev)

    def test_a_job_is_not_done_without_its_bytes(self):
        self.chain.training_job()
        made = self.chain.make("/datafiles", {"url": "http://192.0.2.1/1.zip"})
        blobs = {"split": ["training.tar.gz", "testing.tar.gz"], "fetch": ["1.zip"], "train": ["trained.caffemodel"]}
        while blobs:
            lease = self.worker.lease()
            for name in blobs.pop(lease.kind):
                refused = lease.finish()
                self.assertEqual(refused.status, 400, refused)
                self.assertIn(name, refused.json["detail"])
                self.assertEqual(lease.put(name, b"x").status, 200)
            self.assertEqual(lease.finish().status, 200)
        self.assertEqual(self.client.get(f"/datafiles/{made['id']}").json["state"], "finished")

    def test_a_log_takes_repeats_and_refuses_gaps(self):
        job = self.chain.training_job()
        self.worker.split()
        lease = self.worker.lease()
        self.assertEqual(lease.log("hello ").json, {"offset": 6})
        self.assertEqual(lease.log("hello ").json, {"offset": 6})
        self.assertEqual(lease.log("lo world", offset=3).json, {"offset": 11})
        gap = lease.log("x", offset=20)
        self.assertEqual((gap.status, gap.json), (416, {"offset": 11}))
        self.assertEqual(self.client.get(f"/training-jobs/{job['id']}/logs").body, b"hello world")
        self.assertEqual(lease.log("x", stream="stdin").status, 400)
        self.assertEqual(lease.client.put(lease.base + "/log?stream=stderr", b"x").status, 400)
        self.assertEqual(lease.log("x", offset=-1).status, 400)
        self.assertEqual(lease.log("x" * (1024 * 1024 + 1), offset=11).status, 413)

    def test_logs_of_all_attempts_follow_each_other(self):
        job = self.chain.training_job()
        self.worker.split()
        lease = self.worker.lease()
        lease.log("first\n")
        lease.finish("released")
        self.worker.lease().log("second\n")
        self.assertEqual(self.client.get(f"/training-jobs/{job['id']}/logs").body, b"first\nsecond\n")

    def test_a_lost_attempt_hands_its_snapshots_on(self):
        self.chain.training_job()
        self.worker.split()
        lease = self.worker.lease()
        self.assertNotIn("snapshot.tar", lease.inputs)
        lease.put("snapshot.tar", b"model and state at 60")
        lease.finish("released")
        lease = self.worker.lease()
        self.assertEqual(lease.input("snapshot.tar").body, b"model and state at 60")

    def test_inputs_come_in_parts(self):
        self.chain.dataset()
        lease = self.worker.lease()
        name = next(iter(lease.inputs))
        part = lease.input(name, headers={"Range": "bytes=2-4"})
        self.assertEqual((part.status, part.body), (206, b"chi"))
        self.assertEqual(lease.input("other").status, 404)

    def test_a_blob_is_checked_and_replaced(self):
        made = self.chain.make("/datafiles", {"url": "http://192.0.2.1/1.zip"})
        lease = self.worker.lease()
        reply = lease.put("1.zip", b"bytes", headers={"ET-Sha256": sha256(b"bytes").upper()})
        self.assertEqual(reply.json, {"sha256": sha256(b"bytes"), "size": 5})
        self.assertEqual(lease.put("1.zip", b"others", headers={"ET-Sha256": sha256(b"bytes")}).status, 400)
        self.assertEqual(self.client.get(f"/blobs/{made['id']}/1.zip").body, b"bytes")
        self.assertEqual(lease.put("1.zip", b"more").status, 200)
        self.assertEqual(self.client.get(f"/blobs/{made['id']}/1.zip").body, b"more")
        self.assertEqual(lease.put("empty", b"").json, {"sha256": sha256(b""), "size": 0})
        for name in ["..", ".hidden", "a%2Fb"]:
            self.assertIn(lease.put(name, b"x").status, (400, 404), name)

    def test_values_that_are_not_finite_are_words(self):
        job = self.chain.training_job()
        self.worker.split()
        lease = self.worker.lease()
        points = [{"name": f"m{i}", "step": 1, "value": v} for i, v in
                  enumerate(["NaN", "Infinity", "-Infinity", 1, 0.5])]
        self.assertEqual(lease.metrics(points).status, 200)
        self.assertEqual(lease.metrics(points).status, 200)
        metrics = self.client.get(f"/training-jobs/{job['id']}/status").json["metrics"]
        self.assertEqual([metrics[f"m{i}"]["value"] for i in range(5)], ["NaN", "Infinity", "-Infinity", 1, 0.5])
        for value in ["nan", True, None, [1]]:
            self.assertEqual(lease.metrics([{"name": "m", "step": 1, "value": value}]).status, 400, value)
        self.assertEqual(lease.metrics([{"name": "", "step": 1, "value": 1}]).status, 400)

    def test_a_retry_is_told_and_waits(self):
        made = self.chain.make("/datafiles", {"url": "http://192.0.2.1/1.zip"})
        self.assertEqual(self.worker.lease().finish("retry", "the server answers 503").status, 200)
        document = self.client.get(f"/datafiles/{made['id']}").json
        self.assertEqual((document["processing-state"], document["state"]), ("pending", "waiting"))
        self.assertEqual(self.worker.ask().status, 204)

    def test_a_result_changes_what_it_may(self):
        made = self.chain.dataset()
        lease = self.worker.lease()
        lease.put("training.tar.gz", b"x")
        lease.put("testing.tar.gz", b"x")
        lease.finish(result={"labels": ["A"], "_id": "x", "owner": "y", "processing-log": "z", "skipped": 2})
        done = self.client.get(f"/datasets/{made['id']}").json
        self.assertEqual((done["_id"], done["processing-log"], done["skipped"]), (made["id"], "", 2))

    def test_a_wrong_end_is_refused(self):
        self.chain.make("/datafiles", {"url": "http://192.0.2.1/1.zip"})
        lease = self.worker.lease()
        for body in [{}, {"outcome": "lapsed"}, {"outcome": ""}, {"outcome": 1}, {"outcome": "done", "result": []}]:
            self.assertEqual(lease.client.post(lease.base + "/finish", body).status, 400, body)
        self.assertEqual(lease.done().status, 200)

    def test_wrong_requests_for_work_are_refused(self):
        good = {"request_id": secrets.token_hex(16), "worker": "w"}
        for change in [{"request_id": "x"}, {"request_id": "X" * 32}, {"worker": ""}, {"worker": "w" * 200},
                       {"slots": 0}, {"slots": 1.5}, {"wait_ms": -1}, {"wait_ms": 60001}, {"pools": "cpu"},
                       {"pools": [1]}, {"pools": ["p"] * 41}]:
            self.assertEqual(self.worker.client.post("/leases", {**good, **change}).status, 400, change)


if __name__ == "__main__":
    unittest.main()
