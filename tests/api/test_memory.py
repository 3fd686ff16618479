"""A net that no pool can hold is refused when it is submitted, with both figures; times of layers are kept."""
import unittest

import kit

# 64 -> 100000 -> 2: parameters with bias, gradient and momentum: 3 * (6500000 + 200002) floats, and what is read
WIDE = kit.NET.replace(
    'layer { name: "ip" type: "InnerProduct" bottom: "data" top: "ip" inner_product_param { num_output: 2 } }',
    'layer { name: "wide" type: "InnerProduct" bottom: "data" top: "wide" '
    'inner_product_param { num_output: 100000 } }\n'
    'layer { name: "ip" type: "InnerProduct" bottom: "wide" top: "ip" inner_product_param { num_output: 2 } }')
WIDE_BYTES = 4 * (3 * (64 * 100000 + 100000 + 100000 * 2 + 2) + 4 * 64 + 4 * 100000)


class Memory(kit.Case):
    arguments = kit.Case.arguments + ["--pool", "cpu:cpus=1,memory=64M", "--pool", "gpu:cpus=1,memory=64M,gpus=1"]

    def test_a_net_that_no_pool_holds_is_refused_with_both_figures(self):
        solver = self.chain.solver(net=WIDE)
        self.assertEqual(solver["memory-bytes"], WIDE_BYTES)
        reply = self.client.post("/training-jobs", {"solver-id": solver["id"]})
        self.assertEqual(reply.status, 400)
        self.assertIn("at least 78", reply.json["detail"])
        self.assertIn("64 MiB", reply.json["detail"])
        self.assertEqual(self.client.get("/training-jobs").json["items"], [])

    def test_a_solver_with_two_histories_needs_more(self):
        adam = kit.SOLVER + 'type: "Adam"\n'
        solver = self.chain.solver(net=WIDE, solver=adam)
        self.assertEqual(solver["memory-bytes"], WIDE_BYTES + 4 * (6500000 + 200002))

    def test_a_net_that_fits_is_taken(self):
        job = self.chain.training_job()
        self.assertEqual(job["processing-state"], "pending")

    def test_the_times_of_layers_are_kept(self):
        job = self.chain.training_job()
        self.worker.split()
        lease = self.worker.lease()
        lease.put("trained.caffemodel", b"weights")
        times = [{"layer": "ip", "type": "InnerProduct", "forward-us": 12.5, "backward-us": 30}]
        lease.finish(result={"labels": ["A"], "skipped": 0, "accuracy": None, "layer-times": times})
        self.assertEqual(self.client.get("/training-jobs/" + job["id"]).json["layer-times"], times)


class Larger(kit.Case):
    arguments = kit.Case.arguments + ["--pool", "cpu:cpus=1,memory=64M", "--pool", "big:cpus=4,memory=1G"]

    def test_it_goes_to_the_pool_that_holds_it(self):
        job = self.chain.training_job(self.chain.solver(net=WIDE)["id"])
        self.worker.split()
        self.assertEqual(self.worker.ask(pools=["cpu"]).status, 204)
        reply = self.worker.ask(pools=["big"])
        self.assertEqual(reply.json["jobs"][0]["job"], job["id"])


if __name__ == "__main__":
    unittest.main()
