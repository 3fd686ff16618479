"""GET /workers and draining: by the protocol, and with a real worker."""

import os
import subprocess
import tempfile
import unittest

import harness
from kit import Case, Client


class Workers(Case):
    def setUp(self):
        super().setUp()
        self.admin = Client(self.server.url, token=self.server.admin_token)
        self.worker.name = f"host-{self.name}"

    def mine(self, client=None):
        items = (client or self.admin).get("/workers").json["workers"]
        return next((w for w in items if w["name"] == self.worker.name), None)

    def test_a_worker_is_listed_once_it_has_asked(self):
        self.assertIsNone(self.mine())
        self.worker.ask(pools=["gpu", "cpu"], slots=2, all_slots=3)
        worker = self.mine(self.admin)
        self.assertEqual({k: worker[k] for k in worker if k != "seen"}, {
            "name": self.worker.name, "alive": True, "pools": ["gpu", "cpu"], "slots": 3, "running": 0,
            "drained": False, "jobs": []})
        self.assertIsNone(self.mine(self.client))

    def test_only_an_admin_drains(self):
        self.worker.ask()
        path = f"/workers/{self.worker.name}/drain"
        self.assertEqual(self.client.post(path).status, 403)
        self.assertEqual(self.admin.post("/workers/nobody/drain").status, 404)
        reply = self.admin.post(path)
        self.assertEqual((reply.status, reply.json["drained"]), (200, True))

    def test_a_drained_worker_gets_nothing_until_it_is_wanted_again(self):
        self.worker.ask()
        self.admin.post(f"/workers/{self.worker.name}/drain")
        made = self.chain.make("/datafiles", {"url": "http://192.0.2.1/1.zip"})
        self.assertEqual(self.worker.ask().status, 204)
        self.assertRegex(self.client.get(f"/datafiles/{made['id']}/why").json["why"],
                         "no worker serves that pool now: [0-9]+ (is|are) drained$")
        waiting = self.in_background(lambda: self.worker.ask(wait_ms=30000))
        self.admin.post(f"/workers/{self.worker.name}/resume")
        self.assertEqual(waiting().json["jobs"][0]["job"], made["id"])

    def test_a_waiting_worker_that_wants_to_know_is_told_at_once(self):
        self.worker.ask()
        waiting = self.in_background(lambda: self.worker.ask(wait_ms=60000, tell_drained=True))
        self.admin.post(f"/workers/{self.worker.name}/drain")
        reply = waiting()
        self.assertEqual((reply.status, reply.json), (200, {"jobs": [], "drained": True}))


class RealWorker(unittest.TestCase):
    def test_it_exits_when_it_is_drained(self):
        with harness.Server() as server, tempfile.TemporaryDirectory() as work:
            token = os.path.join(server.data, "worker-token")
            worker = subprocess.Popen(
                [harness.ET, "worker", "--server", server.url, "--token-file", token, "--work", work,
                 "--exit-when-drained"], stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            admin = Client(server.url, token=server.admin_token)
            name = f"{os.uname().nodename}-{worker.pid}"
            while not any(w["name"] == name for w in admin.get("/workers").json["workers"]):
                self.assertIsNone(worker.poll())
            drained = subprocess.run(
                [harness.ET, "drain", "--server", server.url, "--token-file",
                 os.path.join(server.data, "admin-token"), name], capture_output=True, text=True)
            self.assertEqual(drained.returncode, 0, drained.stderr)
            self.assertIn("drained", drained.stdout)
            self.assertEqual(worker.wait(60), 0)


if __name__ == "__main__":
    unittest.main()
