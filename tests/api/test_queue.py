"""What users and the operator say about jobs: order, limits, force, retries, times, arrays, dependencies."""

import datetime
import json
import select
import time
import unittest

from kit import SOLVER, Case, Client, sha1

LONG_AGO = "2001-01-01T00:00:00Z"


def later(seconds):
    now = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=seconds)
    return now.isoformat().replace("+00:00", "Z")


class Queue(Case):
    def setUp(self):
        super().setUp()
        self.admin = Client(self.server.url, token=self.server.admin_token)

    def ready_solver(self):
        """A solver whose dataset is there."""
        solver = self.chain.solver()
        self.worker.split()
        return solver["id"]

    def names_of_leases(self, n):
        return [self.worker.lease(wait_ms=0).id for _ in range(n)]

    def refuse(self, reply, status, *words):
        self.assertEqual(reply.status, status, reply)
        for word in words:
            self.assertIn(word, reply.json["detail"])
        return reply.json.get("errors", [{}])[0].get("pointer")


class Order(Queue):
    def test_jobs_are_moved(self):
        solver = self.ready_solver()
        a, b, c = (self.chain.training_job(solver)["id"] for _ in range(3))
        reply = self.client.post(f"/training-jobs/{c}/move", {"before": "first"})
        self.assertEqual((reply.status, reply.json["id"]), (200, c))
        self.client.post(f"/training-jobs/{a}/move", {"before": "last"})
        self.assertEqual(self.names_of_leases(3), [c, b, a])

    def test_a_job_is_moved_before_another_and_gets_its_priority(self):
        solver = self.ready_solver()
        a = self.chain.training_job(solver, priority=5)["id"]
        b = self.chain.training_job(solver)["id"]
        reply = self.client.post(f"/training-jobs/{b}/move", {"before": a})
        self.assertEqual(reply.json["priority"], 5)
        self.assertEqual(self.names_of_leases(2), [b, a])

    def test_a_priority_is_changed(self):
        solver = self.ready_solver()
        a, b = (self.chain.training_job(solver)["id"] for _ in range(2))
        self.assertEqual(self.client.post(f"/training-jobs/{b}/move", {"priority": 1}).json["priority"], 1)
        self.assertEqual(self.names_of_leases(2), [b, a])

    def test_what_cannot_be_moved_says_why(self):
        solver = self.ready_solver()
        a = self.chain.training_job(solver)["id"]
        path = f"/training-jobs/{a}/move"
        self.refuse(self.client.post(path, {}), 400, "where to?")
        self.refuse(self.client.post(path, {"before": "first", "priority": 1}), 400, "where to?")
        self.refuse(self.client.post(path, {"before": "top"}), 400, "neither first nor last")
        self.refuse(self.client.post(path, {"before": "0" * 32}), 404)
        self.refuse(self.client.post(path, {"priority": 5000}), 400)
        self.refuse(self.new_user().post(path, {"before": "first"}), 404)
        self.worker.lease()
        self.refuse(self.client.post(path, {"before": "first"}), 409, "has begun")


class Limits(Queue):
    def test_an_admin_limits_a_user(self):
        path = f"/users/{self.name}/limits"
        self.assertEqual(self.client.get(path).json, {"running": 0, "queued": 0})
        self.refuse(self.client.request("PUT", path, {"running": 1}), 403)
        self.assertEqual(self.admin.request("PUT", path, {"running": 1, "queued": 2}).json,
                         {"running": 1, "queued": 2})
        self.assertEqual(self.client.get(path).json, {"running": 1, "queued": 2})
        self.refuse(self.new_user().get(path), 404)
        self.refuse(self.admin.request("PUT", "/users/nobody-of-that-name/limits", {}), 404)
        self.refuse(self.admin.request("PUT", path, {"running": -1}), 400)

    def test_no_more_are_queued_nor_run(self):
        solver = self.ready_solver()
        self.admin.request("PUT", f"/users/{self.name}/limits", {"running": 1, "queued": 2})
        for _ in range(2):
            self.chain.training_job(solver)
        self.refuse(self.client.post("/training-jobs", {"solver-id": solver}), 429, "2 of at most 2")
        self.refuse(self.client.post("/training-jobs", {"solver-id": solver, "array": [{}] * 3}), 429)
        self.worker.lease()
        self.chain.training_job(solver)
        self.assertEqual(self.worker.ask(wait_ms=0).status, 204)


