#!/usr/bin/python3
"""Renders labelled pictures of letters and digits from the machine's own fonts.

    make_images.py OUT.tar.gz [--per-class N] [--seed S]

Writes one folder a label: A/00001.png and so on, 28x28 grey PNGs. 34 classes:
the digits and capitals without 0 and 1, which many fonts draw as O and I.
The same seed and fonts give the same pictures.
"""
import argparse
import glob
import io
import os
import random
import sys
import tarfile

try:
    from PIL import Image, ImageDraw, ImageFont
except ImportError:
    sys.exit('no PIL: install the packages of deps/demo.txt (`deps/install deps/demo.txt`)')

CLASSES = '23456789ABCDEFGHIJKLMNOPQRSTUVWXYZ'
SIZE = 28
FONTS = [
    'dejavu/DejaVuSans.ttf', 'dejavu/DejaVuSans-Bold.ttf', 'dejavu/DejaVuSans-Oblique.ttf',
    'dejavu/DejaVuSerif.ttf', 'dejavu/DejaVuSerif-Bold.ttf', 'dejavu/DejaVuSerif-Italic.ttf',
    'dejavu/DejaVuSansMono.ttf', 'dejavu/DejaVuSansCondensed.ttf',
    'liberation*/LiberationSans-Regular.ttf', 'liberation*/LiberationSans-Bold.ttf',
    'liberation*/LiberationSerif-Regular.ttf', 'liberation*/LiberationSerif-Italic.ttf',
    'liberation*/LiberationMono-Regular.ttf', 'liberation*/LiberationSans-Italic.ttf',
    'freefont/FreeSans.ttf', 'freefont/FreeSerif.ttf', 'freefont/FreeMono.ttf', 'freefont/FreeSerifBold.ttf',
]


def find_fonts():
    """Paths of the fonts that are installed, in a fixed order."""
    found = []
    for name in FONTS:
        found += sorted(glob.glob('/usr/share/fonts/truetype/' + name))[:1]
    if len(found) < 4:
        sys.exit('too few fonts below /usr/share/fonts/truetype: install the packages of deps/demo.txt')
    return found


def draw(label, font_path, rng):
    """One picture: the glyph white on black, centred, with a small turn, shift and noise."""
    font = ImageFont.truetype(font_path, rng.randint(18, 24))
    big = Image.new('L', (2 * SIZE, 2 * SIZE), 0)
    left, top, right, bottom = font.getbbox(label)
    at = (SIZE - (left + right) / 2 + rng.uniform(-2, 2), SIZE - (top + bottom) / 2 + rng.uniform(-2, 2))
    ImageDraw.Draw(big).text(at, label, fill=rng.randint(180, 255), font=font)
    big = big.rotate(rng.uniform(-12, 12), resample=Image.BILINEAR)
    picture = big.crop((SIZE // 2, SIZE // 2, SIZE // 2 + SIZE, SIZE // 2 + SIZE))
    deviation = rng.uniform(0, 20)
    noisy = bytes(min(255, max(0, round(p + rng.gauss(0, deviation)))) for p in picture.tobytes())
    return Image.frombytes('L', (SIZE, SIZE), noisy)


def write_archive(path, per_class, seed=1):
    """Writes the archive and returns the number of pictures."""
    fonts = find_fonts()
    rng = random.Random(seed)
    os.makedirs(os.path.dirname(path) or '.', exist_ok=True)
    with tarfile.open(path, 'w:gz', compresslevel=1) as archive:
        for label in CLASSES:
            for number in range(per_class):
                png = io.BytesIO()
                draw(label, fonts[number % len(fonts)], rng).save(png, 'PNG')
                entry = tarfile.TarInfo('%s/%05d.png' % (label, number + 1))
                entry.size = png.tell()
                png.seek(0)
                archive.addfile(entry, png)
    return len(CLASSES) * per_class


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('out')
    parser.add_argument('--per-class', type=int, default=160)
    parser.add_argument('--seed', type=int, default=1)
    arguments = parser.parse_args()
    count = write_archive(arguments.out, arguments.per_class, arguments.seed)
    print('%s: %d pictures, %d labels' % (arguments.out, count, len(CLASSES)))


if __name__ == '__main__':
    main()
