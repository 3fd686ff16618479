"""Another user's document is answered like an unknown one, on every path: the
paths are taken from /openapi.json, so that a new one is tested too."""

import unittest

from kit import Case

UNKNOWN = "0" * 32
BODIES = {
    "/datasets": lambda ids: {"training": {"datafile-id": ids["datafiles"], "split-percentage": 0.7},
                              "test": {"datafile-id": ids["datafiles"], "split-percentage": 0.3}},
    "/solvers": lambda ids: {"dataset-id": ids["datasets"], "specification": "", "specification-net": ""},
    "/training-jobs": lambda ids: {"solver-id": ids["solvers"]},
    "/classifiers": lambda ids: {"training-job-id": ids["training-jobs"], "specification": "", "scale": 1,
                                 "image-width": 8, "image-height": 8},
}


class Isolation(Case):
    def setUp(self):
        super().setUp()
        datafile = self.chain.datafile()["id"]
        dataset = self.chain.dataset(datafile)["id"]
        solver = self.chain.solver(dataset)["id"]
        job = self.chain.training_job(solver)["id"]
        classifier = self.chain.classifier(job)["id"]
        classify = self.chain.make(f"/classifiers/{classifier}/classify", {"urls": [self.origin.url + "/a.png"]})["id"]
        self.ids = {"datafiles": datafile, "datasets": dataset, "solvers": solver, "training-jobs": job,
                    "classifiers": classifier, "classify-jobs": classify, "elastic-thought": datafile}
        self.other = self.new_user()

    def paths(self, collection):
        """Paths of /openapi.json that begin with an id in this collection."""
        for path, methods in self.client.get("/openapi.json").json["paths"].items():
            parts = path.strip("/").split("/")
            if len(parts) > 1 and parts[0] == collection and parts[1].startswith("{"):
                for method in methods:
                    if method in ("get", "put", "post", "patch", "delete"):
                        yield method.upper(), parts

    def request(self, client, method, parts, id):
        path = "/" + "/".join([parts[0], id] + parts[2:])
        if path.endswith("/classify"):
            return client.post(path, parts=[("urls", "http://192.0.2.1/x.png")])
        return client.request(method, path, {} if method in ("POST", "PUT") else None)

    def test_every_path_hides_anothers_document(self):
        tried = 0
        for collection, id in self.ids.items():
            for method, parts in self.paths(collection):
                name = f"{method} /{'/'.join(parts)}"
                theirs = self.request(self.other, method, parts, id)
                unknown = self.request(self.other, method, parts, UNKNOWN)
                self.assertEqual(theirs.status, 404, name)
                self.assertEqual(unknown.status, 404, name)
                self.assertEqual(theirs.json["detail"].replace(id, UNKNOWN), unknown.json["detail"], name)
                tried += 1
        self.assertGreaterEqual(tried, 20)

    def test_blobs_are_hidden(self):
        for id, name in [(self.ids["datafiles"], "data.tar.gz"), (self.ids["solvers"], "solver.prototxt")]:
            self.assertEqual(self.client.get(f"/blobs/{id}/{name}").status, 200)
            self.assertEqual(self.other.get(f"/blobs/{id}/{name}").status, 404)

    def test_lists_and_changes_hold_ones_own_documents_only(self):
        for collection in self.ids:
            if collection != "elastic-thought":
                self.assertEqual(self.other.get(f"/{collection}").json["items"], [], collection)
                self.assertEqual(len(self.client.get(f"/{collection}").json["items"]), 1, collection)
        seen = {row["id"] for row in self.other.get("/elastic-thought/_changes").json["results"]}
        self.assertFalse(seen & set(self.ids.values()))
        self.assertEqual(self.other.get(f"/elastic-thought/{self.owner}").status, 404)

    def test_a_body_cannot_use_anothers_document(self):
        for path, body in BODIES.items():
            theirs, unknown = (self.other.post(path, body(ids)) for ids in
                               (self.ids, {key: UNKNOWN for key in self.ids}))
            self.assertEqual((theirs.status, unknown.status), (400, 400), path)
            pointer = theirs.json["errors"][0]["pointer"]
            self.assertTrue(pointer.endswith("-id"), theirs)
            self.assertEqual(pointer, unknown.json["errors"][0]["pointer"])
        self.assertEqual(self.other.get("/training-jobs").json["items"], [])


if __name__ == "__main__":
    unittest.main()
