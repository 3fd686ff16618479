"""A job that asks for bf16 waits for a worker whose processor has it."""
import unittest

import kit


class Precision(kit.Case):
    arguments = kit.Case.arguments + ["--pool", "cpu:cpus=1,memory=1G"]

    def why(self, job):
        return self.client.get("/training-jobs/%s/why" % job["id"]).json

    def test_a_worker_without_bf16_does_not_get_it(self):
        job = self.chain.training_job(precision="bf16")
        self.worker.split()
        self.assertEqual(job["pool"], "cpu-bf16")
        self.assertEqual(self.worker.ask(pools=["cpu"]).status, 204)
        why = self.why(job)
        self.assertEqual((why["state"], why["workers"]), ("ready", 0))
        self.assertEqual(why["why"], "it is ready, at place 1 of 1 in pool 'cpu-bf16', which is for processors that "
                                     "have bf16; no worker serves that pool now")
        reply = self.worker.ask(pools=["cpu", "cpu-bf16"])
        self.assertEqual(reply.json["jobs"][0]["job"], job["id"])
        self.assertEqual(reply.json["jobs"][0]["spec"]["precision"], "bf16")

    def test_one_in_f32_goes_where_it_went(self):
        job = self.chain.training_job(precision="f32")
        self.worker.split()
        self.assertEqual(job["pool"], "cpu")
        self.assertEqual(self.worker.ask(pools=["cpu-bf16"]).status, 204)
        self.assertEqual(self.worker.ask(pools=["cpu"]).json["jobs"][0]["job"], job["id"])


if __name__ == "__main__":
    unittest.main()
