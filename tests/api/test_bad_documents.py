"""Documents that are wrong: answered with what is wrong and where, and nothing is made."""

import json
import unittest

from kit import CLASSIFIER, DATA_NET, NET, SOLVER, Case

UNKNOWN = "0123456789abcdef0123456789abcdef"


class BadDocuments(Case):
    def refused(self, path, body=None, status=400, says="", pointer=None, **more):
        reply = self.client.post(path, body, **more)
        self.assertEqual(reply.status, status, reply)
        problem = reply.json
        self.assertTrue(reply.headers["Content-Type"].startswith("application/problem+json"))
        self.assertEqual(problem["status"], status)
        self.assertIn(says, problem["detail"])
        if pointer is not None:
            self.assertEqual(problem["errors"][0]["pointer"], pointer, problem)
        return problem

    def nothing_new(self, *collections):
        for collection in collections:
            self.assertEqual(self.client.get(f"/{collection}").json["items"], [], collection)

    def test_wrong_json_types(self):
        id = UNKNOWN
        side = {"datafile-id": id, "split-percentage": 0.5}
        rows = [
            ("/datafiles", {"url": 5}, "/url"),
            ("/datafiles", {"url": "http://192.0.2.1/x", "layers_type": "FACES"}, "/layers_type"),
            ("/datafiles", {"url": "http://192.0.2.1/x", "layers_data_param": []}, "/layers_data_param"),
            ("/datafiles", {"url": "http://192.0.2.1/x", "layers_data_param": {"backend": "SQL"}},
             "/layers_data_param/backend"),
            ("/datasets", {"training": side, "test": "all"}, "/test"),
            ("/datasets", {"training": {**side, "datafile-id": 7}, "test": side}, "/training/datafile-id"),
            ("/datasets", {"training": {**side, "split-percentage": "most"}, "test": side},
             "/training/split-percentage"),
            ("/datasets", {"training": {**side, "split-percentage": None}, "test": side},
             "/training/split-percentage"),
            ("/solvers", {"dataset-id": [id]}, "/dataset-id"),
            ("/solvers", {"dataset-id": id, "specification-url": True}, "/specification-url"),
            ("/training-jobs", {"solver-id": {}}, "/solver-id"),
            ("/training-jobs", {"solver-id": id, "priority": "high"}, "/priority"),
            ("/training-jobs", {"solver-id": id, "threads": -1}, "/threads"),
            ("/training-jobs", {"solver-id": id, "max-seconds": 1.5}, "/max-seconds"),
            ("/training-jobs", {"solver-id": id, "precision": "f16"}, "/precision"),
            ("/classifiers", {"training-job-id": id, "scale": "much", "image-width": 1, "image-height": 1}, "/scale"),
            ("/classifiers", {"training-job-id": id, "scale": 1, "image-width": 1, "image-height": 1, "color": "no"},
             "/color"),
        ]
        for path, body, pointer in rows:
            self.refused(path, body, pointer=pointer)
        self.nothing_new("datafiles", "datasets", "solvers", "training-jobs", "classifiers")

    def test_missing_fields(self):
        for path, body, says in [
                ("/datafiles", {}, "url"), ("/datasets", {"training": {"datafile-id": UNKNOWN}}, "test"),
                ("/solvers", {}, "dataset-id"), ("/training-jobs", {}, "solver-id"),
                ("/classifiers", {"training-job-id": UNKNOWN, "scale": 1, "image-width": 8}, "image-height")]:
            self.refused(path, body, says=says)
        dataset = self.chain.dataset()["id"]
        self.refused("/solvers", {"dataset-id": dataset}, pointer="/specification-url", says="missing")
        self.refused("/solvers", {"dataset-id": dataset, "specification": SOLVER}, pointer="/specification-net-url")

    def test_a_misspelt_field_names_the_nearest(self):
        self.refused("/training-jobs", {"solver_id": UNKNOWN}, says="solver-id")

    def test_duplicate_keys_deep_nesting_and_what_is_no_json(self):
        deep = '{"url":' * 5000 + "1" + "}" * 5000
        for text in ['{"url":"http://192.0.2.1/a","url":"http://192.0.2.1/b"}', deep, "{", "", "[]", "null", "\x00",
                     '{"url":"\\ud800"}', '{"url":"http://192.0.2.1/a"} x', '{"url":NaN}']:
            self.refused("/datafiles", data=text, headers={"Content-Type": "application/json"})
        self.refused("/datafiles", data=b'{"url":"\xff\xfe"}', headers={"Content-Type": "application/json"})
        big = json.dumps({"url": "http://192.0.2.1/" + "x" * (1 << 20)})
        self.refused("/datafiles", data=big, headers={"Content-Type": "application/json"}, status=413)
        self.refused("/datafiles", data="url=x", status=400,
                     headers={"Content-Type": "application/x-www-form-urlencoded"})
        self.nothing_new("datafiles")

    def test_unknown_ids_are_named_with_their_place(self):
        datafile = self.chain.datafile()["id"]
        dataset = self.chain.dataset(datafile)["id"]
        side = {"datafile-id": datafile, "split-percentage": 0.5}
        rows = [
            ("/datasets", {"training": {**side, "datafile-id": UNKNOWN}, "test": side}, "/training/datafile-id"),
            ("/datasets", {"training": side, "test": {**side, "datafile-id": UNKNOWN}}, "/test/datafile-id"),
            ("/datasets", {"training": {**side, "datafile-id": dataset}, "test": side}, "/training/datafile-id"),
            ("/solvers", {"dataset-id": UNKNOWN, "specification": SOLVER, "specification-net": NET}, "/dataset-id"),
            ("/solvers", {"dataset-id": datafile, "specification": SOLVER, "specification-net": NET}, "/dataset-id"),
            ("/training-jobs", {"solver-id": UNKNOWN}, "/solver-id"),
            ("/training-jobs", {"solver-id": dataset}, "/solver-id"),
            ("/classifiers", {"training-job-id": UNKNOWN, "scale": 1, "image-width": 8, "image-height": 8,
                              "specification": CLASSIFIER}, "/training-job-id"),
        ]
        for path, body, pointer in rows:
            self.refused(path, body, pointer=pointer)
        for path in ["/datafiles", "/datasets", "/solvers", "/training-jobs", "/classifiers", "/classify-jobs"]:
            for id in [UNKNOWN, "x", "user:nobody", "%2e%2e", "0" * 500]:
                self.assertEqual(self.client.get(f"{path}/{id}").status, 404, id)
        self.assertEqual(self.client.get(f"/solvers/{dataset}").status, 404, "it is a dataset")
        self.refused(f"/classifiers/{UNKNOWN}/classify", {"urls": ["http://192.0.2.1/x"]}, status=404)

    def test_shares_that_make_no_sense(self):
        datafile = self.chain.datafile()["id"]
        for training, test in [(0.9, 0.3), (80, 30), (0.7, 0), (-1, 0.5), (0.7, 30), (1e308, 1e308)]:
            self.refused("/datasets", {
                "training": {"datafile-id": datafile, "split-percentage": training},
                "test": {"datafile-id": datafile, "split-percentage": test}}, pointer="/training/split-percentage")
        self.nothing_new("datasets")

    def test_a_database_is_not_divided(self):
        datafile = self.chain.datafile(layers_type="DATA")["id"]
        side = {"datafile-id": datafile, "split-percentage": 0.5}
        self.refused("/datasets", {"training": side, "test": side}, pointer="/test/datafile-id", says="database")

    def test_urls_that_cannot_be_read(self):
        dataset = self.chain.dataset()["id"]
        good = self.origin.put("/solver.prototxt", SOLVER)
        rows = [
            (self.origin.url + "/not-there", "404"),
            ("http://127.0.0.1:1/x", "cannot"),
            ("http://no-such-host.invalid/x", "cannot"),
            (self.origin.put("/big", b"#" * ((1 << 20) + 1)), "1"),
        ]
        for url, says in rows:
            self.refused("/solvers", {"dataset-id": dataset, "specification-url": good, "specification-net-url": url},
                         pointer="/specification-net-url", says=says)
        for url in ["file:///etc/passwd", "ftp://192.0.2.1/x", "gopher://x", "//x", "http://"]:
            self.refused("/solvers", {"dataset-id": dataset, "specification-url": url, "specification-net-url": good},
                         pointer="/specification-url")
            self.refused("/datafiles", {"url": url}, pointer="/url")
        self.nothing_new("solvers")

    def test_a_typo_in_a_prototxt_is_found(self):
        dataset = self.chain.dataset()["id"]
        rows = [
            ({"specification": SOLVER.replace("base_lr", "base_ir")}, "base_lr", 4, 1),
            ({"specification": SOLVER.replace("CPU", "CPV")}, "CPU", 8, 14),
            ({"specification-net": NET.replace("batch_size", "batchsize", 1)}, "batch_size", 3, 50),
            ({"specification-net": NET.replace("num_output: 2", "num_output: two")}, "integer", 6, 100),
            ({"specification-net": NET + "layer {"}, "", 8, None),
            ({"specification-net": NET.replace("InnerProduct", "InerProduct")}, "InnerProduct", None, None),
            ({"specification": "<html>404</html>"}, "", 1, 1),
        ]
        for change, says, line, column in rows:
            problem = self.refused("/solvers", {"dataset-id": dataset, "specification": SOLVER,
                                                "specification-net": NET, **change}, says=says)
            if line:
                self.assertEqual(problem["line"], line, problem)
            if column:
                self.assertEqual(problem["column"], column, problem)
        self.nothing_new("solvers")

    def test_a_layer_that_does_not_fit_is_named_with_its_shapes(self):
        dataset = self.chain.dataset()["id"]
        conv = ('layer { name: "conv1" type: "Convolution" bottom: "data" top: "conv1" '
                "convolution_param { num_output: 2 kernel_size: 9 } }\n")
        for net, says in [
                (NET + conv, ["conv1", "9", "8"]),
                (NET.replace('bottom: "label"', 'bottom: "labels"'), ["loss", "labels"]),
                (NET.replace('phase: TRAIN', 'phase: TEST'), ["TRAIN"])]:
            problem = self.refused("/solvers", {"dataset-id": dataset, "specification": SOLVER,
                                                "specification-net": net})
            for word in says:
                self.assertIn(word, problem["detail"])

    def test_the_net_reads_what_the_dataset_is_made_of(self):
        for layers_type, net in [("DATA", NET), ("IMAGE_DATA", DATA_NET)]:
            datafile = self.chain.datafile(layers_type=layers_type)["id"]
            other = self.chain.datafile(layers_type=layers_type)["id"]
            dataset = self.chain.make("/datasets", {"training": {"datafile-id": datafile},
                                                    "test": {"datafile-id": other}})["id"]
            self.refused("/solvers", {"dataset-id": dataset, "specification": SOLVER, "specification-net": net},
                         says=layers_type, pointer="/dataset-id")

    def test_what_depends_on_the_data_is_checked_when_it_is_known(self):
        net = DATA_NET.replace("crop_size: 8", "mirror: false") + (
            'layers { name: "conv1" type: CONVOLUTION bottom: "data" top: "conv1" '
            "convolution_param { num_output: 2 kernel_size: 9 } }\n")
        dataset = self.chain.dataset()["id"]
        body = {"dataset-id": dataset, "specification": SOLVER, "specification-net": net}
        self.assertEqual(self.client.post("/solvers", body).status, 201)
        self.worker.split(shape=(1, 8, 8))
        self.refused("/solvers", body, says="conv1")

    def test_a_classifier_that_does_not_fit(self):
        job = self.chain.training_job()["id"]
        good = {"specification": CLASSIFIER, "training-job-id": job, "scale": "1", "image-width": "8",
                "image-height": "8"}
        rows = [
            ({"color": True}, "channels", None),
            ({"image-width": "9"}, "image-width", None),
            ({"image-height": 7}, "image-height", None),
            ({"image-width": "0"}, "image-width", "/image-width"),
            ({"image-height": "8.5"}, "image-height", "/image-height"),
            ({"image-width": "1e9"}, "image-width", "/image-width"),
            ({"scale": "0"}, "scale", "/scale"),
            ({"specification": CLASSIFIER.replace("bottom", "botom", 1)}, "bottom", None),
            ({"specification": NET}, "ImageData", None),
        ]
        for change, says, pointer in rows:
            self.refused("/classifiers", {**good, **change}, says=says, pointer=pointer)
        self.nothing_new("classifiers")

    def test_there_must_be_something_to_classify_and_not_too_much(self):
        path = f"/classifiers/{self.chain.classifier()['id']}/classify"
        self.refused(path, parts=[("urls", "ftp://x/y.png")], pointer="/urls/0")
        self.refused(path, parts=[("other", "x")])
        self.refused(path, {"urls": []}, says="nothing to classify")
        self.refused(path, {"urls": [f"http://192.0.2.1/{i}" for i in range(1001)]})
        self.refused(path, parts=[("urls", f"http://192.0.2.1/{i}") for i in range(1001)], says="1000")
        self.refused(path, {"urls": "http://192.0.2.1/x"}, pointer="/urls")
        self.nothing_new("classify-jobs")

    def test_wrong_queries(self):
        for query in ["limit=0", "limit=1001", "limit=x", "limit=", "state=happy", "page_token=x"]:
            self.assertEqual(self.client.get(f"/datafiles?{query}").status, 400, query)
        self.assertEqual(self.client.get("/solvers?state=pending").status, 400)
        for query in ["since=-1", "since=x", "limit=-1", "feed=ever", "timeout=-1", "since=99999999999999999999"]:
            self.assertEqual(self.client.get(f"/elastic-thought/_changes?{query}").status, 400, query)


class PrivateUrls(Case):
    """Without --allow-private-urls."""

    arguments = []

    def test_private_addresses_are_refused_at_once(self):
        for url in ["http://127.0.0.1/x", "http://localhost/x", "http://10.0.0.1/x", "http://[::1]/x",
                    "http://169.254.169.254/latest", "http://0x7f000001/", "http://192.168.1.1:8080/"]:
            reply = self.client.post("/datafiles", {"url": url})
            self.assertEqual(reply.status, 400, url)
            self.assertIn("private", reply.json["detail"])
        dataset = self.chain.dataset()["id"]
        reply = self.client.post("/solvers", {"dataset-id": dataset, "specification-net": NET,
                                              "specification-url": self.origin.put("/s", SOLVER)})
        self.assertEqual(reply.status, 400, reply)
        self.assertEqual(reply.json["errors"][0]["pointer"], "/specification-url")


if __name__ == "__main__":
    unittest.main()
