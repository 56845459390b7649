"""Fit anew what is believed of the divergence of a checkpoint's wind network, on training winds; its networks stay as they are.

python scripts/close_winds.py PIPELINE_FOLDER DATA_FOLDER OUT_FOLDER
"""

import sys
from pathlib import Path

from gencarbon import CO2Pipeline
from gencarbon.data.files import open_dataset
from gencarbon.data.finewinds import WindClips
from gencarbon.model import WindNetwork
from gencarbon.training.winds import CLOSING_SAMPLES, fit_closing

if __name__ == "__main__":
    pipeline, data, out = map(Path, sys.argv[1:])
    pipe, store = CO2Pipeline.from_pretrained(pipeline), open_dataset(data / "train.zarr")
    old, rows = pipe.winds, store.sizes["lat_fine"]
    new = WindNetwork(**{k: v for k, v in old.config.items() if not k.startswith("_")} | {"rows": rows})
    new.load_state_dict({k: v for k, v in old.state_dict().items() if k != "belief"}, strict=False)
    fit_closing(new, WindClips(store, new.config.factor, new.config.context, CLOSING_SAMPLES, seed=0))
    pipe.register_modules(winds=new)
    pipe.save_pretrained(out)
    own = new.belief.diagonal(dim1=1, dim2=2)
    for name, part in (("by the poles", own[[0, -1]]), ("at the equator", own[[rows // 2 - 1, rows // 2]])):
        print(f"a layer's own weight {name}:", [round(float(x), 2) for x in part.mean(0)])
