#!/usr/bin/env python3
"""Makes files/ and expected_images.h: what OpenCV 4.6 reads from them.

Needs python3-pil, python3-opencv, python3-numpy; run by hand, in this folder.
"""
import io
import textwrap

import cv2
import numpy as np
from PIL import Image

rng = np.random.default_rng(20261121)
rgb = rng.integers(0, 256, (3, 4, 3), dtype=np.uint8)
rgba = rng.integers(0, 256, (3, 4, 4), dtype=np.uint8)
grey = rng.integers(0, 256, (3, 4), dtype=np.uint8)
y, x = np.mgrid[0:6, 0:4]
smooth = np.stack([x * 40 + y * 3, y * 35 + 20, 200 - x * 20 - y * 10], -1).astype(np.uint8)

Image.fromarray(rgb).save("files/rgb.png")
Image.fromarray(rgba).save("files/rgba.png")
Image.fromarray(grey).save("files/grey.png")
Image.fromarray(rgb).quantize(4).save("files/palette.png")
cv2.imwrite("files/deep.png", rng.integers(0, 65536, (3, 4, 3), dtype=np.uint16))
Image.fromarray(smooth).save("files/rgb.jpg", quality=90)
Image.fromarray(smooth).convert("L").save("files/grey.jpg", quality=90)
Image.fromarray(smooth).convert("CMYK").save("files/cmyk.jpg", quality=90)
turned = Image.Exif()
turned[0x112] = 6
Image.fromarray(smooth).save("files/turned.jpg", quality=90, exif=turned.tobytes())

# BMP from the bottom and from the top, with palettes of colours and of greys; PNM of one and of two bytes.
Image.fromarray(rgb).save("files/rgb.bmp")
Image.fromarray(grey).save("files/grey.bmp")
Image.fromarray(rgb).quantize(4).save("files/palette.bmp")
from_top = io.BytesIO()
Image.fromarray(rgba).save(from_top, "BMP")
with open("files/top32.bmp", "wb") as out:
    out.write(from_top.getvalue()[:22] + (-3).to_bytes(4, "little", signed=True) + from_top.getvalue()[26:])
with open("files/rgb.ppm", "wb") as out:
    out.write(b"P6\n# three rows\n4 3\n255\n" + rgb.tobytes())
with open("files/grey.pgm", "wb") as out:
    out.write(b"P5 4 3 200 " + grey.tobytes())
with open("files/deep.ppm", "wb") as out:
    out.write(b"P6 2 3 65535\n" + rgb.tobytes())

# The first scan of a progressive file, over and over.
progressive = io.BytesIO()
Image.fromarray(np.full((8, 8), 77, np.uint8)).save(progressive, "JPEG", progressive=True)
data = progressive.getvalue()
first = data.index(b"\xff\xda")
second = data.index(b"\xff", first + 14)
with open("files/scans.jpg", "wb") as out:
    out.write(data[:first] + data[first:second] * 300 + data[first:])

MODES = {"IMAGE_GREY": cv2.IMREAD_GRAYSCALE, "IMAGE_COLOR": cv2.IMREAD_COLOR, "IMAGE_AS_IS": cv2.IMREAD_UNCHANGED}
ROWS = [("rgb.png", m) for m in MODES] + [("rgba.png", m) for m in MODES] + [
    ("grey.png", "IMAGE_GREY"), ("grey.png", "IMAGE_COLOR"), ("grey.png", "IMAGE_AS_IS"),
    ("palette.png", "IMAGE_COLOR"), ("deep.png", "IMAGE_COLOR"), ("deep.png", "IMAGE_GREY"),
    ("rgb.jpg", "IMAGE_COLOR"), ("rgb.jpg", "IMAGE_GREY"), ("grey.jpg", "IMAGE_COLOR"), ("grey.jpg", "IMAGE_AS_IS"),
    ("cmyk.jpg", "IMAGE_COLOR"), ("cmyk.jpg", "IMAGE_GREY"),
    ("turned.jpg", "IMAGE_COLOR"), ("turned.jpg", "IMAGE_AS_IS")] + [
    (file, m) for file in ("rgb.bmp", "grey.bmp", "palette.bmp", "top32.bmp", "rgb.ppm", "grey.pgm") for m in MODES] + [
    ("deep.ppm", "IMAGE_COLOR"), ("deep.ppm", "IMAGE_GREY")]
SIZES = [(3, 7), (8, 9), (2, 2), (1, 1), (6, 10), (5, 5)]


def table(pixels):
    numbers = [str(v) for v in pixels.reshape(-1)]
    return textwrap.fill("{" + ", ".join(numbers) + "}", 104, subsequent_indent="      ")


with open("expected_images.h", "w") as out:
    print("/* clang-format off */", file=out)
    print("/* Made by make_files.py: what OpenCV's imread and resize make of files/. */", file=out)
    for name, kind in (("image_cases", ROWS),):
        print(f"static const struct image_case {name}[] = {{", file=out)
        for file, mode in kind:
            a = cv2.imread("files/" + file, MODES[mode])
            a = a.reshape(a.shape[0], a.shape[1], -1)
            print(f'    {{"{file}", {mode}, {a.shape[0]}, {a.shape[1]}, {a.shape[2]},\n     {table(a)}}},', file=out)
        print("};\n", file=out)
    print("static const struct image_case resize_cases[] = {", file=out)
    for file, mode in (("rgb.jpg", "IMAGE_COLOR"), ("grey.png", "IMAGE_GREY"), ("rgba.png", "IMAGE_AS_IS")):
        a = cv2.imread("files/" + file, MODES[mode])
        for h, w in SIZES + ([(3, 2)] if file == "rgb.jpg" else [(a.shape[0] // 2, a.shape[1] // 2)]):
            r = cv2.resize(a, (w, h)).reshape(h, w, -1)
            print(f'    {{"{file}", {mode}, {h}, {w}, {r.shape[2]},\n     {table(r)}}},', file=out)
    print("};", file=out)
