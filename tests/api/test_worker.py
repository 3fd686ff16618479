#!/usr/bin/python3
"""Holds a real `et worker` to docs/worker-protocol.md.  usage: test_worker.py ET [NAME...]"""
import io
import os
import struct
import subprocess
import sys
import tarfile
import tempfile
import traceback
import zlib
from contextlib import contextmanager

from fake_server import DEADLINE, TOKEN, Job, Server

ET = os.path.abspath(sys.argv[1])


# ---- making things ----

def png(value, width=8, height=8):
    """A grey image of one value."""
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    rows = b"".join(b"\0" + bytes([value]) * width for _ in range(height))
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
            + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b""))


def targz(files):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as tar:
        for name, data in files:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return out.getvalue()


def names_in(archive):
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        return tar.getnames()


# Dark and bright images: two labels that any net tells apart.
IMAGES = [(f"{label}/{i}.png", png(base + i)) for label, base in (("dark", 10), ("bright", 220)) for i in range(10)]

NET = """
name: "tiny"
layer { name: "data" type: "ImageData" top: "data" top: "label" include { phase: TRAIN }
  transform_param { scale: 0.00390625 }
  image_data_param { source: "training.txt" batch_size: 4 shuffle: true is_color: false } }
layer { name: "data" type: "ImageData" top: "data" top: "label" include { phase: TEST }
  transform_param { scale: 0.00390625 }
  image_data_param { source: "testing.txt" batch_size: 4 is_color: false } }
layer { name: "ip" type: "InnerProduct" bottom: "data" top: "ip"
  inner_product_param { num_output: 2 weight_filler { type: "xavier" } } }
layer { name: "accuracy" type: "Accuracy" bottom: "ip" bottom: "label" top: "accuracy" include { phase: TEST } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "ip" bottom: "label" top: "loss" }
"""

DEPLOY = """
name: "tiny"
layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 3 dim: 1 dim: 8 dim: 8 } } }
layer { name: "ip" type: "InnerProduct" bottom: "data" top: "ip" inner_product_param { num_output: 2 } }
layer { name: "prob" type: "Softmax" bottom: "ip" top: "prob" }
"""


def solver(max_iter):
    return (f'net: "solver-net.prototxt" snapshot_prefix: "snapshot" base_lr: 0.1 lr_policy: "fixed" momentum: 0.9 '
            f'max_iter: {max_iter} display: 20 test_iter: 2 test_interval: 50 solver_mode: CPU random_seed: 1')


def train_job(max_iter=100, net=NET, more_inputs=None, precision="f32", **more):
    inputs = {"solver.prototxt": solver(max_iter).encode(), "solver-net.prototxt": net.encode(),
              "training.tar.gz": targz(IMAGES[:7] + IMAGES[10:17]),
              "testing.tar.gz": targz(IMAGES[7:10] + IMAGES[17:])}
    inputs.update(more_inputs or {})
    return Job("train", {"layer_type": "IMAGE_DATA", "threads": 1, "precision": precision, "max_iter": max_iter}, inputs, **more)


ENDLESS = 2_000_000_000


def split_spec(training=0.7, test=0.3, a="a", b="a", layer_type="IMAGE_DATA"):
    return {"layer_type": layer_type, "training": {"input": a, "share": training},
            "test": {"input": b, "share": test}}


# ---- the worker ----

