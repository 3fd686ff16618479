"""et submit --param, why, move, cancel --force, schedule, limit: against a server without workers."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "api"))

import harness  # noqa: E402
import kit  # noqa: E402


class Commands(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = harness.Server(["--registration", "open"])
        cls.folder = tempfile.mkdtemp(prefix="et-cli-")
        cls.client = kit.Client(cls.server.url, *cls.server.user("ada", "x"))
        cls.environment = {k: v for k, v in os.environ.items() if not k.startswith("ET_")}
        cls.environment.update(ET_SERVER=cls.server.url, XDG_CONFIG_HOME=cls.folder,
                               ET_TOKEN=cls.client.post("/tokens", {}).json["token"])
        with open(os.path.join(cls.folder, "solver.prototxt"), "w") as file:
            file.write(kit.SOLVER.replace("/home/me/net.prototxt", "net.prototxt"))
        with open(os.path.join(cls.folder, "net.prototxt"), "w") as file:
            file.write(kit.NET)
        with open(os.path.join(cls.folder, "data.tar.gz"), "wb") as file:
            file.write(b"archive")

    @classmethod
    def tearDownClass(cls):
        shutil.rmtree(cls.folder)
        cls.server.stop()

    def et(self, *arguments, status=0):
        done = subprocess.run([harness.ET, *arguments], capture_output=True, text=True, env=self.environment)
        self.assertEqual(done.returncode, status, done)
        return done.stdout.strip() if status == 0 else done.stderr.strip()

    def parameters(self, array):
        return [j["parameters"] for j in self.client.get(f"/arrays/{array}/jobs").json["items"]]

    def test_the_server_to_log_in_to_is_an_argument_or_an_option(self):
        password = os.path.join(self.folder, "password")
        with open(password, "w") as file:
            file.write("a-long-password\n")
        environment = {"PATH": os.environ["PATH"], "XDG_CONFIG_HOME": os.path.join(self.folder, "config")}

        def et(*arguments):
            done = subprocess.run([harness.ET, *arguments], capture_output=True, text=True, env=environment)
            return done.returncode, (done.stdout or done.stderr).strip()

        login = ["login", "--user", "grace", "--password-file", password]
        self.assertEqual(et(*login, "--register", "grace@example.org", self.server.url + "/"),
                         (0, f"logged in to {self.server.url} as grace"))
        self.assertEqual(et(*login, "--server", self.server.url), (0, f"logged in to {self.server.url} as grace"))
        self.assertIn("no jobs under way", et("ps")[1])
        for wrong, words in ((["trainer:8080"], "no URL of a server"), ([self.server.url, "x"], "one argument too many"),
                             (["--server", self.server.url, self.server.url], "named twice")):
            status, said = et(*login, *wrong)
            self.assertEqual(status, 2)
            self.assertIn(words, said)

    def test_parameters_are_crossed(self):
        array = self.et("submit", "--param", "base_lr=0.1,1", "--param", "lr_policy=fixed,step", self.folder)
        self.assertEqual(self.parameters(array), [
            {"base_lr": 0.1, "lr_policy": "fixed"}, {"base_lr": 1, "lr_policy": "fixed"},
            {"base_lr": 0.1, "lr_policy": "step"}, {"base_lr": 1, "lr_policy": "step"}])
        self.assertEqual(self.et("status", array), f"array {array}: 4 jobs  4 waiting")
        self.et("cancel", array)
        self.assertEqual(self.et("wait", array, status=1), "")

    def test_parameter_sets_are_read_from_a_file(self):
        path = os.path.join(self.folder, "sets.json")
        for text in ('[{"base_lr": 0.5}, {"max_iter": 3}]', '{"base_lr": 0.5}\n\n{"max_iter": 3}\n'):
            with open(path, "w") as file:
                file.write(text)
            self.assertEqual(self.parameters(self.et("submit", "--array", path, self.folder)),
                             [{"base_lr": 0.5}, {"max_iter": 3}])
        with open(path, "w") as file:
            file.write('{"base_lr": 0.5}\n{"base_lr"}\n')
        self.assertIn("line 2", self.et("submit", "--array", path, self.folder, status=1))

    def test_wrong_parameters_are_told(self):
        self.assertIn("did you mean 'base_lr'?", self.et("submit", "--param", "base_lt=1", self.folder, status=1))
        self.assertIn("NAME=VALUE", self.et("submit", "--param", "base_lr", self.folder, status=2))
        self.assertIn("from 0 to 100", self.et("submit", "--retries", "x", self.folder, status=2))

    def test_a_job_is_explained_moved_and_killed(self):
        first = self.et("submit", "--not-before", "2999-01-01T00:00:00Z", self.folder)
        second = self.et("submit", "--after", first, "--retries", "2", "--retry-on-failure", self.folder)
        self.assertIn("2999-01-01", self.et("why", first))
        self.assertIn(first, self.et("why", second))
        self.assertEqual(self.et("move", second, "first"), "moved; its priority is 0")
        self.assertEqual(self.et("move", "--priority", "7", second), "moved; its priority is 7")
        self.et("move", second, status=2)
        self.assertEqual(self.et("cancel", "--force", first), "cancelled")
        self.assertIn("was cancelled", self.et("why", second))
        self.assertIn("has not begun", self.et("move", second, "last", status=1))

    def test_a_schedule_is_kept_until_it_is_deleted(self):
        job = self.et("submit", "--priority", "2", self.folder)
        schedule = self.et("schedule", "30 2 * * mon-fri", job)
        document = self.client.get(f"/schedules/{schedule}").json
        self.assertEqual(document["job"]["priority"], 2)
        self.assertIn("next 20", self.et("schedule"))
        self.assertEqual(self.et("schedule", "--pause", schedule), "next: never: paused")
        self.et("schedule", "--resume", schedule)
        self.et("schedule", "--delete", schedule)
        self.assertEqual(json.loads(self.et("schedule", "--json")), [])
        self.assertIn("minute", self.et("schedule", "x 2 * * *", job, status=1))

    def write(self, name, text):
        path = os.path.join(self.folder, name)
        with open(path, "w", newline="") as file:
            file.write(text)
        return path

    def test_a_script_runs_with_each_parameter_set(self):
        script = self.write("a.py", "pass")
        sets = [{"trees": 10, "name": "a, \"b\"\n", "deep": True}, {"trees": 1.5, "name": "c"}]
        rows = (("sets.csv", 'trees,name,deep\r\n10,"a, ""b""\n",true\r\n\r\n1.5,c,\r\n'),
                ("sets.jsonl", "\n".join(map(json.dumps, sets)) + "\n"), ("sets.json", json.dumps(sets)))
        for name, text in rows:
            array = self.et("run", "-p", "kind=x", "--priority", "3", "--array", self.write(name, text), script)
            self.assertEqual(self.parameters(array), [{"kind": "x", **one} for one in sets], name)
            self.et("cancel", array)
        array = self.et("run", "--sweep", "n=1,2", "--sweep", "on=true,x", script)
        self.assertEqual(self.parameters(array), [{"n": 1, "on": True}, {"n": 2, "on": True}, {"n": 1, "on": "x"},
                                                  {"n": 2, "on": "x"}])
        self.assertEqual(self.et("status", array), f"array {array}: 4 jobs  4 ready")
        self.assertEqual(self.et("move", array, "first"), "moved, all of it that has not begun")
        self.assertEqual(self.et("move", "--priority", "3", array), "moved, all of it that has not begun")
        results = [json.loads(line) for line in self.et("get", array).splitlines()]
        self.assertEqual([(r["index"], r["state"]) for r in results], [(n, "ready") for n in range(4)])
        self.assertIn("its jobs have logs", self.et("logs", array, status=1))
        for text, words in (("a,b\n1\n", "line 2 has 1 cells, and line 1 names 2"), ('a\n"x\n', "line 2: a quote"),
                            ('a\n"x"y\n', "line 2: a comma is missing"), ("a,,b\n", "line 1: names"),
                            ("a\n", "no parameter sets")):
            self.assertIn(words, self.et("run", "--array", self.write("bad.csv", text), script, status=1))
        self.et("cancel", array)

    def test_a_file_of_sets_is_crossed_with_values_and_never_forgotten(self):
        script, sets = self.write("d.py", "pass"), self.write("d.jsonl", '{"a": 1}\n{"a": 2}\n')
        array = self.et("run", "--array", sets, "--sweep", "b=0.3,x", script)
        self.assertEqual(self.parameters(array), [{"a": a, "b": b} for b in (0.3, "x") for a in (1, 2)])
        self.et("cancel", array)
        self.assertIn("it comes once", self.et("run", "--sweep", "b=1", "--array", sets, script, status=2))

    def test_what_has_no_layers_and_what_is_no_server_are_told(self):
        job = self.et("run", self.write("e.py", "pass"))
        self.assertIn("is no training job", self.et("plot", "--layers", job, status=1))
        self.assertIn("no URL of a server", self.et("worker", "--server", "trainer:8080", status=2))
        self.et("cancel", job)

    def test_all_jobs_are_listed_together_and_an_array_in_one_line(self):
        script = self.write("b.py", "pass")
        training = self.et("submit", self.folder)
        one = self.et("run", "--at", "+1h", script)
        array = self.et("run", "--sweep", "n=1,2,3", script)
        classifier = self.client.post("/classifiers", {
            "specification": kit.CLASSIFIER, "training-job-id": training, "scale": "255", "image-width": "8",
            "image-height": "8"}).json["id"]
        images = self.et("classify", "--no-wait", "--after", training, "--priority", "2", classifier,
                         "http://example.org/a.png")
        self.assertEqual(self.client.get(f"/classify-jobs/{images}").json["priority"], 2)
        lines = [line.split() for line in self.et("ps").splitlines()]
        mine = [line[:3] for line in lines if line[0] in (training, one, array, images)]
        self.assertEqual(mine, [[images, "classify", "waiting"], [array, "array", mine[1][2]],
                                [one, "script", "waiting"], [training, "training", "waiting"]])
        self.assertEqual(self.et("ps", "--elements").count("script"), self.et("ps", "--type", "job", "--elements")
                         .count("script"))
        self.assertIn(f"{array}  array", self.et("ps", "--type", "job"))
        self.et("cancel", one)
        self.assertNotIn(one, self.et("ps"))
        self.assertIn(one, self.et("ps", "-a"))
        self.assertIn(one, self.et("ps", "--state", "cancelled"))
        for job in (training, images):
            self.assertIn("it waits", self.et("why", job))
            self.assertIn("moved", self.et("move", job, "first"))
            self.assertIn("waiting", self.et("status", job))
            self.assertEqual(self.et("logs", job), "")
        self.et("cancel", training)
        self.et("wait", images, status=1)
        self.et("cancel", array)

    def test_any_job_is_scheduled_again(self):
        job = self.et("run", "-p", "a=1", "--max-seconds", "60", self.write("c.py", "pass"))
        schedule = self.et("schedule", "@daily", job)
        document = self.client.get(f"/schedules/{schedule}").json
        self.assertEqual((document["of"], document["job"]["parameters"], document["job"]["max-seconds"]),
                         ("job", {"a": 1}, 60))
        self.assertIn("job", self.et("schedule"))
        self.et("schedule", "--delete", schedule)
        self.et("cancel", job)

    def test_times_and_gpus_are_asked_for(self):
        job = json.loads(self.et("submit", "--json", "--at", "+2h", "--gpu", self.folder))
        self.assertEqual((job["gpu-required"], job["pool"]), (True, "gpu"))
        for at in ("+x", "+1y", "+", "+1hh"):
            self.assertIn("a time such as", self.et("submit", "--at", at, self.folder, status=2))
        self.et("cancel", job["id"])

    def test_limits_are_set_by_the_operator(self):
        admin = ["--token-file", os.path.join(self.server.data, "admin-token")]
        self.server.user("bob", "x")
        self.assertEqual(self.et("limit", *admin, "bob", "--running", "2"),
                         "running in each pool: at most 2\nqueued: no limit")
        self.assertEqual(self.et("limit", *admin, "bob", "--queued", "9", "--running", "none"),
                         "running in each pool: no limit\nqueued: at most 9")
        self.et("limit", "ada", "--running", "2", status=4)
        self.et("limit", *admin, "ada", "--running", "0", status=2)
        self.et("limit", *admin, "nobody", status=1)


if __name__ == "__main__":
    unittest.main()