class Cancel(Queue):
    def test_a_forced_cancel_is_told_to_the_worker(self):
        solver = self.ready_solver()
        job = self.chain.training_job(solver)["id"]
        lease = self.worker.lease()
        self.assertEqual(lease.heartbeat().json, {"cancel": False, "force": False})
        self.client.post(f"/training-jobs/{job}/cancel")
        self.assertEqual(lease.heartbeat().json, {"cancel": True, "force": False})
        self.client.post(f"/training-jobs/{job}/cancel", {"force": True})
        self.assertEqual(lease.heartbeat().json, {"cancel": True, "force": True})
        lease.finish("cancelled")
        self.assertEqual(self.client.get(f"/training-jobs/{job}").json["state"], "cancelled")


class Policy(Queue):
    def test_a_failure_is_retried_when_the_job_says_so(self):
        solver = self.ready_solver()
        job = self.chain.training_job(solver, **{
            "retries": 1, "retry-on-failure": True, "retry-delay-seconds": 1})
        self.assertEqual((job["retries"], job["retry-on-failure"], job["retry-delay-seconds"]), (1, True, 1))
        self.worker.lease().finish("failed", "NaN")
        self.assertEqual(self.client.get(f"/training-jobs/{job['id']}").json["state"], "waiting")
        self.worker.lease().finish("failed", "NaN")
        document = self.client.get(f"/training-jobs/{job['id']}").json
        self.assertEqual((document["state"], document["processing-log"]),
                         ("failed", "NaN (given up after 2 attempts)"))

    def test_a_job_waits_for_its_time(self):
        solver = self.ready_solver()
        at = later(1)
        job = self.chain.training_job(solver, **{"not-before": at})
        self.assertEqual((job["state"], job["not-before"]), ("waiting", at))
        self.assertEqual(self.worker.lease().id, job["id"])
        self.assertGreaterEqual(later(0), at)

    def test_a_time_that_is_past_is_no_wait(self):
        job = self.chain.training_job(self.ready_solver(), **{"not-before": LONG_AGO})
        self.assertEqual(job["state"], "ready")

    def test_a_time_that_is_none_is_refused(self):
        solver = self.ready_solver()
        for text in ("tomorrow", "2027-02-30T00:00:00Z", "2027-02-03"):
            reply = self.client.post("/training-jobs", {"solver-id": solver, "not-before": text})
            self.assertEqual(self.refuse(reply, 400, "no time such as"), "/not-before")


class Gpus(Queue):
    def test_a_wish_without_a_pool_of_gpus_is_trained_on_the_cpu_and_told_to_the_worker(self):
        solver = self.ready_solver()
        wishing = self.chain.solver(solver=SOLVER.replace("solver_mode: CPU", "solver_mode: GPU"),
                                    dataset=self.client.get(f"/solvers/{solver}").json["dataset-id"])["id"]
        for job in (self.chain.training_job(solver, gpu=True), self.chain.training_job(wishing)):
            self.assertEqual((job["pool"], job["state"]), ("cpu", "ready"))
            lease = self.worker.lease()
            self.assertEqual((lease.id, lease.spec["gpu"]), (job["id"], True))
        job = self.chain.training_job(solver, **{"gpu-required": True})
        self.assertEqual(job["pool"], "gpu")
        self.assertEqual(self.worker.ask(wait_ms=0).status, 204)
        why = self.client.get(f"/training-jobs/{job['id']}/why").json["why"]
        self.assertIn("in pool 'gpu', which gives it 1 GPU; no worker serves that pool now", why)


