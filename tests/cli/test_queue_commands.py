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
