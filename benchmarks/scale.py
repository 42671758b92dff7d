"""Features of 100,000 photographs in files against 10,000: memory and images per second.

    python benchmarks/scale.py
    python benchmarks/scale.py --few 1000 --many 10000

Each number of images has a process of its own and an empty feature cache. The files are made first: JPEG, 224 pixels a
side, smooth colours from a seed, no two alike. Timed are `load_dataset` of the folder, which decodes every file once
for its report, and `extract_features` with the bundled backbone, which decodes them once more. The bundled backbone is
the cheapest, so that what is counted is the stream of images and not the network.

Memory is the peak of the resident set over the whole life of the process, TensorFlow included. 100,000 images of 224
pixels take 15 GB as an array.
"""

import concurrent.futures
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time

import click
import numpy as np
from PIL import Image

IMAGE_SIZE, NUM_CLASSES, NUM_CLIENTS = 224, 10, 50
MOST_GIGABYTES = 4.0
_PART = 1000


@click.command(help=__doc__.split("\n\n")[0])
@click.option("--few", default=10_000, show_default=True, type=click.IntRange(100), help="Images of the one folder.")
@click.option("--many", default=100_000, show_default=True, type=click.IntRange(100), help="Images of the other.")
@click.option("--child", hidden=True)
def main(few, many, child):
    if child:
        return run_child(child)
    for num_images in (few, many):
        with tempfile.TemporaryDirectory() as folder:
            make_folder(pathlib.Path(folder, "photos"), num_images)
            command = [sys.executable, __file__, "--child", folder]
            result = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
        reading, extraction = result["reading"], result["extraction"]
        print(
            f"{num_images:7d} images: peak memory {result['gigabytes']:.2f} GB, of which features "
            f"{result['features']:.2f} GB; reading the folder {num_images / reading:.0f} images/s, extraction "
            f"{num_images / extraction:.0f} images/s, both {num_images / (reading + extraction):.0f} images/s",
            flush=True,
        )
    print(f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
    if result["gigabytes"] > MOST_GIGABYTES:
        raise SystemExit(f"more than {MOST_GIGABYTES:g} GB")


def make_folder(folder: pathlib.Path, num_images: int) -> None:
    """Writes `<class>/<number>.jpg`."""
    for label in range(NUM_CLASSES):
        (folder / f"class_{label}").mkdir(parents=True)
    with concurrent.futures.ProcessPoolExecutor() as pool:
        starts = range(0, num_images, _PART)
        list(pool.map(_make_part, [folder] * len(starts), starts, [num_images] * len(starts)))


def _make_part(folder: pathlib.Path, start: int, num_images: int) -> None:
    rng = np.random.default_rng(start)
    for number in range(start, min(start + _PART, num_images)):
        colours = Image.fromarray(rng.integers(0, 256, [4, 4, 3], np.uint8))
        photo = colours.resize((IMAGE_SIZE, IMAGE_SIZE), Image.Resampling.BILINEAR)
        photo.save(folder / f"class_{number % NUM_CLASSES}" / f"{number}.jpg", quality=80)


def run_child(folder: str) -> None:
    """Prints seconds and gigabytes as JSON."""
    os.environ["FEDLEARN_EDU_CACHE"] = os.path.join(folder, "cache")
    import fedlearn_edu as fl

    backbone = fl.load_backbone("bundled")
    started = time.perf_counter()
    dataset = fl.load_dataset(pathlib.Path(folder, "photos"), image_size=IMAGE_SIZE)
    reading = time.perf_counter() - started
    clients = fl.partition(dataset, fl.IID(), num_clients=NUM_CLIENTS, seed=0)
    started = time.perf_counter()
    features = fl.extract_features(clients, backbone)
    extraction = time.perf_counter() - started
    status = pathlib.Path("/proc/self/status").read_text()
    [peak] = [line for line in status.splitlines() if line.startswith("VmHWM")]
    answer = {"reading": reading, "extraction": extraction, "gigabytes": int(peak.split()[1]) / 2**20}
    print(json.dumps({**answer, "features": features.examples.nbytes / 2**30}))


if __name__ == "__main__":
    main()