class Dependencies(Queue):
    def test_any_job_waits_for_others(self):
        solver = self.ready_solver()
        first = self.chain.training_job(solver)["id"]
        second = self.chain.training_job(solver, after=[first])
        self.assertEqual((second["state"], second["after"]), ("waiting", [first]))
        datafile = self.chain.datafile()["id"]
        dataset = self.chain.make("/datasets", {
            "training": {"datafile-id": datafile, "split-percentage": 0.5},
            "test": {"datafile-id": datafile, "split-percentage": 0.5}, "after": [second["id"]]})
        self.assertEqual(dataset["state"], "waiting")
        classifier = self.chain.classifier(first)["id"]
        classify = self.chain.make(f"/classifiers/{classifier}/classify",
                                   {"urls": ["http://192.0.2.1/a.png"], "after": [second["id"]]})
        self.assertEqual((classify["state"], classify["after"]), ("waiting", [second["id"]]))
        self.worker.train()
        self.assertEqual(self.client.get(f"/training-jobs/{second['id']}").json["state"], "ready")
        self.worker.lease().finish("failed", "NaN")
        for path in (f"/datasets/{dataset['id']}", f"/classify-jobs/{classify['id']}"):
            document = self.client.get(path).json
            self.assertEqual(document["state"], "failed")
            self.assertIn("NaN", document["processing-log"])

    def test_a_script_waits_too(self):
        solver = self.ready_solver()
        first = self.chain.training_job(solver)["id"]
        reply = self.client.post("/jobs", parts=[("document", '{"after": ["%s"], "retries": 0}' % first),
                                                 ("script", "run.sh", b"#!/bin/sh\n")])
        self.assertEqual((reply.status, reply.json["state"], reply.json["retries"]), (201, "waiting", 0), reply)
        self.client.post(f"/training-jobs/{first}/cancel")
        document = self.client.get(f"/jobs/{reply.json['id']}").json
        self.assertEqual(document["state"], "failed")
        self.assertIn("was cancelled", self.client.get(f"/jobs/{reply.json['id']}/why").json["why"])

    def test_images_in_a_form_wait_too(self):
        solver = self.ready_solver()
        first = self.chain.training_job(solver)["id"]
        classifier = self.chain.classifier(first)["id"]
        path = f"/classifiers/{classifier}/classify"
        second = self.chain.training_job(solver)["id"]
        self.worker.train()
        job = self.chain.make(path, parts=[("files", "a.png", b"x"), ("after", second), ("after", first),
                                           ("priority", "3"), ("retry-on-failure", "true"), ("max-seconds", "9")])
        self.assertEqual((job["state"], job["after"], job["priority"], job["retry-on-failure"], job["max-seconds"]),
                         ("waiting", [second, first], 3, True, 9))
        for parts, words in (([("priority", "high")], "an integer"), ([("priority", "1"), ("priority", "2")], "two"),
                             ([("after", "x")], "the id")):
            self.refuse(self.client.post(path, parts=[("files", "a.png", b"x")] + parts), 400, words)

    def test_what_is_not_there_cannot_be_waited_for(self):
        solver = self.ready_solver()
        theirs = self.new_user()
        for ids, pointer in ((["0" * 32], "/after/0"), (["x"], "/after/0")):
            reply = self.client.post("/training-jobs", {"solver-id": solver, "after": ids})
            self.assertEqual(self.refuse(reply, 400), pointer)
        self.refuse(theirs.post("/training-jobs", {"solver-id": solver}), 400)


