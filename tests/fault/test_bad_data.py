#!/usr/bin/python3
"""Data that is not what it should be, through the whole service: what the user is told, and that it goes on."""
import gzip
import http.server
import io
import tarfile
import threading
import unittest

from service import Service, picture, pictures_archive


def archive(entries):
    """A .tar.gz of (name, bytes) or of ready TarInfos."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode='w:gz') as tar:
        for entry in entries:
            if isinstance(entry, tarfile.TarInfo):
                tar.addfile(entry)
                continue
            name, data = entry
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return out.getvalue()


def special(name, kind, link=''):
    info = tarfile.TarInfo(name)
    info.type = kind
    info.linkname = link
    return info


GOOD = [('%s/%d.png' % (label, n), picture(label, n)) for label in ('left', 'right') for n in range(4)]

# what is wrong, the archive, words that the reason must have
REFUSED = [
    ('no archive', b'hello, this is no archive. ' * 40, ['archive']),
    ('nothing', b'', ['archive']),
    ('cut short', pictures_archive()[:-300], ['cut short']),
    ('gzip of no tar', gzip.compress(b'some text ' * 200), ['archive']),
    ('one file', archive([('left/0.png', picture('left', 0))]), ['one']),
    ('no label folders', archive([('0.png', picture('left', 0)), ('1.png', picture('left', 1))]), ['folder', '0.png']),
    ('an absolute path', archive(GOOD + [('/etc/passwd', b'x')]), ['/etc/passwd', 'absolute']),
    ('a way out', archive(GOOD + [('left/../../x', b'x')]), ['..']),
    ('a symbolic link', archive(GOOD + [special('left/l.png', tarfile.SYMTYPE, '/etc/passwd')]), ['link', 'left/l.png']),
    ('a hard link', archive(GOOD + [special('left/l.png', tarfile.LNKTYPE, 'left/0.png')]), ['link', 'left/l.png']),
    ('a device', archive(GOOD + [special('left/zero', tarfile.CHRTYPE)]), ['device', 'left/zero']),
    ('a pipe', archive(GOOD + [special('left/pipe', tarfile.FIFOTYPE)]), ['left/pipe']),
    ('a label without a readable image', archive(GOOD + [('up/0.png', b'no image'), ('up/1.png', b'')]), ['up', 'image']),
]


class Site(http.server.BaseHTTPRequestHandler):
    """Answers with a status in the path; /cut says more bytes than it sends."""

    def do_GET(self):
        if self.path.startswith('/good'):
            body = pictures_archive()
            self.send_response(200)
            self.send_header('Content-Length', str(len(body)))
            self.end_headers()
            self.wfile.write(body)
        else:
            self.send_response(int(self.path[1:4]))
            self.end_headers()

    def log_message(self, *_):
        pass


class BadData(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.service = Service(serve=['--allow-private-urls'])
        cls.service.register()
        cls.site = http.server.ThreadingHTTPServer(('127.0.0.1', 0), Site)
        threading.Thread(target=cls.site.serve_forever).start()

    @classmethod
    def tearDownClass(cls):
        cls.site.shutdown()
        cls.site.server_close()
        statuses = cls.service.close()
        assert statuses == [0, 0], statuses
        assert cls.service.deaths == {'server': 0, 'worker': 0}, cls.service.deaths
        cls.service.remove()

    def url(self, path):
        return 'http://127.0.0.1:%d%s' % (self.site.server_address[1], path)

    def test_each_bad_archive_fails_its_dataset_with_the_reason(self):
        for what, data, words in REFUSED:
            with self.subTest(what):
                dataset = self.service.ended('/datasets/' + self.service.make_dataset(data or b'\0'))
                self.assertEqual('failed', dataset['processing-state'])
                for word in words:
                    self.assertIn(word.lower(), dataset['processing-log'].lower())

    def test_a_training_job_fails_with_its_dataset_and_says_so(self):
        dataset = self.service.make_dataset(b'no archive')
        job = self.service.make_job(self.service.make_solver(dataset, 10))
        ended = self.service.ended('/training-jobs/' + job)
        self.assertEqual('failed', ended['processing-state'])
        self.assertIn(dataset, ended['processing-log'])

    def test_an_image_that_is_none_is_skipped_named_and_counted(self):
        data = archive(GOOD + [('left/broken.png', b'\x89PNG\r\n\x1a\nnot really')])
        dataset = self.service.make_dataset(data)
        ended = self.service.ended('/datasets/' + dataset)
        self.assertEqual('finished_successfully', ended['processing-state'], ended)
        self.assertEqual(1, ended['skipped'])
        job = self.service.make_job(self.service.make_solver(dataset, 10))
        self.assertEqual('finished_successfully', self.service.ended('/training-jobs/' + job)['processing-state'])

    def test_a_url_of_a_datafile(self):
        good = self.service.json('POST', '/datafiles', {'url': self.url('/good.tar.gz')})['id']
        self.assertEqual('finished_successfully', self.service.ended('/datafiles/' + good)['processing-state'])
        gone = self.service.json('POST', '/datafiles', {'url': self.url('/404.tar.gz')})['id']
        ended = self.service.ended('/datafiles/' + gone)
        self.assertEqual('failed', ended['processing-state'])
        self.assertIn('404', ended['processing-log'])

    def test_pictures_that_are_none_are_told_apart(self):
        dataset = self.service.make_dataset()
        job = self.service.make_job(self.service.make_solver(dataset, 40))
        self.service.ended('/training-jobs/' + job)
        whole = self.service.json('GET', '/classify-jobs/' + self.service.classify(job))
        classifier = whole['classifier-id']
        mixed = self.service.form('/classifiers/%s/classify' % classifier,
                                  [('files', 'a.png', picture('left', 30)), ('files', 'b.png', b'no picture'),
                                   ('urls', None, self.url('/404.png').encode())])['_id']
        ended = self.service.ended('/classify-jobs/' + mixed)
        self.assertEqual('finished_successfully', ended['processing-state'], ended)
        results = sorted(ended['results'].values())
        self.assertEqual(3, len(results))
        self.assertEqual('left', results[2])
        self.assertTrue(results[0].startswith('error: ') and results[1].startswith('error: '), results)
        none = self.service.form('/classifiers/%s/classify' % classifier, [('files', 'b.png', b'no picture')])['_id']
        self.assertEqual('failed', self.service.ended('/classify-jobs/' + none)['processing-state'])

    def test_labels_follow_the_order_of_the_archive(self):
        data = archive([('%s/%d.png' % (label, n), picture('left', n)) for label in ('zebra', 'ape') for n in range(4)])
        dataset = self.service.ended('/datasets/' + self.service.make_dataset(data))
        self.assertEqual(['zebra', 'ape'], dataset['labels'])


if __name__ == '__main__':
    unittest.main()
