#!/usr/bin/python3
"""A job whose uploads pass its owner's quota fails, says why, and is not tried again.

    ET=build/et python3 -m unittest tests/fault/test_quota.py
"""
import re
import unittest

from service import Service, pictures_archive


class Quota(unittest.TestCase):
    def test_a_job_whose_upload_does_not_fit_fails_with_the_figures(self):
        archive = pictures_archive()
        service = Service(serve=['--quota', str(len(archive) + 100)])
        service.register()
        dataset = service.make_dataset(archive)
        document = service.ended('/datasets/' + dataset)
        self.assertEqual('failed', document['processing-state'])
        self.assertIn('the quota of', document['processing-log'])
        used = re.search('is %d bytes, of which (\\d+) are used' % (len(archive) + 100), document['processing-log'])
        self.assertGreaterEqual(int(used.group(1)), len(archive))  # the log counts, too
        self.assertEqual([0, 0], service.close())
        self.assertEqual(1, len(service.outcomes(dataset)))
        service.remove()


if __name__ == '__main__':
    unittest.main()