class Arrays(Queue):
    def make(self, solver, elements, **more):
        return self.chain.make("/training-jobs", {"solver-id": solver, "array": elements, **more})

    def jobs(self, array, limit=100):
        found, token = [], None
        while True:
            page = self.client.get(f"/arrays/{array}/jobs?limit={limit}" + (f"&page_token={token}" if token else ""))
            self.assertEqual(page.status, 200, page)
            found += page.json["items"]
            token = page.json["next_page_token"]
            if token is None:
                return found

    def all_made(self, array):
        """A large one's last elements may follow its answer."""
        while True:
            shown = self.client.get(f"/arrays/{array}").json
            if shown["made"] == shown["size"]:
                return shown

    def test_one_request_makes_a_job_of_each_parameter_set(self):
        solver = self.ready_solver()
        sets = [{"base_lr": 0.1}, {"base_lr": 0.2, "max_iter": 7}, {"lr_policy": "step", "gamma": 0.5,
                                                                    "stepsize": 10}]
        array = self.make(solver, sets, priority=3)
        self.assertEqual((array["type"], array["of"], array["size"]), ("array", "training-job", 3))
        jobs = self.jobs(array["id"], limit=2)
        self.assertEqual([j["parameters"] for j in jobs], sets)
        statuses = [self.client.get(f"/training-jobs/{j['id']}/status").json for j in jobs]
        self.assertEqual([status["max-iterations"] for status in statuses], [100, 7, 100])
        self.assertEqual({(j["array-id"], j["priority"], j["state"]) for j in jobs}, {(array["id"], 3, "ready")})
        leases = [self.worker.lease(wait_ms=0) for _ in sets]
        self.assertEqual([lease.id for lease in leases], [j["id"] for j in jobs])
        self.assertEqual([lease.spec["solver"] for lease in leases], sets)
        self.assertEqual(leases[1].spec["max_iter"], 7)
        leases[0].finish("failed", "NaN")
        shown = self.client.get(f"/arrays/{array['id']}").json
        self.assertEqual(shown["jobs"], {"waiting": 0, "ready": 0, "leased": 2, "finished": 0, "failed": 1,
                                         "cancelled": 0})
        self.assertEqual((shown["made"], shown["ended"]), (3, False))

    def test_an_array_is_moved_whole(self):
        solver = self.ready_solver()
        first = self.chain.training_job(solver)["id"]
        array = self.make(solver, [{"base_lr": 0.1}, {"base_lr": 0.2}])["id"]
        last = self.chain.training_job(solver, priority=1)["id"]
        moved = self.client.post(f"/arrays/{array}/move", {"before": "first"})
        self.assertEqual((moved.status, moved.json["id"]), (200, array))
        self.assertEqual([j["priority"] for j in self.jobs(array)], [1, 1])
        self.assertEqual(self.names_of_leases(4), [j["id"] for j in self.jobs(array)] + [last, first])
        self.refuse(self.client.post(f"/arrays/{array}/move", {"before": "last"}), 409, "all of array", "has begun")
        self.refuse(self.new_user().post(f"/arrays/{array}/move", {"before": "first"}), 404)

    def test_a_wrong_parameter_is_told_with_its_place_and_nothing_is_made(self):
        solver = self.ready_solver()
        for parameters, words in (
                ({"base_lt": 0.1}, ["base_lt", "did you mean 'base_lr'?"]),
                ({"base_lr": "fast"}, ["base_lr"]),
                ({"base_lr": [0.1]}, ["base_lr"]),
                ({"base_lr": None}, ["base_lr"]),
                ({"net": "/etc/passwd"}, ["'net' is the same for all"]),
                ({"snapshot_prefix": "/x"}, ["the same for all"]),
                ({"max_iter": 0}, ["max_iter must be at least 1"]),
                ({"lr_policy": "fixde"}, ["lr_policy"]),
                ({"solver_type": "adma"}, ["solver_type"])):
            reply = self.client.post("/training-jobs", {"solver-id": solver, "array": [{"gamma": 1}, parameters]})
            self.assertEqual(self.refuse(reply, 400, *words), "/array/1")
        for array in ([], [1], {}, "x"):
            self.refuse(self.client.post("/training-jobs", {"solver-id": solver, "array": array}), 400)
        self.assertEqual(self.client.get("/training-jobs").json["items"], [])
        self.assertEqual(self.client.get("/arrays").json["items"], [])

    def test_an_array_is_cancelled_and_deleted_whole(self):
        solver = self.ready_solver()
        array = self.make(solver, [{"random_seed": n} for n in range(300)])["id"]
        running = self.worker.lease()
        self.refuse(self.client.delete(f"/arrays/{array}"), 409, "cancel it first")
        shown = self.client.post(f"/arrays/{array}/cancel", {"force": True}).json
        self.assertEqual((shown["jobs"]["cancelled"], shown["jobs"]["leased"]), (299, 1))
        self.assertEqual(running.heartbeat().json["force"], True)
        running.finish("cancelled")
        self.assertTrue(self.client.get(f"/arrays/{array}").json["ended"])
        self.assertEqual(self.client.delete(f"/arrays/{array}").status, 204)
        self.assertEqual(self.client.get(f"/arrays/{array}").status, 404)
        self.assertEqual(self.client.get("/training-jobs").json["items"], [])

    def test_another_user_sees_nothing_of_it(self):
        array = self.make(self.ready_solver(), [{}])["id"]
        other = self.new_user()
        for reply in (other.get(f"/arrays/{array}"), other.get(f"/arrays/{array}/jobs"),
                      other.post(f"/arrays/{array}/cancel"), other.delete(f"/arrays/{array}")):
            self.assertEqual(reply.status, 404)

    def test_ten_thousand_are_one_request(self):
        solver = self.ready_solver()
        sets = [{"base_lr": 0.001, "random_seed": n} for n in range(10000)]
        begin = time.monotonic()
        array = self.make(solver, sets)["id"]
        print(f"# 10,000 jobs in {time.monotonic() - begin:.1f} s")
        shown = self.all_made(array)
        self.assertEqual((shown["made"], shown["jobs"]["ready"]), (10000, 10000))
        page = self.client.get(f"/arrays/{array}/jobs?limit=1000&page_token=9000").json
        self.assertEqual((len(page["items"]), page["next_page_token"]), (1000, None))
        self.assertEqual(page["items"][-1]["parameters"]["random_seed"], 9999)
        begin = time.monotonic()
        self.assertEqual(self.client.post(f"/arrays/{array}/cancel").json["jobs"]["cancelled"], 10000)
        print(f"# cancelled in {time.monotonic() - begin:.1f} s")

    def test_a_repeated_request_makes_one_array(self):
        solver = self.ready_solver()
        body, key = {"solver-id": solver, "array": [{}, {}]}, {"Idempotency-Key": "k"}
        one = self.client.post("/training-jobs", body, headers=key).json["id"]
        self.assertEqual(self.client.post("/training-jobs", body, headers=key).json["id"], one)
        self.assertEqual(len(self.client.get("/training-jobs").json["items"]), 2)


