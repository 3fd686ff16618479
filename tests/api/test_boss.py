"""The Boss's API: the exchanges recorded from the original, with a client of
ours in the place of its own, and what the original never answered."""

import importlib.util
import json
import os
import re
import shutil
import signal
import tempfile
import threading
import unittest

import harness
import kit

JOB = {
    "hiddenLayers": [{"activation": "relu", "widthModifier": 4, "dropout": 0.2},
                     {"activation": "relu", "widthModifier": 2.3, "dropout": 0.2}],
    "dataFileName": "wine_data.csv", "scriptName": "nn.py", "projectName": "wine_data",
    "depedentVariable": "con_lot", "crossValidateOnly": True, "crossValidationCrossingType": "neg_mean_squared_error",
    "batchSize": 100000, "epochs": 3000, "patienceRate": 0.05, "slowLearningRate": 0.01, "loss": "mse",
    "pcaComponents": -1, "extraTreesKeepThreshd": 0, "saveWeightsOnlyAtEnd": False, "optimizer": "rmsprop",
    "lastLayerActivator": "", "learningRate": 0.05, "l1": 0.1, "l2": 0.1, "minDependentVarValue": 0,
    "maxDependentVarValue": 1500, "scalerType": "standard",
}
NONE = {"error": "No Jobs or all are assigned."}
DATE = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z"


class Case(unittest.TestCase):
    arguments = ["--boss-api", "boss"]

    def setUp(self):
        self.server = harness.Server(self.arguments)
        self.addCleanup(self.stop)

    def stop(self):
        if self.server:
            self.server.stop()

    def reply(self, method, path, body=None):
        reply = self.server.request(method, path, body)
        self.assertEqual(reply.status, 200, reply)
        self.assertEqual(reply.headers["Access-Control-Allow-Origin"], "*")
        if reply.body:
            self.assertEqual(reply.headers["Content-Type"], "application/json; charset=utf-8")
        return reply

    def post(self, path, body=None):
        return self.reply("POST", path, body).json

    def get(self, path):
        reply = self.reply("GET", path)
        return reply.json if reply.body else None

    def create(self, **fields):
        return self.post("/job/create", {**JOB, **fields})

    def statuses(self):
        return [o["status"] for o in self.get("/retrieve/order")]


