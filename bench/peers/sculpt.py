"""Solids: Gyrus beside PyMCubes, scikit-image, fast-simplification and TripoSR's own code, in turn on the same cores.

    cargo build --release -p gyrus-sculpt --example sculpt_speed
    python bench/peers/sculpt.py surface|simplify [--rounds 3]
    python bench/peers/sculpt.py triposr TRIPOSR MODEL PICTURE LEVEL

Needs PyMCubes, scikit-image, fast-simplification, trimesh; for triposr the packages of golden/triposr.py, a checkout of TripoSR and
a folder that `golden/triposr.py TRIPOSR --full MODEL` made. GYRUS_SPEED names another build of the example.
"""

import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
OURS = os.environ.get("GYRUS_SPEED", str(ROOT / "target/release/examples/sculpt_speed"))
os.environ.update({name: "2" for name in ("RAYON_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS")})


def ours(*words):
    done = subprocess.run([OURS, *map(str, words)], capture_output=True, text=True)
    if done.returncode:
        sys.exit(done.stderr[-2000:])
    return done.stdout.strip()


def fastest(work, times=3):
    best = float("inf")
    for _ in range(times):
        start = time.perf_counter()
        result = work()
        best = min(best, time.perf_counter() - start)
    return best, result


def main():
    rounds = int(sys.argv[sys.argv.index("--rounds") + 1]) if "--rounds" in sys.argv else 3
    folder = Path(tempfile.mkdtemp())
    if sys.argv[1] == "triposr":
        _, _, code, model, picture, level = sys.argv
        print("ours:", ours("triposr", model, picture, level))
        golden = [sys.executable, str(ROOT / "golden/triposr.py"), code, "--time", model, picture, level]
        print("theirs:", subprocess.run(golden, capture_output=True, text=True).stdout.strip())
        return
    import numpy as np

    ours("surface", 256, folder)
    if sys.argv[1] == "surface":
        import mcubes
        from skimage.measure import marching_cubes

        values = np.load(folder / "field.npy")
        for _ in range(rounds):
            text = ours("surface", 256, folder)
            own = float(text.split()[0])
            mc, _ = fastest(lambda: mcubes.marching_cubes(values, 0.0))
            sk, found = fastest(lambda: marching_cubes(values, 0.0))
            print(f"ours {text}; PyMCubes {mc:.4f} s ({own / mc:.3f}); scikit-image {sk:.4f} s ({own / sk:.3f}), {len(found[1])} faces")
        return
    import fast_simplification
    import trimesh

    mesh = trimesh.load(folder / "surface.ply", process=False)
    faces = len(mesh.faces) // 10
    program = os.environ.get("GYRUS", str(ROOT / "target/release/gyrus"))

    def error(path):
        text = subprocess.run([program, "sculpt", "--compare", path, folder / "surface.ply"], capture_output=True, text=True).stdout
        distance = re.search(r"Chamfer-L1\s+(\S+)", text)[1]
        return f"Chamfer-L1 {distance}, normals {re.search(r'normal consistency +(.*)', text)[1]}"

    for _ in range(rounds):
        text = ours("simplify", folder / "surface.ply", faces, folder / "ours.ply")
        points, triangles = np.asarray(mesh.vertices, np.float32), np.asarray(mesh.faces, np.int32)
        seconds, (points, triangles) = fastest(lambda: fast_simplification.simplify(points, triangles, target_count=faces))
        theirs = trimesh.Trimesh(points, triangles, process=False)
        theirs.export(folder / "theirs.ply")
        print(f"ours {text}, {error(folder / 'ours.ply')}")
        print(f"fast-simplification {seconds:.4f} s ({float(text.split()[0]) / seconds:.2f}), {len(triangles)} faces, "
              f"watertight {theirs.is_watertight}, {error(folder / 'theirs.ply')}")


main()