class ArraysOfAnyJob(Queue):
    jobs, all_made = Arrays.jobs, Arrays.all_made

    def script(self, document, status=201):
        reply = self.client.post("/jobs", parts=[("document", json.dumps(document)), ("script", "run.py", b"pass")])
        self.assertEqual(reply.status, status, reply)
        return reply.json

    def results(self, array, query=""):
        reply = self.client.get(f"/arrays/{array}/results{query}")
        self.assertEqual(reply.status, 200, reply)
        return reply.json

    def test_each_element_of_a_script_has_its_parameters_beside_those_of_all(self):
        array = self.script({"parameters": {"depth": 3, "trees": 1, "of": {"a": 1}}, "priority": 4, "retries": 0,
                             "max-seconds": 60, "array": [{"trees": 10}, {"trees": 20, "depth": None},
                                                          {"of": {"b": 2}}]})
        self.assertEqual((array["of"], array["size"], array["script"]), ("job", 3, "run.py"))
        expected = [{"depth": 3, "trees": 10, "of": {"a": 1}}, {"trees": 20, "of": {"a": 1}},
                    {"depth": 3, "trees": 1, "of": {"a": 1, "b": 2}}]
        jobs = self.jobs(array["id"])
        self.assertEqual([j["parameters"] for j in jobs], expected)
        self.assertEqual({(j["priority"], j["retries"], j["max-seconds"], j["state"]) for j in jobs},
                         {(4, 0, 60, "ready")})
        leases = [self.worker.lease() for _ in jobs]
        self.assertEqual([(lease.id, lease.spec["parameters"]) for lease in leases],
                         [(j["id"], p) for j, p in zip(jobs, expected)])
        self.assertEqual(leases[1].input("script").body, b"pass")
        leases[0].metrics([{"name": "loss", "step": s, "value": 1 / s, "at": 1} for s in (1, 2)])
        leases[0].finish("done", result={"exit-status": 0, "result": {"score": 1}})
        leases[1].finish("failed", "exit status 1")
        shown = self.results(array["id"], "?metrics=true")
        self.assertIsNone(shown["next_page_token"])
        items = shown["items"]
        self.assertEqual([(i["index"], i["id"], i["parameters"]) for i in items],
                         [(n, j["id"], p) for n, (j, p) in enumerate(zip(jobs, expected))])
        self.assertEqual([(i["state"], i["result"]) for i in items],
                         [("finished", {"score": 1}), ("failed", None), ("leased", None)])
        self.assertEqual((items[0]["metrics"], items[1]["metrics"]), ({"loss": {"step": 2, "value": 0.5}}, {}))
        self.assertEqual(items[1]["processing-log"], "exit status 1")
        self.assertIsNone(self.results(array["id"])["items"][0]["metrics"])
        leases[2].finish("failed", "x")

    def test_each_element_of_a_classify_array_has_its_images_beside_those_of_all(self):
        classifier = self.chain.classifier()["id"]
        self.worker.split()
        self.worker.train()
        reply = self.client.post(f"/classifiers/{classifier}/classify", parts=[
            ("files", "a.png", b"picture"), ("urls", "http://192.0.2.1/all"), ("priority", "7"),
            ("array", '{"urls": ["http://192.0.2.1/1"]}'), ("array", '{"urls": ["http://192.0.2.1/2"]}')])
        self.assertEqual((reply.status, reply.json["of"], reply.json["classifier-id"]),
                         (201, "classify-job", classifier), reply)
        jobs = self.jobs(reply.json["id"])
        for n, job in enumerate(jobs, 1):
            keys = [sha1("http://192.0.2.1/all"), sha1(b"picture"), sha1(f"http://192.0.2.1/{n}")]
            self.assertEqual(job["results"], {f"cbfs://{job['id']}/{k}": "pending" for k in keys})
            self.assertEqual((job["priority"], job["parameters"]), (7, {"urls": [f"http://192.0.2.1/{n}"]}))
            lease = self.worker.lease()
            self.assertEqual([image["key"] for image in lease.spec["images"]], keys)
            self.assertEqual(lease.input(keys[1]).body, b"picture")
            lease.finish("done", result={"results": {k: "A" for k in keys}})
        for item in self.results(reply.json["id"])["items"]:
            self.assertEqual((item["state"], set(item["result"].values())), ("finished", {"A"}))

    def test_what_is_wrong_with_an_element_is_told_with_its_place(self):
        classifier = self.chain.classifier()["id"]
        reply = self.client.post(f"/classifiers/{classifier}/classify",
                                 {"array": [{"urls": ["http://192.0.2.1/1"]}, {"urls": ["ftp://x"]}]})
        self.assertEqual(self.refuse(reply, 400, "http://"), "/array/1")
        self.assertIn("at most 100000", self.script(
            {"parameters": {"a": "x" * 50000}, "array": [{}, {"b": "x" * 50000}]}, 400)["detail"])
        deep = json.loads("[" * 90 + "]" * 90)
        self.assertIn("nest", self.script({"parameters": {"a": deep}}, 400)["detail"])
        self.assertIn("nest", self.script({"array": [{"a": deep}]}, 400)["detail"])

    def test_ten_thousand_sets_of_200_bytes_are_one_request_and_their_results_one_page(self):
        sets = [{"n": n, "words": "x" * 180} for n in range(10000)]
        begin = time.monotonic()
        array = self.script({"array": sets})["id"]
        self.all_made(array)
        print(f"# 10,000 scripts in {time.monotonic() - begin:.1f} s")
        lease = self.worker.lease()
        lease.finish("done", result={"exit-status": 0, "result": {"n": lease.spec["parameters"]["n"]}})
        for query in ("", "?metrics=true"):
            begin = time.monotonic()
            page = self.results(array, query)
            print(f"# their results{query} in {time.monotonic() - begin:.1f} s")
            self.assertIsNone(page["next_page_token"])
            self.assertEqual([i["parameters"] for i in page["items"]], sets)
            self.assertEqual(page["items"][0]["result"], {"n": 0})
        page = self.results(array, "?limit=300&page_token=9800")
        self.assertEqual([i["index"] for i in page["items"]], list(range(9800, 10000)))
        self.assertEqual(self.results(array, "?limit=300")["next_page_token"], "300")
        self.refuse(self.client.get(f"/arrays/{array}/results?limit=10001"), 400)
        self.client.post(f"/arrays/{array}/cancel")

    def test_large_requests_are_bounded_together(self):
        head = (f"POST /jobs HTTP/1.1\r\nHost: x\r\nAuthorization: {self.client.authorization}\r\n"
                "Content-Type: application/json\r\nContent-Length: 16000000\r\n\r\n").encode()
        sockets = [self.server.connect() for _ in range(3)]
        try:
            for s in sockets:
                try:
                    s.sendall(head + b" " * 15000000)
                except OSError:
                    pass  # it is refused before all is sent
            refused = select.select(sockets, [], [], 30)[0]
            self.assertIn(b" 503 ", refused[0].recv(100))
        finally:
            for s in sockets:
                s.close()

    def test_a_request_over_its_bound_is_refused(self):
        reply = self.client.post("/jobs", parts=[("document", json.dumps({"array": [{"x": "x" * 10000}] * 1700})),
                                                 ("script", "run.py", b"")])
        self.refuse(reply, 413, "16 MiB")