class Worker:
    def __init__(self, server, folder, *flags, token=TOKEN, **env):
        self.folder = folder
        self.log = open(os.path.join(folder, "worker.log"), "ab")
        token_file = os.path.join(folder, "token")
        with open(token_file, "w", encoding="utf-8") as f:
            f.write(token + "\n")
        self.process = subprocess.Popen(
            [ET, "worker", "--server", server.url + "/", "--token-file", token_file, "--work",
             os.path.join(folder, "work"), *flags], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=self.log, env={**os.environ, **env})

    def children(self):
        found = []
        for name in os.listdir("/proc"):
            try:
                with open(f"/proc/{name}/stat", encoding="utf-8") as f:
                    fields = f.read().rsplit(")", 1)[1].split()
                if name.isdigit() and int(fields[1]) == self.process.pid and fields[0] != "Z":
                    found.append(int(name))
            except OSError:
                continue
        return found

    def said(self):
        with open(os.path.join(self.folder, "worker.log"), encoding="utf-8", errors="replace") as f:
            return f.readlines()

    def stop(self):
        self.process.terminate()
        return self.process.wait(DEADLINE)

    def close(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self.log.close()


@contextmanager
def running(*flags, token=TOKEN, fault="", **env):
    server = Server()
    env.update({"ET_FAULT": fault} if fault else {})
    with tempfile.TemporaryDirectory(prefix="et-worker-") as folder:
        worker = Worker(server, folder, *flags, token=token, **env)
        try:
            yield server, worker
            if worker.process.poll() is None:
                assert worker.stop() == 0, "the worker did not end well"
            said = worker.said() + [j.logs["stderr"].decode(errors="replace") for j in server.jobs.values()]
            assert not any("Sanitizer" in text or "runtime error" in text for text in said), said
        except BaseException:
            worker.close()
            print("".join("# " + line for line in worker.said()), end="")
            raise
        finally:
            worker.close()
            if server.httpd:
                server.stop()


def finish_of(server, job):
    return server.wait_end(server.offer(job))


def expect(outcome, finish, *words):
    assert finish["outcome"] == outcome, finish
    for word in words:
        assert word in finish["reason"], finish


def wait_gone(pid):
    """Until a process that is not ours has ended."""
    try:
        fd = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    import select
    assert select.select([fd], [], [], DEADLINE)[0], f"process {pid} lives on"
    os.close(fd)


# ---- the tests ----

def a_url_is_copied_to_a_blob():
    with running() as (server, _):
        data = os.urandom(3_000_000)
        server.files["/files/x"] = (200, {}, data, len(data))
        job = Job("fetch", {"url": server.url + "/files/x", "name": "x.tar.gz"})
        expect("done", finish_of(server, job))
        assert job.blobs == {"x.tar.gz": data}


def what_is_wrong_with_a_url_decides_the_outcome():
    with running() as (server, _):
        server.files.update({
            "/files/busy": (503, {}, b"", 0),
            "/files/short": (200, {}, b"abc", 100),
            "/files/loop": (302, {"Location": "/files/loop"}, b"", 0),
        })
        rows = [
            ("/files/none", {}, "failed", "answered 404"),
            ("/files/busy", {}, "retry", "answered 503"),
            ("/files/short", {}, "retry", "cut short"),
            ("/files/loop", {}, "failed", "redirects more than 5 times"),
            ("/files/none", {"allow_private_urls": False}, "failed", "not on the public internet"),
        ]
        for path, more, outcome, words in rows:
            job = Job("fetch", {"url": server.url + path, "name": "x"}, **more)
            expect(outcome, finish_of(server, job), words)
            assert job.blobs == {}, path
        expect("failed", finish_of(server, Job("fetch", {"url": "file:///etc/passwd", "name": "x"})), "not a URL")
        expect("failed", finish_of(server, Job("fetch", {"name": "x"})), "needs 'url'")
        expect("failed", finish_of(server, Job("dance", {})), "no jobs of kind 'dance'")


def a_datafile_is_divided_label_by_label():
    with running() as (server, _):
        job = Job("split", split_spec(), {"a": targz([("._junk", b"x")] + IMAGES)})
        finish = finish_of(server, job)
        expect("done", finish)
        # By hand from n_training * 0.3 <= n_test * 0.7: T t T T t T T t T T.
        training = [f"{label}/{i}.png" for label in ("dark", "bright") for i in (0, 2, 3, 5, 6, 8, 9)]
        test = [f"{label}/{i}.png" for label in ("dark", "bright") for i in (1, 4, 7)]
        assert names_in(job.blobs["training.tar.gz"]) == training
        assert names_in(job.blobs["testing.tar.gz"]) == test
        assert finish["result"] == {"training": {"images": 14}, "test": {"images": 6}, "labels": ["dark", "bright"],
                                    "image-shape": [1, 8, 8], "skipped": 0}, finish


def two_datafiles_are_taken_whole():
    with running() as (server, _):
        job = Job("split", split_spec(0, 0, "a", "b"), {"a": targz(IMAGES[:12]),
                                                       "b": targz([("t/dark/x.png", png(1, 9, 8))])})
        finish = finish_of(server, job)
        expect("done", finish)
        assert len(names_in(job.blobs["training.tar.gz"])) == 12
        assert names_in(job.blobs["testing.tar.gz"]) == ["t/dark/x.png"]
        assert finish["result"]["labels"] == ["dark", "bright"]
        assert finish["result"]["image-shape"] is None
        assert b"label 'bright' has no test image" in job.logs["stderr"]


def an_image_that_is_none_is_named_and_skipped():
    with running() as (server, _):
        job = Job("split", split_spec(), {"a": targz(IMAGES + [("dark/bad.png", b"no image")])})
        finish = finish_of(server, job)
        expect("done", finish)
        assert finish["result"]["skipped"] == 1
        assert b"skipped dark/bad.png" in job.logs["stderr"], job.logs
        job = Job("split", split_spec(), {"a": targz(IMAGES + [("C/bad.png", b"no"), ("C/worse.png", b"no")])})
        expect("failed", finish_of(server, job), "label 'C' has no image left", "C/bad.png")
        assert job.blobs == {}


def a_datafile_that_cannot_be_divided_says_why():
    with running() as (server, _):
        whole = targz(IMAGES)
        rows = [
            (b"no archive", split_spec(), "is not an archive"),
            (whole[:len(whole) // 2], split_spec(), "cut short"),
            (targz([("A/x.png", png(1))]), split_spec(), "one file only"),
            (targz([]), split_spec(), "holds no files"),
            (targz([("x.png", png(1)), ("y.png", png(2))]), split_spec(), "lies in no folder"),
            (targz([("/A/x.png", png(1))]), split_spec(), "absolute path"),
            (targz([("A/../../x.png", png(1))]), split_spec(), "'..' in its path"),
            (targz([("1/A/x.png", png(1)), ("2/A/x.png", png(1))]), split_spec(), "both be the label 'A'"),
            (targz([("db/data.mdb", b"x")]), split_spec(layer_type="DATA"), "cannot be divided"),
            (targz([("db/data.mdb", b"x")]), split_spec(layer_type=""), "cannot be divided"),
        ]
        for data, spec, words in rows:
            job = Job("split", spec, {"a": data})
            expect("failed", finish_of(server, job), words)
            assert job.blobs == {}, words


def databases_are_passed_whole():
    with running() as (server, _):
        a, b = targz([("x/db/data.mdb", b"1" * 100_000), ("x/db/lock.mdb", b"")]), targz([("CURRENT", b"2")])
        job = Job("split", split_spec(0, 0, "a", "b", ""), {"a": a, "b": b})
        expect("done", finish_of(server, job))
        assert names_in(job.blobs["training.tar.gz"]) == ["x/db/data.mdb", "x/db/lock.mdb"]
        assert names_in(job.blobs["testing.tar.gz"]) == ["CURRENT"]
        job = Job("split", split_spec(0, 0, "a", "b", "DATA"), {"a": a, "b": targz(IMAGES)})
        expect("failed", finish_of(server, job), "holds no LMDB")


def a_lease_whose_answer_was_lost_is_asked_for_again():
    with running() as (server, _):
        server.swallow = 2
        server.wait("third request", lambda: len(server.requests) >= 3)
        ids = [r["request_id"] for r in server.requests]
        assert len(set(ids[:3])) == 1 and len(ids[0]) == 32, ids
        expect("failed", finish_of(server, Job("fetch", {})))


def a_wrong_token_ends_the_worker():
    with running(token="wrong") as (_, worker):
        assert worker.process.wait(DEADLINE) == 4


def a_net_is_trained_and_then_classifies():
    with running() as (server, _):
        job = train_job()
        finish = finish_of(server, job)
        expect("done", finish)
        assert finish["result"]["labels"] == ["dark", "bright"]
        assert finish["result"]["accuracy"] == 1.0, finish
        assert job.blobs["std-err.txt"] == job.logs["stderr"]
        assert b"Optimization Done" in job.logs["stderr"]
        assert job.points["test/accuracy", 100] == 1.0
        assert job.progress["iteration"] == 100 and job.progress["max_iterations"] == 100
        assert ("loss", 100) in job.points

        spec = {"images": [{"key": "a" * 40, "input": "a" * 40}, {"key": "b" * 40, "url": server.url + "/files/b"},
                           {"key": "c" * 40, "input": "c" * 40}, {"key": "d" * 40, "url": server.url + "/files/d"}],
                "scale": 1.0, "width": 8, "height": 8, "color": False, "labels": ["dark", "bright"]}
        server.files["/files/b"] = (200, {}, png(250, 20, 16), len(png(250, 20, 16)))
        inputs = {"classifier.prototxt": DEPLOY.encode(), "trained.caffemodel": job.blobs["trained.caffemodel"],
                  "a" * 40: png(3), "c" * 40: b"no image"}
        finish = finish_of(server, Job("classify", spec, inputs))
        expect("done", finish)
        results = finish["result"]["results"]
        assert (results["a" * 40], results["b" * 40]) == ("dark", "bright"), results
        assert results["c" * 40].startswith("error: ") and "answered 404" in results["d" * 40], results
        assert finish["result"]["skipped"] == 2
        assert 0.5 < finish["result"]["scores"]["a" * 40] <= 1
        finish = finish_of(server, Job("classify", {**spec, "labels": []}, inputs))
        results = finish["result"]["results"]
        assert (results["a" * 40], results["b" * 40]) == ("0", "1"), results
        spec["images"] = spec["images"][2:]
        expect("failed", finish_of(server, Job("classify", spec, inputs)), "none of the 2 images")
        spec["width"], spec["images"] = 9, [{"key": "a" * 40, "input": "a" * 40}]
        expect("failed", finish_of(server, Job("classify", spec, inputs)), "3 1 8 8", "1 x 8 x 9")


def what_the_child_says_last_is_the_reason():
    with running() as (server, _):
        wrong = NET.replace("num_output: 2", "num_outpt: 2")
        job = train_job(net=wrong)
        expect("failed", finish_of(server, job), "num_outpt")
        assert b"num_outpt" in job.blobs["std-err.txt"]
        job = train_job(max_iter=ENDLESS, max_seconds=1)
        expect("failed", finish_of(server, job), "longer than its limit of 1 s")


def a_precision_that_the_processor_lacks_is_refused_with_the_reason():
    with running(ONEDNN_MAX_CPU_ISA="AVX2") as (server, _):
        for precision, outcome, reason in (("f32", "done", ""), ("bf16", "failed", "precision bf16 needs")):
            expect(outcome, finish_of(server, train_job(precision=precision)), reason)


def pools_of_bf16_are_served_only_where_the_processor_has_it():
    with open("/proc/cpuinfo", encoding="ascii", errors="replace") as file:
        has_bf16 = any("avx512_bf16" in line.split() for line in file if line.startswith("flags"))
    with running(ONEDNN_MAX_CPU_ISA="AVX2") as (server, _):
        server.wait("a request", lambda: server.requests)
        assert server.requests[0]["pools"] == ["cpu"], server.requests[0]
    if not has_bf16:
        return
    with running() as (server, _):
        for _ in range(2):
            assert finish_of(server, train_job())["outcome"] == "done"
        server.wait("three requests", lambda: len(server.requests) >= 3)
        asked = [request["pools"] for request in server.requests]
        assert all(sorted(pools) == ["cpu", "cpu-bf16"] for pools in asked), asked
        # Each is asked for first in its turn.
        assert {pools[0] for pools in asked} == {"cpu", "cpu-bf16"}, asked


def output_comes_while_the_job_runs():
    with running() as (server, worker):
        job = server.offer(train_job(ENDLESS))
        server.wait("log", lambda: b"Solving" in job.logs["stderr"])
        server.wait("progress", lambda: job.progress and job.progress["iteration"] > 0)
        server.wait("heartbeats", lambda: job.heartbeats >= 2)
        assert job.finish is None and len(worker.children()) == 1


def a_cancelled_job_saves_and_stops():
    with running() as (server, worker):
        job = server.offer(train_job(ENDLESS))
        server.wait("progress", lambda: job.progress)
        child = worker.children()[0]
        job.cancel = True
        expect("cancelled", server.wait_end(job))
        wait_gone(child)
        assert job.puts[0] == "snapshot.tar", job.puts


def a_lost_job_is_killed_and_forgotten():
    with running() as (server, worker):
        job = server.offer(train_job(ENDLESS))
        server.wait("progress", lambda: job.progress)
        child = worker.children()[0]
        job.gone = True
        wait_gone(child)
        server.wait("next request", lambda: len(server.requests) >= 2)
        assert job.finish is None
        expect("failed", finish_of(server, Job("fetch", {})))


def the_heart_beats_until_a_slow_finish_is_answered():
    with running() as (server, worker):
        server.files["/files/x"] = (200, {}, b"abc", 3)
        job = Job("fetch", {"url": server.url + "/files/x", "name": "x"})
        job.slow_finish = True
        server.offer(job)
        server.wait("answer to the finish", lambda: job.answered)
        expect("done", job.finish)
        expect("failed", finish_of(server, Job("fetch", {})))
        assert worker.stop() == 0
        said = "".join(worker.said())
        assert "outcome=done" in said and "outcome=lost" not in said, said


def a_stopped_worker_gives_its_jobs_back_and_they_go_on():
    with running("--slots", "2") as (server, worker):
        jobs = [server.offer(train_job(ENDLESS)), server.offer(train_job(ENDLESS))]
        server.wait("progress", lambda: all(j.progress for j in jobs))
        assert worker.stop() == 0
        for job in jobs:
            expect("released", job.finish)
        assert not [n for n in os.listdir(worker.folder + "/work") if n.startswith("worker-")]
        reached = jobs[0].progress["iteration"]
        snapshot = {"snapshot.tar": jobs[0].blobs["snapshot.tar"]}
        second = Worker(server, worker.folder)
        try:
            job = server.offer(train_job(ENDLESS, more_inputs=snapshot, attempt=2))
            server.wait("progress", lambda: job.progress)
            assert b"Resuming from snapshot.solverstate" in job.logs["stderr"]
            assert job.progress["iteration"] > reached
            job.cancel = True
            server.wait_end(job)
        finally:
            second.close()


def a_killed_worker_takes_its_children_with_it_and_leaves_no_folder_for_long():
    with running() as (server, worker):
        job = server.offer(train_job(ENDLESS))
        server.wait("progress", lambda: job.progress)
        child = worker.children()[0]
        worker.process.kill()
        worker.process.wait()
        wait_gone(child)
        work = worker.folder + "/work"
        old = [n for n in os.listdir(work) if n.startswith("worker-")]
        assert len(old) == 1
        second = Worker(server, worker.folder)
        try:
            expect("failed", finish_of(server, Job("fetch", {})))
            assert old[0] not in os.listdir(work)
        finally:
            second.close()


def a_server_that_was_away_finds_everything_in_its_place():
    with running() as (server, worker):
        job = server.offer(train_job(ENDLESS))
        server.wait("progress", lambda: job.progress)
        reached = job.progress["iteration"]
        server.stop()
        child = worker.children()[0]
        server.start()
        server.wait("progress", lambda: job.progress["iteration"] > reached)
        assert worker.children() == [child]
        job.cancel = True
        expect("cancelled", server.wait_end(job))
        assert job.blobs["std-err.txt"] == job.logs["stderr"]


def a_worker_that_dies_at_any_point_leaves_a_job_that_another_can_do():
    data = b"x" * 100_000
    for point in ("worker.lease", "worker.heartbeat", "worker.upload", "worker.finish", "worker.train"):
        with running(fault=point + ":1") as (server, worker):
            server.files["/files/x"] = (200, {}, data, len(data))
            trains = point in ("worker.heartbeat", "worker.train")
            job = server.offer(train_job(ENDLESS) if trains else
                               Job("fetch", {"url": server.url + "/files/x", "name": "x"}))
            assert worker.process.wait(DEADLINE) == 137, point
            assert job.finish is None, point
            job.gone = True
            second = Worker(server, worker.folder)
            try:
                job = Job("fetch", {"url": server.url + "/files/x", "name": "x"}, attempt=2)
                expect("done", finish_of(server, job))
                assert job.blobs["x"] == data
            finally:
                second.close()


def what_the_store_has_no_room_for_is_tried_again():
    with running(fault="worker.upload:1:error") as (server, _):
        server.files["/files/x"] = (200, {}, b"abc", 3)
        job = Job("fetch", {"url": server.url + "/files/x", "name": "x"})
        expect("retry", finish_of(server, job), "cannot upload 'x'")


def a_worker_stops_with_its_parent():
    with running() as (server, worker):
        code = ("import subprocess,sys;p=subprocess.Popen(sys.argv[1:]);print(p.pid,flush=True);sys.stdin.read()")
        parent = subprocess.Popen(
            [sys.executable, "-c", code, ET, "worker", "--server", server.url, "--token-file",
             worker.folder + "/token", "--work", worker.folder + "/work", "--exit-with-parent"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        pid = int(parent.stdout.readline())
        server.wait("two workers", lambda: len({r["worker"] for r in server.requests}) == 2)
        parent.kill()
        parent.wait()
        parent.stdin.close()
        parent.stdout.close()
        wait_gone(pid)


def wrong_usage_is_told():
    for flags in ([], ["--server", "http://x", "--slots", "0"], ["--server", "http://x", "more"], ["--pool", "a:b"]):
        done = subprocess.run([ET, "worker", *flags], capture_output=True, check=False, timeout=DEADLINE,
                              env={**os.environ, "ET_SERVER": "", "ET_TOKEN": "x"})
        assert done.returncode == 2, (flags, done)


TESTS = [
    a_url_is_copied_to_a_blob,
    what_is_wrong_with_a_url_decides_the_outcome,
    a_datafile_is_divided_label_by_label,
    two_datafiles_are_taken_whole,
    an_image_that_is_none_is_named_and_skipped,
    a_datafile_that_cannot_be_divided_says_why,
    databases_are_passed_whole,
    a_lease_whose_answer_was_lost_is_asked_for_again,
    a_wrong_token_ends_the_worker,
    a_net_is_trained_and_then_classifies,
    what_the_child_says_last_is_the_reason,
    a_precision_that_the_processor_lacks_is_refused_with_the_reason,
    pools_of_bf16_are_served_only_where_the_processor_has_it,
    output_comes_while_the_job_runs,
    a_cancelled_job_saves_and_stops,
    a_lost_job_is_killed_and_forgotten,
    a_stopped_worker_gives_its_jobs_back_and_they_go_on,
    a_killed_worker_takes_its_children_with_it_and_leaves_no_folder_for_long,
    a_server_that_was_away_finds_everything_in_its_place,
    a_worker_that_dies_at_any_point_leaves_a_job_that_another_can_do,
    what_the_store_has_no_room_for_is_tried_again,
    a_worker_stops_with_its_parent,
    wrong_usage_is_told,
]


def main():
    chosen = [t for t in TESTS if len(sys.argv) < 3 or t.__name__ in sys.argv[2:]]
    print(f"1..{len(chosen)}", flush=True)
    failed = 0
    for number, test in enumerate(chosen, 1):
        try:
            test()
            print(f"ok {number} - {test.__name__}", flush=True)
        except Exception:  # every failure is a line of the report
            failed += 1
            print(f"not ok {number} - {test.__name__}")
            print("".join("# " + line + "\n" for line in traceback.format_exc().splitlines()), end="", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
