"""Every path, field and status of the ElasticThought contract, against the
real binary without workers; a worker in Python does the jobs."""

import re
import unittest

from kit import CLASSIFIER, DATA_NET, NET, SOLVER, Case, Client, sha1


def subset(expected, actual):
    return {key: actual.get(key) for key in expected}


class Contract(Case):
    def test_a_user_is_made_once(self):
        reply = self.client.post("/users", {"username": "foo", "email": "foo@foo.net", "password": "bar"})
        self.assertEqual(reply.status, 201, reply)
        self.assertEqual(self.client.post("/users", {"username": "foo", "email": "", "password": "x"}).status, 409)

    def test_without_credentials_there_is_401_and_how_to_log_in(self):
        for method, path in [("POST", "/datafiles"), ("GET", "/datasets"), ("GET", "/elastic-thought/_changes")]:
            reply = Client(self.server.url).request(method, path)
            self.assertEqual(reply.status, 401, path)
            self.assertIn("Basic", reply.headers["WWW-Authenticate"])

    def test_a_datafile_is_copied_from_its_url(self):
        url = self.origin.put("/files/data.tar.gz", b"the archive")
        reply = self.client.post("/datafiles", {
            "url": url, "layers_type": "IMAGE_DATA", "layers_data_param": {"backend": "LEVELDB"}})
        self.assertEqual(reply.status, 201, reply)
        made = reply.json
        self.assertRegex(made["id"], "^[0-9a-f]{32}$")
        expected = {"_id": made["id"], "type": "datafile", "processing-state": "pending", "processing-log": "",
                    "user-id": self.owner, "url": url, "layers_type": "IMAGE_DATA",
                    "layers_data_param": {"backend": "LEVELDB"}, "state": "ready"}
        self.assertEqual(subset(expected, made), expected)
        self.assertRegex(made["_rev"], "^1-[0-9a-f]{32}$")
        self.assertEqual(reply.headers["Location"], f"/datafiles/{made['id']}")
        self.assertEqual(reply.headers["ETag"], f'"{made["_rev"]}"')

        lease = self.worker.lease()
        self.assertEqual((lease.id, lease.kind), (made["id"], "fetch"))
        self.assertEqual(lease.spec, {"url": url, "name": "data.tar.gz"})
        self.assertEqual(self.client.get(f"/datafiles/{made['id']}").json["processing-state"], "processing")
        self.assertEqual(lease.put("data.tar.gz", b"the archive").status, 200)
        self.assertEqual(lease.finish().status, 200)
        done = self.client.get(f"/datafiles/{made['id']}").json
        self.assertEqual((done["processing-state"], done["state"]), ("finished_successfully", "finished"))
        self.assertEqual(done["blob-url"], f"cbfs://{made['id']}/data.tar.gz")
        self.assertEqual(self.client.get(f"/blobs/{made['id']}/data.tar.gz").body, b"the archive")

    def test_a_datafile_sent_in_the_request_is_there_at_once(self):
        reply = self.client.post("/datafiles", parts=[("document", "{}"), ("url", "my data.tar.gz", b"\0archive")])
        self.assertEqual(reply.status, 201, reply)
        made = reply.json
        self.assertEqual(made["processing-state"], "finished_successfully")
        self.assertEqual(made["url"], f"cbfs://{made['id']}/my_data.tar.gz")
        self.assertEqual(self.client.get(f"/blobs/{made['id']}/my_data.tar.gz").body, b"\0archive")

    def test_a_dataset_is_split_by_fractions_and_by_percentages(self):
        datafile = self.chain.datafile(layers_type="IMAGE_DATA")["id"]
        for training, test, spelling in [(0.7, 0.3, "test"), (70, 30, "testing")]:
            reply = self.client.post("/datasets", {
                "training": {"datafile-id": datafile, "split-percentage": training},
                spelling: {"datafile-id": datafile, "split-percentage": test}})
            self.assertEqual(reply.status, 201, reply)
            made = reply.json
            self.assertEqual((made["type"], made["processing-state"], made["processing-log"]),
                             ("dataset", "pending", ""))
            self.assertEqual(made["training"], {
                "datafile-id": datafile, "split-percentage": training, "url": f"cbfs://{made['_id']}/training.tar.gz"})
            self.assertEqual(made["test"], {
                "datafile-id": datafile, "split-percentage": test, "url": f"cbfs://{made['_id']}/testing.tar.gz"})
            self.assertEqual(made["testing"], made["test"])
            lease = self.worker.split()
            self.assertEqual(lease.id, made["_id"])
            self.assertEqual(lease.spec, {
                "layer_type": "IMAGE_DATA", "training": {"input": datafile, "share": 0.7},
                "test": {"input": datafile, "share": 0.3}})
            self.assertEqual(list(lease.inputs), [datafile])
            done = self.client.get(f"/datasets/{made['_id']}").json
            self.assertEqual(done["processing-state"], "finished_successfully")
            self.assertEqual((done["labels"], done["image-shape"], done["skipped"]), (["A", "B"], [1, 8, 8], 0))
            self.assertEqual((done["training"]["images"], done["test"]["images"]), (7, 3))
            self.assertEqual(done["training"]["url"], f"cbfs://{made['_id']}/training.tar.gz")

    def test_two_datafiles_are_taken_as_they_are(self):
        one, two = self.chain.datafile(b"1")["id"], self.chain.datafile(b"2")["id"]
        made = self.chain.make("/datasets", {"training": {"datafile-id": one, "split-percentage": 0.0},
                                             "test": {"datafile-id": two, "split-percentage": 0.0}})
        lease = self.worker.split()
        self.assertEqual(lease.id, made["id"])
        self.assertEqual(lease.spec["training"], {"input": one, "share": 0.0})
        self.assertEqual(lease.spec["test"], {"input": two, "share": 0.0})
        self.assertEqual(sorted(lease.inputs), sorted([one, two]))

    def test_a_dataset_waits_for_its_datafile(self):
        datafile = self.chain.make("/datafiles", {"url": self.origin.url + "/d.tar.gz"})["id"]
        dataset = self.chain.dataset(datafile)
        self.assertEqual((dataset["processing-state"], dataset["state"]), ("pending", "waiting"))
        self.worker.fetch(b"archive")
        self.assertEqual(self.client.get(f"/datasets/{dataset['id']}").json["state"], "ready")
        lease = self.worker.split()
        self.assertEqual(lease.id, dataset["id"])

    def test_a_solver_is_rewritten(self):
        dataset = self.chain.dataset()["id"]
        solver_url = self.origin.put("/s/solver.prototxt", SOLVER)
        for net, layer_type, sources in [(NET, 12, ["training.txt", "testing.txt"]),
                                         (DATA_NET, 5, ["training-data", "test-data"])]:
            made = self.chain.make("/solvers", {
                "dataset-id": dataset, "specification-url": solver_url,
                "specification-net-url": self.origin.put("/s/net.prototxt", net)})
            expected = {"_id": made["id"], "type": "solver", "dataset-id": dataset, "LayerType": layer_type,
                        "specification-url": f"cbfs://{made['id']}/solver.prototxt",
                        "specification-net-url": f"cbfs://{made['id']}/solver-net.prototxt"}
            self.assertEqual(subset(expected, made), expected)
            solver = self.client.get(f"/blobs/{made['id']}/solver.prototxt").text
            self.assertRegex(solver, r'(?m)^net: "solver-net.prototxt"$')
            self.assertRegex(solver, r'(?m)^snapshot_prefix: "snapshot"$')
            self.assertNotIn("/home/me", solver)
            text = self.client.get(f"/blobs/{made['id']}/solver-net.prototxt").text
            self.assertEqual(re.findall(r'source: "(.*?)"', text), sources)

    def test_a_solver_is_taken_from_the_request_too(self):
        dataset = self.chain.dataset()["id"]
        reply = self.client.post("/solvers", parts=[
            ("document", f'{{"dataset-id": "{dataset}"}}'), ("specification-url", "s.prototxt", SOLVER.encode()),
            ("specification-net-url", "n.prototxt", NET.encode())])
        self.assertEqual(reply.status, 201, reply)
        self.assertEqual(self.chain.solver(dataset)["LayerType"], 12)

    def test_a_training_job_goes_its_way(self):
        dataset = self.chain.dataset()
        solver = self.chain.solver(dataset["id"])
        reply = self.client.post("/training-jobs", {"solver-id": solver["id"]})
        self.assertEqual(reply.status, 201, reply)
        job = reply.json
        expected = {"_id": job["id"], "type": "training-job", "processing-state": "pending", "processing-log": "",
                    "user-id": self.owner, "solver-id": solver["id"], "std-out-url": "", "std-err-url": "",
                    "trained-model-url": "", "labels": None, "state": "waiting"}
        self.assertEqual(subset(expected, job), expected)
        path = f"/training-jobs/{job['id']}"
        status = self.client.get(path + "/status").json
        expected = {"id": job["id"], "state": "pending", "loss": None, "last-iteration": 0, "max-iterations": 100,
                    "logs": path + "/logs"}
        self.assertEqual(subset(expected, status), expected)
        self.assertEqual(self.client.get(path + "/logs").body, b"")

        self.worker.split()
        lease = self.worker.lease()
        self.assertEqual((lease.id, lease.kind), (job["id"], "train"))
        self.assertEqual(lease.spec, {"layer_type": "IMAGE_DATA", "threads": 0, "precision": "f32", "max_iter": 100})
        self.assertEqual(sorted(lease.inputs), ["solver-net.prototxt", "solver.prototxt", "testing.tar.gz",
                                                "training.tar.gz"])
        self.assertIn(b"solver-net.prototxt", lease.input("solver.prototxt").body)
        self.assertEqual(lease.input("training.tar.gz").body, b"training")
        self.assertEqual(lease.log("I one\n").json, {"offset": 6})
        self.assertEqual(lease.log("I two\n", offset=6).json, {"offset": 12})
        self.assertEqual(lease.log("out", stream="stdout").json, {"offset": 3})
        self.assertEqual(lease.metrics([{"name": "loss", "step": 20, "value": 0.25, "at": 1763730000000}],
                                       {"iteration": 20, "max_iterations": 100, "loss": 0.25}).json, {})
        status = self.client.get(path + "/status").json
        self.assertEqual((status["state"], status["loss"], status["last-iteration"], status["max-iterations"]),
                         ("processing", 0.25, 20, 100))
        logs = self.client.get(path + "/logs")
        self.assertEqual((logs.status, logs.body), (200, b"I one\nI two\n"))
        self.assertTrue(logs.headers["Content-Type"].startswith("text/plain"))
        part = self.client.get(path + "/logs", headers={"Range": "bytes=6-"})
        self.assertEqual((part.status, part.body), (206, b"I two\n"))
        self.assertEqual(part.headers["Content-Range"], "bytes 6-11/12")
        self.assertEqual(self.client.get(path + "/logs", headers={"Range": "bytes=12-"}).status, 416)

        lease.put("trained.caffemodel", b"weights")
        lease.put("std-out.txt", b"out")
        lease.put("std-err.txt", b"I one\nI two\n")
        self.assertEqual(lease.finish(result={"labels": ["A", "B"], "skipped": 0, "accuracy": 0.9}).status, 200)
        done = self.client.get(path).json
        expected = {"processing-state": "finished_successfully", "processing-log": "", "labels": ["A", "B"],
                    "trained-model-url": f"cbfs://{job['id']}/trained.caffemodel",
                    "std-out-url": f"cbfs://{job['id']}/std-out.txt",
                    "std-err-url": f"cbfs://{job['id']}/std-err.txt"}
        self.assertEqual(subset(expected, done), expected)
        self.assertEqual(self.client.get(path + "/status").json["state"], "finished_successfully")
        self.assertEqual(self.client.get(path + "/status").json["last-iteration"], 20)
        self.assertEqual(self.client.get(path + "/logs").body, b"I one\nI two\n")
        self.assertEqual(self.client.get(f"/blobs/{job['id']}/trained.caffemodel").body, b"weights")

    def test_a_failure_says_why(self):
        job = self.chain.training_job()
        self.worker.split()
        lease = self.worker.lease()
        lease.put("std-err.txt", b"nan")
        self.assertEqual(lease.finish("failed", "the loss is NaN at iteration 7").status, 200)
        done = self.client.get(f"/training-jobs/{job['id']}").json
        self.assertEqual((done["processing-state"], done["processing-log"]),
                         ("failed", "the loss is NaN at iteration 7"))
        self.assertEqual(done["std-err-url"], f"cbfs://{job['id']}/std-err.txt")
        self.assertEqual((done["trained-model-url"], done["labels"]), ("", None))

    def test_a_failed_dataset_fails_its_training_jobs(self):
        job = self.chain.training_job()
        self.worker.lease().finish("failed", "no images")
        done = self.client.get(f"/training-jobs/{job['id']}").json
        self.assertEqual(done["processing-state"], "failed")
        self.assertIn("no images", done["processing-log"])

    def test_a_classifier_and_its_jobs(self):
        job = self.chain.training_job()
        url = self.origin.put("/c/classifier.prototxt", CLASSIFIER)
        for number in (str, int):
            reply = self.client.post("/classifiers", {
                "specification-url": url, "training-job-id": job["id"], "scale": number(255),
                "image-width": number(8), "image-height": number(8), "color": False, "gpu": False})
            self.assertEqual(reply.status, 201, reply)
            made = reply.json
            expected = {"_id": made["id"], "type": "classifier", "training-job-id": job["id"], "scale": "255",
                        "image-width": "8", "image-height": "8", "color": False, "gpu": False,
                        "specification-url": f"cbfs://{made['id']}/classifier.prototxt"}
            self.assertEqual(subset(expected, made), expected)
        self.assertEqual(self.client.get(f"/blobs/{made['id']}/classifier.prototxt").text, CLASSIFIER)

        image_url = self.origin.url + "/a.png"
        reply = self.client.post(f"/classifiers/{made['id']}/classify", parts=[
            ("urls", image_url), ("files", "b.png", b"image b"), ("files", "again.png", b"image b")])
        self.assertEqual(reply.status, 201, reply)
        classify = reply.json
        by_url, by_file = sha1(image_url), sha1(b"image b")
        expected = {"_id": classify["id"], "type": "classify-job", "processing-state": "pending",
                    "classifier-id": made["id"], "processing-log": "", "std-out-url": "", "std-err-url": "",
                    "results": {f"cbfs://{classify['id']}/{by_url}": "pending",
                                f"cbfs://{classify['id']}/{by_file}": "pending"}}
        self.assertEqual(subset(expected, classify), expected)
        self.assertEqual(classify["state"], "waiting")

        self.worker.split()
        self.worker.train()
        lease = self.worker.lease()
        self.assertEqual((lease.id, lease.kind), (classify["id"], "classify"))
        self.assertEqual(lease.spec, {
            "images": [{"key": by_url, "url": image_url}, {"key": by_file, "input": by_file}], "scale": 255.0,
            "width": 8, "height": 8, "color": False, "labels": ["A", "B"]})
        self.assertEqual(sorted(lease.inputs), sorted([by_file, "classifier.prototxt", "trained.caffemodel"]))
        self.assertEqual(lease.input(by_file).body, b"image b")
        self.assertEqual(lease.input("trained.caffemodel").body, b"weights")
        self.assertEqual(lease.finish(result={"results": {by_url: "error: 404", by_file: "B"},
                                              "scores": {by_file: 0.98}, "skipped": 1}).status, 200)
        done = self.client.get(f"/classify-jobs/{classify['id']}").json
        self.assertEqual(done["processing-state"], "finished_successfully")
        self.assertEqual(done["results"], {by_url: "error: 404", by_file: "B"})
        self.assertEqual((done["scores"], done["skipped"]), ({by_file: 0.98}, 1))

    def test_images_are_named_in_json_too(self):
        classifier = self.chain.classifier()["id"]
        url = self.origin.url + "/x.png"
        reply = self.client.post(f"/classifiers/{classifier}/classify", {"urls": [url]})
        self.assertEqual(reply.status, 201, reply)
        self.assertEqual(list(reply.json["results"].values()), ["pending"])

    def test_the_document_api_knows_every_type(self):
        job = self.chain.training_job()
        for document in [self.chain.classifier(job["id"]), job]:
            reply = self.client.get(f"/elastic-thought/{document['id']}")
            self.assertEqual((reply.status, reply.json["type"]), (200, document["type"]))
        user = self.client.get(f"/elastic-thought/{self.owner}")
        self.assertEqual((user.status, user.json["_id"], user.json["type"]), (200, self.owner, "user"))
        self.assertNotIn("password", user.text)
        self.assertEqual(self.client.get("/elastic-thought/" + "0" * 32).status, 404)

    def test_changes_are_told_in_order_and_once(self):
        datafile = self.chain.datafile()["id"]
        dataset = self.chain.dataset(datafile)["id"]
        changes = self.client.get("/elastic-thought/_changes?include_docs=true").json
        seqs = [row["seq"] for row in changes["results"]]
        self.assertEqual(seqs, sorted(set(seqs)))
        self.assertEqual([row["id"] for row in changes["results"]], [self.owner, datafile, dataset])
        self.assertEqual(changes["last_seq"], seqs[-1])
        for row in changes["results"]:
            self.assertEqual(row["changes"], [{"rev": row["doc"]["_rev"]}])
            self.assertEqual(row["doc"]["_id"], row["id"])
        since = changes["last_seq"]
        self.worker.split()
        later = self.client.get(f"/elastic-thought/_changes?since={since}").json
        self.assertEqual([row["id"] for row in later["results"]], [dataset])
        self.assertEqual(self.client.delete(f"/datasets/{dataset}").status, 204)
        gone = self.client.get(f"/elastic-thought/_changes?since={later['last_seq']}").json["results"]
        self.assertEqual([(row["id"], row["deleted"]) for row in gone], [(dataset, True)])
        page = self.client.get("/elastic-thought/_changes?limit=1").json
        self.assertEqual(len(page["results"]), 1)
        self.assertEqual(page["last_seq"], page["results"][0]["seq"])

    def test_longpoll_waits_for_a_change(self):
        since = self.client.get("/elastic-thought/_changes").json["last_seq"]
        waiting = self.in_background(
            lambda: self.client.get(f"/elastic-thought/_changes?feed=longpoll&since={since}&timeout=30000"))
        datafile = self.chain.datafile()["id"]
        reply = waiting()
        self.assertEqual([row["id"] for row in reply.json["results"]], [datafile])
        empty = self.client.get(f"/elastic-thought/_changes?feed=longpoll&since=now&timeout=0").json
        self.assertEqual(empty["results"], [])

    def test_lists_are_paged_and_filtered(self):
        made = [self.chain.make("/datafiles", {"url": f"http://192.0.2.1/{i}.zip"})["id"] for i in range(3)]
        first = self.client.get("/datafiles?limit=2").json
        self.assertEqual([d["id"] for d in first["items"]], [made[2], made[1]])
        last = self.client.get(f"/datafiles?limit=2&page_token={first['next_page_token']}").json
        self.assertEqual([d["id"] for d in last["items"]], [made[0]])
        self.assertIsNone(last["next_page_token"])
        lease = self.worker.lease()
        states = {"pending": 2, "processing": 1, "ready": 2, "leased": 1, "failed": 0, "finished": 0}
        for word, count in states.items():
            self.assertEqual(len(self.client.get(f"/datafiles?state={word}").json["items"]), count, word)
        lease.finish("failed", "gone")
        self.assertEqual(len(self.client.get("/datafiles?state=failed").json["items"]), 1)
        self.chain.datafile()
        self.assertEqual(len(self.client.get("/datafiles?state=finished_successfully").json["items"]), 1)
        for path in ["/datasets", "/solvers", "/training-jobs", "/classifiers", "/classify-jobs"]:
            self.assertEqual(self.client.get(path).json, {"items": [], "next_page_token": None})

    def test_what_is_used_cannot_be_deleted(self):
        datafile = self.chain.datafile()["id"]
        dataset = self.chain.dataset(datafile)["id"]
        reply = self.client.delete(f"/datafiles/{datafile}")
        self.assertEqual(reply.status, 409, reply)
        self.assertEqual(reply.json["used-by"], [{"id": dataset, "type": "dataset"}])
        self.assertEqual(self.client.delete(f"/datasets/{dataset}").status, 409, "it is waiting to be made")
        self.worker.split()
        self.assertEqual(self.client.delete(f"/datasets/{dataset}").status, 204)
        self.assertEqual(self.client.get(f"/datasets/{dataset}").status, 404)
        self.assertEqual(self.client.delete(f"/datasets/{dataset}").status, 404)
        self.assertEqual(self.client.delete(f"/datafiles/{datafile}").status, 204)
        self.assertEqual(self.client.get(f"/blobs/{datafile}/data.tar.gz").status, 404)

    def test_if_match_guards_against_a_stale_view(self):
        datafile = self.chain.datafile()
        path = f"/datafiles/{datafile['id']}"
        stale = self.client.delete(path, headers={"If-Match": '"1-00000000000000000000000000000000"'})
        self.assertEqual(stale.status, 412, stale)
        self.assertEqual(self.client.delete(path, headers={"If-Match": f'"{datafile["_rev"]}"'}).status, 204)

    def test_a_document_that_is_known_is_not_sent_again(self):
        datafile = self.chain.datafile()
        path, etag = f"/datafiles/{datafile['id']}", f'"{datafile["_rev"]}"'
        self.assertEqual(self.client.get(path).headers["ETag"], etag)
        known = self.client.get(path, headers={"If-None-Match": etag})
        self.assertEqual((known.status, known.body, known.headers["ETag"]), (304, b"", etag))
        self.assertEqual(self.client.get(path, headers={"If-None-Match": '"other"'}).status, 200)

    def test_a_repeated_post_makes_one_document(self):
        solver = self.chain.solver()["id"]
        for path, body in [("/training-jobs", {"solver-id": solver}), ("/datafiles", {"url": "http://192.0.2.1/x"})]:
            before = len(self.client.get(path).json["items"])
            key = {"Idempotency-Key": path}
            first, again = (self.client.post(path, body, headers=key) for _ in range(2))
            self.assertEqual((first.status, first.json), (again.status, again.json))
            self.assertEqual(first.status, 201)
            self.assertEqual(len(self.client.get(path).json["items"]), before + 1)

    def test_cancel_ends_what_waits_and_asks_what_runs(self):
        job = self.chain.training_job()
        reply = self.client.post(f"/training-jobs/{job['id']}/cancel")
        self.assertEqual((reply.status, reply.json["state"]), (200, "cancelled"))
        self.assertEqual(self.client.post(f"/training-jobs/{job['id']}/cancel").status, 200)
        done = self.client.get(f"/training-jobs/{job['id']}").json
        expected = {"processing-state": "failed", "state": "cancelled", "cancelled": True,
                    "processing-log": f"cancelled by {self.name}"}
        self.assertEqual(subset(expected, done), expected)

        job = self.chain.training_job()
        self.worker.split()
        self.worker.split()
        lease = self.worker.lease()
        self.assertEqual(lease.heartbeat().json, {"cancel": False, "force": False})
        reply = self.client.post(f"/training-jobs/{job['id']}/cancel")
        self.assertEqual((reply.status, reply.json["processing-state"]), (200, "processing"))
        self.assertEqual(lease.heartbeat().json, {"cancel": True, "force": False})
        self.assertEqual(lease.finish("cancelled").status, 200)
        done = self.client.get(f"/training-jobs/{job['id']}").json
        self.assertEqual(subset(expected, done), expected)

    def test_what_is_over_cannot_be_cancelled(self):
        datafile = self.chain.datafile()["id"]
        self.assertEqual(self.client.post(f"/datafiles/{datafile}/cancel").status, 409)
        dataset = self.chain.dataset(datafile)["id"]
        self.worker.split()
        self.assertEqual(self.client.post(f"/datasets/{dataset}/cancel").status, 409)


if __name__ == "__main__":
    unittest.main()