class Schedules(Queue):
    def make(self, solver, cron="*/5 * * * *", **more):
        return self.chain.make("/schedules", {"cron": cron, "job": {"solver-id": solver}, **more})

    def test_a_schedule_is_made_listed_paused_and_deleted(self):
        solver = self.ready_solver()
        made = self.make(solver, overlap="queue")
        path = f"/schedules/{made['id']}"
        self.assertEqual((made["of"], made["overlap"], made["paused"], made["runs"], made["timezone"]),
                         ("training-job", "queue", False, 0, "UTC"))
        self.assertRegex(made["next-run"], r"^20..-..-..T..:[0-5][05]:00.000Z$")
        self.assertEqual([s["id"] for s in self.client.get("/schedules").json["items"]], [made["id"]])
        self.assertIsNone(self.client.request("PATCH", path, {"paused": True}).json["next-run"])
        changed = self.client.request("PATCH", path, {"paused": False, "cron": "@daily"}).json
        self.assertRegex(changed["next-run"], "T00:00:00.000Z$")
        self.assertEqual(self.client.get(path + "/jobs").json, {"items": [], "next_page_token": None})
        self.refuse(self.client.delete(f"/solvers/{solver}"), 409, "used by")
        self.assertEqual(self.new_user().get(path).status, 404)
        self.assertEqual(self.client.delete(path).status, 204)
        self.assertEqual(self.client.get(path).status, 404)

    def test_any_job_is_repeated(self):
        classifier = self.chain.classifier()["id"]
        made = self.chain.make("/schedules", {"cron": "@daily", "type": "classify-job", "job": {
            "classifier-id": classifier, "urls": ["http://192.0.2.1/a.png"], "priority": 2}})
        self.assertEqual((made["of"], made["job"]["priority"]), ("classify-job", 2))
        body = {"cron": "@daily", "type": "job", "job": {"parameters": {"a": 1}}}
        made = self.chain.make("/schedules", parts=[("document", json.dumps(body)), ("script", "a.py", b"pass")])
        self.assertEqual(made["of"], "job")
        first = self.chain.make("/jobs", parts=[("document", '{"parameters": {"a": 1}}'), ("script", "a.py", b"pass")])
        body["job"]["script-of"] = first["id"]
        self.chain.make("/schedules", body)
        again = self.chain.make("/jobs", {"script-of": first["id"]})
        self.assertEqual((again["script"], again["parameters"]), ("a.py", {}))
        self.assertEqual(self.refuse(self.client.post("/schedules", {**body, "job": {}}), 400, "'script' is missing"),
                         "/job/script")
        body["job"]["script-of"] = "0" * 32
        self.assertEqual(self.refuse(self.client.post("/schedules", body), 400), "/job/script-of")
        reply = self.client.post("/schedules", parts=[("script", "a.py", b"pass"), ("document", json.dumps(
            {"cron": "@daily", "job": {"solver-id": self.chain.solver()["id"]}}))])
        self.refuse(reply, 400, "takes no script")

    def test_a_wrong_time_is_told_once(self):
        body = {"cron": "61 * * * *", "type": "job", "job": {"script": "a"}}
        reply = self.client.post("/schedules", body)
        self.assertEqual(reply.json["detail"], "cron: '61' is no minute: numbers from 0 to 59, such as *, 5, 1-5, */2 "
                         "or 1,3")

    def test_what_cannot_be_repeated_says_why(self):
        solver = self.ready_solver()
        for body, pointer in (
                ({"cron": "x * * * *", "job": {"solver-id": solver}}, "/cron"),
                ({"cron": "0 0 30 2 *", "job": {"solver-id": solver}}, "/cron"),
                ({"cron": "@daily", "job": {"solver-id": "0" * 32}}, "/job/solver-id"),
                ({"cron": "@daily", "job": {}}, "/job/solver-id"),
                ({"cron": "@daily", "job": {"solver-id": solver, "array": [{}]}}, "/job"),
                ({"cron": "@daily", "job": {"solver-id": solver, "not-before": later(9)}}, "/job"),
                ({"cron": "@daily", "timezone": "Europe/Rome", "job": {"solver-id": solver}}, "/timezone")):
            self.assertEqual(self.refuse(self.client.post("/schedules", body), 400), pointer)
        made = self.make(solver)
        reply = self.client.request("PATCH", f"/schedules/{made['id']}", {"cron": "* *"})
        self.assertEqual(self.refuse(reply, 400), "/cron")