class Boss(Case):
    def test_a_job_becomes_an_order_that_a_node_gets_runs_and_completes(self):
        order = self.create()
        self.assertEqual(sorted(order), ["__v", "_id", "createdDate", "jobId", "projectName", "status"])
        self.assertEqual((order["status"], order["projectName"], order["__v"]), ("unassigned", "wine_data", 0))
        self.assertTrue(re.fullmatch(DATE, order["createdDate"]), order)

        given = self.post("/bored/node-1")
        self.assertEqual(given, {**order, "status": "assigned", "assignedNode": "node-1"})
        self.assertEqual(self.get("/retrieve/order"), [given])

        job = self.get("/retrieve/job/" + given["jobId"])
        self.assertEqual(job, {**JOB, "_id": order["jobId"], "__v": 0})

        done = self.post("/callback", {"status": "completed", "orderId": order["_id"], "workerNodeName": "node-1",
                                       "loss": "12.5", "metric": "3.25"})
        self.assertEqual(done, {**order, "status": "completed", "assignedNode": "node-1"})
        outcome = self.get("/retrieve/outcome/" + order["_id"])
        self.assertEqual((outcome["loss"], outcome["metric"], outcome["status"]), (12.5, 3.25, "completed"))
        self.assertEqual((outcome["orderId"], outcome["workerNodeName"]), (order["_id"], "node-1"))
        self.assertEqual(self.post("/bored/node-1"), NONE)

    def test_the_oldest_unassigned_order_is_next(self):
        orders = [self.create(projectName=str(i)) for i in range(5)]
        self.assertEqual([o["_id"] for o in self.get("/retrieve/order")], [o["_id"] for o in orders])
        given = [self.post("/bored/n%d" % i)["_id"] for i in range(5)]
        self.assertEqual(given, [o["_id"] for o in orders])
        self.assertEqual(self.post("/bored/n6"), NONE)

    def test_the_latest_job_is_told(self):
        self.assertIsNone(self.get("/retrieve/latest-job"))
        self.create(projectName="first")
        self.create(projectName="second")
        self.assertEqual(self.get("/retrieve/latest-job")["projectName"], "second")

    def test_unknown_fields_are_kept(self):
        fields = {"type": "mine", "state": {"a": None}, "_rev": "x", "ünï": "ø", "n": 1 << 53}
        order = self.post("/job/create", fields)
        job = self.get("/retrieve/job/" + order["jobId"])
        self.assertEqual(job, {**fields, "_id": order["jobId"], "__v": 0})
        self.post("/callback", {"orderId": order["_id"], "extra": {"deep": [None, 1]}, "none": None})
        outcome = self.get("/retrieve/outcome/" + order["_id"])
        self.assertEqual((outcome["extra"], outcome["none"]), ({"deep": [None, 1]}, None))

    def test_wrong_requests_get_the_errors_of_the_original(self):
        shape = {"error": "Error with request shape.", "err": {}}
        missing = {"error": "Error with request shape.", "err": {"error": "Missing Id"}}
        for method, path, body, expected in [
                ("POST", "/job/delete", {}, {"error": "No method selected."}),
                ("POST", "/bored/n", None, NONE),
                ("GET", "/retrieve/order", None, []),
                ("GET", "/retrieve/job", None, missing),
                ("GET", "/retrieve/job/", None, missing),
                ("GET", "/retrieve/outcome", None, missing),
                ("GET", "/retrieve/nothing", None, shape),
                ("GET", "/retrieve/nothing/1/2", None, shape),
                ("POST", "/callback", {"status": "completed"}, missing),
                ("POST", "/worker-node/delete", {}, shape),
        ]:
            with self.subTest(path=path):
                self.assertEqual(self.reply(method, path, body).json, expected)

    def test_what_is_not_there_is_an_empty_body(self):
        for path in ["/retrieve/job/undefined", "/retrieve/job/" + "0" * 32, "/retrieve/outcome/undefined",
                     "/retrieve/latest-job", "/retrieve/job/user:boss", "/retrieve/job/undefined/more"]:
            with self.subTest(path=path):
                self.assertEqual(self.reply("GET", path).body, b"")

    def test_bodies_that_are_none_are_answered(self):
        for path in ["/job/create", "/callback", "/worker-node/create"]:
            for body in [b"{", b"[1]", b"\xff", b'{"a":1,"a":2}', b"null"]:
                with self.subTest(path=path, body=body):
                    reply = self.reply("POST", path, body)
                    self.assertEqual(reply.json["error"], "Error with request shape.")
        self.assertEqual(self.get("/retrieve/order"), [])
        reply = self.post("/callback", {"orderId": "undefined", "status": "completed"})
        self.assertIn("no Order 'undefined'", reply["err"]["error"])

    def test_a_script_is_a_plain_name(self):
        for name in ["../nn.py", "a/b.py", "..", "a\\b", "", 5, None, ["nn.py"]]:
            with self.subTest(name=name):
                reply = self.create(scriptName=name)
                self.assertEqual(reply["error"], "Error with request shape.")
                self.assertIn("scriptName", reply["err"]["error"])
        self.assertEqual(self.get("/retrieve/order"), [])

    def test_a_script_that_failed_fails_its_order(self):
        for outcome, status, reason in [
                ({"status": 400, "error": "no such column"}, "400", "no such column"),
                ({"status": "failed"}, "failed", "status failed"),
                ({"status": "completed", "error": {"line": 3}}, "completed", '{"line":3}')]:
            with self.subTest(outcome=outcome):
                order = self.create()
                self.post("/bored/n")
                told = self.post("/callback", {**outcome, "orderId": order["_id"]})
                self.assertEqual((told["status"], told["error"]), (status, reason))
        self.assertEqual(self.post("/bored/n"), NONE)

    def test_losses_that_are_no_numbers_stay_as_they_are(self):
        order = self.create()
        self.post("/callback", {"orderId": order["_id"], "loss": "nan", "metric": 7})
        outcome = self.get("/retrieve/outcome/" + order["_id"])
        self.assertEqual((outcome["loss"], outcome["metric"]), ("nan", 7))

    def test_a_node_that_is_bored_has_lost_its_order_which_fails_after_three_times(self):
        order = self.create()
        for _ in range(3):
            self.assertEqual(self.post("/bored/n")["_id"], order["_id"])
        self.assertEqual(self.post("/bored/n"), NONE)
        told = self.get("/retrieve/order")[0]
        self.assertEqual(told["status"], "failed")
        self.assertIn("node 'n' lost it", told["error"])

    def test_a_lost_order_goes_to_another_node_and_the_late_callback_counts(self):
        order = self.create()
        self.post("/bored/slow")
        self.post("/bored/slow")
        self.assertEqual(self.statuses(), ["assigned"])
        self.create()
        self.assertNotEqual(self.post("/bored/other")["_id"], order["_id"])
        told = self.post("/callback", {"orderId": order["_id"], "status": "completed", "loss": "1",
                                       "workerNodeName": "slow"})
        self.assertEqual(told["status"], "completed")

    def test_an_outcome_counts_before_anybody_was_given_the_order(self):
        order = self.create()
        told = self.post("/callback", {"orderId": order["_id"], "status": "completed"})
        self.assertEqual(told["status"], "completed")
        self.assertEqual(self.post("/bored/n"), NONE)

    def test_a_second_outcome_changes_nothing(self):
        order = self.create()
        self.post("/callback", {"orderId": order["_id"], "status": "completed", "loss": "1"})
        told = self.post("/callback", {"orderId": order["_id"], "status": "failed", "loss": "2"})
        self.assertEqual(told["status"], "completed")
        self.assertEqual(self.get("/retrieve/outcome/" + order["_id"])["loss"], 1)

    def test_no_order_is_given_to_two_nodes(self):
        orders = [self.create()["_id"] for _ in range(40)]
        given, lock = [], threading.Lock()

        def node(number):
            while True:
                reply = self.server.request("POST", "/bored/node-%d" % number).json
                if "_id" not in reply:
                    return
                with lock:
                    given.append(reply["_id"])
                self.server.request("POST", "/callback", {"orderId": reply["_id"], "status": "completed"})

        threads = [threading.Thread(target=node, args=(i,)) for i in range(8)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        self.assertEqual(sorted(given), sorted(orders))
        self.assertEqual(set(self.statuses()), {"completed"})

    def test_worker_nodes_have_an_address_and_a_name_of_their_own(self):
        node = {"address": "http://n1:3000", "name": "n1", "dataPath": "/d", "writePath": "/w", "active": True,
                "busy": False}
        made = self.post("/worker-node/create", node)
        self.assertEqual(made, {**node, "_id": made["_id"], "__v": 0})
        for body, words in [
                ({**node, "address": "http://n2"}, "E11000 duplicate key error"),
                ({**node, "name": "n2"}, "E11000 duplicate key error"),
                ({**node, "address": ""}, "WorkerNode validation failed: address: Path `address` is required."),
                ({"address": "http://n3"}, "WorkerNode validation failed: name: Path `name` is required."),
                ({}, "WorkerNode validation failed: address:")]:
            with self.subTest(body=body):
                self.assertIn(words, self.post("/worker-node/create", body)["error"])

    def test_pages_of_other_sites_may_ask(self):
        headers = {"Origin": "http://elsewhere", "Access-Control-Request-Method": "POST"}
        reply = self.server.request("OPTIONS", "/job/create", headers=headers)
        self.assertEqual(reply.status, 200)
        self.assertIn("POST", reply.headers["Access-Control-Allow-Methods"])
        self.assertIn("Content-Type", reply.headers["Access-Control-Allow-Headers"])
        reply = self.server.request("POST", "/job/create", JOB, headers={"Sec-Fetch-Site": "cross-site"})
        self.assertEqual(reply.status, 200)
        reply = self.server.request("POST", "/users", {}, headers={"Sec-Fetch-Site": "cross-site"})
        self.assertEqual(reply.status, 403)
        self.assertIsNone(reply.headers["Access-Control-Allow-Origin"])

    def test_orders_survive_a_server_that_is_killed(self):
        order = self.create()
        self.post("/bored/n")
        self.server.owns_data = False
        data = self.server.data
        self.server.stop(signal.SIGKILL)
        self.server = None
        self.server = harness.Server(self.arguments, data=data)
        self.server.owns_data = True
        self.assertEqual(self.get("/retrieve/order")[0]["assignedNode"], "n")
        told = self.post("/callback", {"orderId": order["_id"], "status": "completed"})
        self.assertEqual(told["status"], "completed")


class Lapse(Case):
    """With an order's time of one second."""

    arguments = ["--boss-api", "boss", "--order-timeout", "1"]

    def test_an_order_that_no_node_answers_for_goes_back(self):
        order = self.create()
        self.post("/bored/gone")
        while self.statuses() != ["unassigned"]:
            pass
        told = self.post("/callback", {"orderId": order["_id"], "status": "completed"})
        self.assertEqual(told["status"], "completed")


SCRIPTS = {
    "echo.py": """import json, sys
job = json.loads(sys.argv[1])
print("working on", job["projectName"])
print(json.dumps({"metric": "epochs", "value": 3}))
print(json.dumps({"status": "completed", "loss": "2.5", "metric": "3.25", "argv": sys.argv[1:], "data": open("data.txt").read()}))
""",
    "data.txt": "beside the script",
    "exit.py": "import sys\nprint('{\"status\": \"completed\"}')\nsys.exit('no such column')\n",
    "killed.py": "import os\nos.kill(os.getpid(), 9)\n",
    "says.py": "print('{\"status\": 400, \"error\": \"bad data\"}')\n",
    "mute.py": "print('done')\n",
    "forever.py": "import time\nprint('begun', flush=True)\ntime.sleep(600)\n",
    "escape.py": "open('/etc/passwd-et', 'w')\n",
}


@unittest.skipUnless(shutil.which("bwrap"), "bubblewrap is missing")
class OurWorker(Case):
    """Orders run by a worker of our own, beside a foreign node."""

    def setUp(self):
        self.folder = tempfile.mkdtemp(prefix="et-scripts-")
        self.addCleanup(shutil.rmtree, self.folder)
        for name, text in SCRIPTS.items():
            with open(os.path.join(self.folder, name), "w") as file:
                file.write(text)
        self.arguments = ["--boss-api", "boss", "--workers", "1", "--scripts", self.folder, "--registration", "open"]
        super().setUp()

    def order(self, id):
        return next(o for o in self.get("/retrieve/order") if o["_id"] == id)

    def ended(self, id):
        while True:
            order = self.order(id)
            if order["status"] not in ("unassigned", "assigned"):
                return order

    def run_script(self, name, **fields):
        return self.ended(self.create(scriptName=name, **fields)["_id"])

    def test_a_script_gets_the_job_as_its_argument_and_its_last_line_is_the_outcome(self):
        order = self.run_script("echo.py")
        self.assertEqual(order["status"], "completed")
        outcome = self.get("/retrieve/outcome/" + order["_id"])
        self.assertEqual((outcome["metric"], outcome["orderId"], outcome["workerNodeName"]),
                         (3.25, order["_id"], order["assignedNode"]))
        self.assertEqual((outcome["loss"], outcome["orderId"], outcome["data"]),
                         (2.5, order["_id"], "beside the script"))
        argument = json.loads(outcome["argv"][0])
        self.assertEqual(argument, {**JOB, "scriptName": "echo.py", "_id": order["jobId"], "__v": 0,
                                    "assignmentId": order["_id"], "callbackAddress": self.server.url})
        self.assertEqual(len(outcome["argv"]), 1)

    def test_a_script_that_fails_fails_its_order_with_the_reason(self):
        for name, status, words in [
                ("exit.py", "failed", "exit status 1: no such column"),
                ("killed.py", "failed", "killed by signal 9"),
                ("says.py", "400", "bad data"),
                ("mute.py", "failed", "no JSON object"),
                ("escape.py", "failed", "exit status 1"),
                ("missing.py", "failed", "there is no file 'missing.py'"),
                ("data.txt", "failed", "is no program")]:
            with self.subTest(name=name):
                order = self.run_script(name)
                self.assertEqual(order["status"], status)
                self.assertIn(words, order["error"])
                self.assertTrue(self.get("/retrieve/outcome/" + order["_id"])["error"])
        self.assertEqual(self.run_script("echo.py")["status"], "completed")

    @unittest.skipUnless(importlib.util.find_spec("sklearn"), "python3-sklearn is missing")
    def test_the_wine_regression_of_the_examples_runs(self):
        example = os.path.join(harness.ROOT, "examples", "boss")
        shutil.copy(os.path.join(example, "scripts", "wine.py"), self.folder)
        with open(os.path.join(example, "wine.json")) as file:
            job = json.load(file)
        order = self.ended(self.post("/job/create", {**job, "epochs": 60})["_id"])
        outcome = self.get("/retrieve/outcome/" + order["_id"])
        self.assertEqual(order["status"], "completed", outcome)
        self.assertEqual(outcome["rows"], 174)
        self.assertLess(outcome["loss"], outcome["variance"])
        order = self.ended(self.post("/job/create", {**job, "depedentVariable": "con_lot"})["_id"])
        self.assertIn("there is no column 'con_lot'", order["error"])

    test_the_wine_regression_of_the_examples_runs.only_database = "sqlite"  # it takes its time

    def test_a_job_without_a_script_fails(self):
        order = self.ended(self.post("/job/create", {"projectName": "p"})["_id"])
        self.assertIn("'scriptName' is missing", order["error"])

    def test_a_foreign_callback_ends_what_our_worker_runs(self):
        order = self.create(scriptName="forever.py")
        while self.order(order["_id"])["status"] != "assigned":
            pass
        self.assertEqual(self.post("/bored/foreign"), NONE)
        told = self.post("/callback", {"orderId": order["_id"], "status": "completed", "workerNodeName": "foreign"})
        self.assertEqual(told["status"], "completed")
        self.assertEqual(self.run_script("echo.py")["status"], "completed")

    def test_our_worker_and_foreign_nodes_share_the_orders(self):
        ids = [self.create(scriptName="echo.py")["_id"] for _ in range(8)]
        given = []
        while True:
            reply = self.post("/bored/foreign")
            if "_id" not in reply:
                break
            given.append(reply["_id"])
            self.post("/callback", {"orderId": reply["_id"], "status": "completed", "workerNodeName": "foreign"})
        nodes = {id: self.ended(id)["assignedNode"] for id in ids}
        self.assertEqual([id for id in ids if nodes[id] == "foreign"], given)


class DeadWorker(Case):
    """A worker of ours that falls silent; it is the test's, a step at a time."""

    arguments = ["--boss-api", "boss", "--lease-seconds", "1", "--backoff-ms", "100"]

    def test_a_dead_workers_order_comes_back_and_its_late_result_is_refused(self):
        order = self.create()
        worker = kit.Worker(self.server.url, self.server.worker_token, name="dead")
        lease = worker.lease(pools=["boss"])
        self.assertEqual((lease.kind, lease.spec["order"], lease.spec["job"]["scriptName"]),
                         ("order", order["_id"], "nn.py"))
        self.assertEqual(self.get("/retrieve/order")[0]["assignedNode"], "dead")
        given = {}
        while "_id" not in given:
            given = self.post("/bored/alive")
        self.assertEqual(given["_id"], order["_id"])
        self.assertEqual(lease.finish(result={"result": {"status": "completed"}}).status, 409)
        told = self.post("/callback", {"orderId": order["_id"], "status": "completed", "workerNodeName": "alive"})
        self.assertEqual((told["status"], told["assignedNode"]), ("completed", "alive"))

    def test_a_node_cannot_say_bored_for_a_worker_of_ours(self):
        order = self.create()
        worker = kit.Worker(self.server.url, self.server.worker_token, name="ours")
        lease = worker.lease(pools=["boss"])
        self.assertEqual(self.post("/bored/ours"), NONE)
        result = {"result": {"status": 200, "loss": "1"}, "exit-status": 0, "signal": None, "artifacts": []}
        self.assertEqual(lease.finish(result=result).status, 200)
        self.assertEqual(lease.finish(result=result).status, 200)
        outcome = self.get("/retrieve/outcome/" + order["_id"])
        self.assertEqual((outcome["status"], outcome["loss"], outcome["workerNodeName"]), (200, 1, "ours"))
        self.assertEqual(self.get("/retrieve/order")[0]["status"], "200")


class Owner(Case):
    """USER, when it has a password, sees the Orders as documents of its own."""

    arguments = ["--boss-api", "ada", "--registration", "open"]

    def setUp(self):
        self.server = harness.Server(["--registration", "open"])
        self.addCleanup(self.stop)
        self.server.user("ada", "secret")
        self.server.user("eve", "secret")
        data, self.server.owns_data = self.server.data, False
        self.server.stop()
        self.server = harness.Server(self.arguments, data=data)
        self.server.owns_data = True

    def test_orders_are_listed_and_cancelled_by_their_owner_only(self):
        order = self.create()
        ada, eve = (kit.Client(self.server.url, name, "secret") for name in ("ada", "eve"))
        self.assertEqual([o["id"] for o in ada.get("/orders").json["items"]], [order["_id"]])
        self.assertEqual(eve.get("/orders").json["items"], [])
        self.assertEqual(eve.post("/orders/%s/cancel" % order["_id"]).status, 404)
        self.assertEqual(ada.get("/orders/" + order["_id"]).json["state"], "ready")
        self.assertEqual(ada.get("/elastic-thought/" + order["jobId"]).json["job"], JOB)
        path = "/orders/" + order["_id"]
        self.assertIn("in pool 'boss'", ada.get(path + "/why").json["why"])
        self.assertEqual(ada.post(path + "/move", {"priority": 3}).status, 200)
        self.assertEqual([eve.get(path + "/why").status, eve.post(path + "/move", {"priority": 3}).status], [404, 404])
        self.assertEqual(ada.post(path + "/cancel", {"force": True}).status, 200)
        self.assertEqual(self.get("/retrieve/order")[0]["status"], "cancelled")
        self.assertEqual(self.post("/bored/n"), NONE)
        told = self.post("/callback", {"orderId": order["_id"], "status": "completed"})
        self.assertEqual(told["status"], "cancelled")


class Off(unittest.TestCase):
    def test_it_is_not_served_unless_asked_for(self):
        with harness.Server() as server:
            for method, path in [("POST", "/job/create"), ("POST", "/bored/n"), ("GET", "/retrieve/order")]:
                self.assertEqual(server.request(method, path).status, 404)

    def test_it_is_announced_and_described(self):
        with harness.Server(["--boss-api", "boss"]) as server:
            self.assertIn("boss.enabled user=boss", server.log())
            self.assertIn("/bored/{node}", server.request("GET", "/openapi.json").json["paths"])

    def test_a_user_that_is_none_is_refused(self):
        with self.assertRaisesRegex(RuntimeError, "user name 'no name'"):
            harness.Server(["--boss-api", "no name"])


if __name__ == "__main__":
    unittest.main()
