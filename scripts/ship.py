"""Put a trained checkpoint and ten days of the test split into the package. Networks are kept in half precision, and read as float32.

python scripts/ship.py PIPELINE_FOLDER DATA_FOLDER
"""

import shutil
import sys
from pathlib import Path

from gencarbon import CO2Pipeline
from gencarbon.data.files import open_dataset
from gencarbon.data.views import canonical_datasets
from gencarbon.sample_data import pack_sample

PACKAGE = Path(__file__).parents[1] / "gencarbon"
FRAMES = 44  # ten days and three quarters: whole windows of 8 frames, 2 of them shared

if __name__ == "__main__":
    pipeline, data = map(Path, sys.argv[1:])
    target = PACKAGE / "checkpoints" / "hsco2"
    shutil.rmtree(target, ignore_errors=True)
    pipe = CO2Pipeline.from_pretrained(pipeline)
    for network in (pipe.denoiser, pipe.winds):
        network.half()  # 15 MB instead of 30
    pipe.save_pretrained(target)
    store = open_dataset(data / "test.zarr")
    pack_sample(canonical_datasets(store, slice(0, FRAMES)), PACKAGE / "samples")