class Why(Queue):
    def why(self, job, collection="training-jobs"):
        reply = self.client.get(f"/{collection}/{job}/why")
        self.assertEqual(reply.status, 200, reply)
        return reply.json

    def test_it_waits_for_documents_and_a_time(self):
        job = self.chain.training_job()
        answer = self.why(job["id"])
        dataset = job["dataset-id"]
        self.assertEqual((answer["state"], answer["needs"]),
                         ("waiting", [{"id": dataset, "type": "dataset", "state": "ready"}]))
        self.assertEqual(answer["why"], f"it waits for dataset {dataset} (ready)")
        self.worker.split()
        at = later(3600)
        timed = self.chain.training_job(job["solver-id"], **{"not-before": at})["id"]
        self.assertRegex(self.why(timed)["why"], "^it waits until 20.*Z, (59|60) min from now$")

    def test_its_place_is_by_fair_share(self):
        solver = self.ready_solver()
        other = self.new_user()
        other.chain = type(self.chain)(other, self.worker)
        theirs = other.chain.solver()["id"]
        self.worker.split()
        mine = [self.chain.training_job(solver)["id"] for _ in range(3)]
        other.chain.training_job(theirs)
        # Mine, theirs, mine, mine: owners take turns.
        self.assertEqual([(w["place"], w["ready"]) for w in map(self.why, mine)], [(1, 4), (3, 4), (4, 4)])
        for document in other.get("/training-jobs").json["items"]:
            other.post(f"/training-jobs/{document['id']}/cancel")

    def test_a_limit_is_told(self):
        solver = self.ready_solver()
        self.admin.request("PUT", f"/users/{self.name}/limits", {"running": 1})
        self.chain.training_job(solver)
        second = self.chain.training_job(solver)["id"]
        self.worker.lease()
        answer = self.why(second)
        self.assertEqual((answer["running"], answer["limit"], answer["starts"]), (1, 1, None))
        self.assertIn("1 of your jobs run there, and 1 may", answer["why"])

    def test_a_pool_without_workers_is_told(self):
        self.worker.name = "none-" + self.name
        job = self.chain.training_job(self.ready_solver(), **{"gpu-required": True})["id"]
        answer = self.why(job)
        self.assertEqual((answer["pool"], answer["workers"]), ("gpu", 0))
        self.assertIn("no worker serves that pool now", answer["why"])

    def test_a_running_and_an_ended_one_say_so(self):
        solver = self.ready_solver()
        job = self.chain.training_job(solver)["id"]
        lease = self.worker.lease()
        answer = self.why(job)
        self.assertEqual((answer["state"], answer["worker"]), ("leased", self.worker.name))
        self.assertIn(f"it runs on worker '{self.worker.name}'", answer["why"])
        lease.finish("failed", "NaN")
        self.assertEqual(self.why(job)["why"], "it is over: it failed: NaN")
        done = self.chain.training_job(solver)["id"]
        self.worker.train()
        self.assertEqual(self.why(done)["why"], "it is over: it finished well")
        self.assertEqual(self.new_user().get(f"/training-jobs/{job}/why").status, 404)

    def test_a_retry_tells_what_went_wrong(self):
        job = self.chain.training_job(self.ready_solver(), **{"retry-delay-seconds": 600})["id"]
        self.worker.lease().finish("retry", "disk full")
        self.assertRegex(self.why(job)["why"],
                         r"^it waits until .*, (9|10) min from now; attempt 1 of 6 ended: disk full$")


if __name__ == "__main__":
    unittest.main()
