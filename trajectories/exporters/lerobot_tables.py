"""The tables of a LeRobotDataset v3.0: which columns they have, and what other libraries need to find in them."""

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa

from trajectories import lerobot as layout
from trajectories.dataset import Dataset
from trajectories.exporters.lerobot_stats import STATISTICS

# An image of one frame: its file's bytes, and the name it would have.
IMAGE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])

Features = dict[str, dict[str, Any]]


def describe_features(
    dataset: Dataset, dtypes: Mapping[str, np.dtype[Any]], action: layout.Action, images: str
) -> Features:
    """The features as info.json has them: the state and the action first, the format's own counters last.

    Args:
        dataset: what is exported.
        dtypes: key -> dtype of everything that is.
        action: which action is the format's.
        images: "png" or "video".
    """
    joints = dataset.row_shape("observation/joint_position")[0]
    names = [*(f"joint_{i + 1}" for i in range(joints)), "gripper"]
    features = {name: layout.feature_record("float32", (joints + 1,), names) for name in (layout.STATE, layout.ACTION)}
    for key, dtype in dtypes.items():
        name, shape = layout.feature_of(key, action), dataset.row_shape(key)
        if key.startswith("images/"):
            kind = "image" if images == "png" else "video"
            features[name] = layout.feature_record(kind, shape, ["height", "width", "channels"])
        elif name not in features and layout.is_column(key):
            features[name] = layout.feature_record(dtype.name, shape or (1,), None)
    return features | {name: layout.feature_record(dtype, (1,), None) for name, dtype in layout.COUNTERS.items()}


def data_schema(features: Features) -> pa.Schema:
    """One row per control step; videos lie elsewhere."""
    fields: list[pa.Field] = []
    described: dict[str, Any] = {}
    for name, feature in features.items():
        if feature["dtype"] == "image":
            fields.append(pa.field(name, IMAGE))
            described[name] = {"_type": "Image"}
        elif feature["dtype"] != "video":
            value, width = pa.from_numpy_dtype(np.dtype(feature["dtype"])), feature["shape"][0]
            fields.append(pa.field(name, value if width == 1 else pa.list_(value, width)))
            inner = {"dtype": feature["dtype"], "_type": "Value"}
            described[name] = inner if width == 1 else {"feature": inner, "length": width, "_type": "List"}
    # What the `datasets` library needs to know an image from a struct, where it opens the files by itself.
    return pa.schema(fields, {"huggingface": json.dumps({"info": {"features": described}})})


def episodes_schema(features: Features) -> pa.Schema:
    """One row per episode: where its rows and frames lie, and its statistics."""
    fields = [
        ("episode_index", pa.int64()),
        ("tasks", pa.list_(pa.string())),
        ("length", pa.int64()),
        ("data/chunk_index", pa.int64()),
        ("data/file_index", pa.int64()),
        ("dataset_from_index", pa.int64()),
        ("dataset_to_index", pa.int64()),
    ]
    for name, feature in features.items():
        if feature["dtype"] == "video":
            fields += [(f"videos/{name}/{index}", pa.int64()) for index in ("chunk_index", "file_index")]
            fields += [(f"videos/{name}/{time}", pa.float64()) for time in ("from_timestamp", "to_timestamp")]
    for name, feature in features.items():
        numbers = pa.list_(pa.float64())
        values = pa.list_(pa.list_(numbers)) if feature["dtype"] in ("image", "video") else numbers
        for statistic in STATISTICS:
            fields.append((f"stats/{name}/{statistic}", pa.list_(pa.int64()) if statistic == "count" else values))
    return pa.schema([*fields, ("meta/episodes/chunk_index", pa.int64()), ("meta/episodes/file_index", pa.int64())])


def rest_schema(dtypes: Mapping[str, np.dtype[Any]]) -> pa.Schema:
    """One row per episode: arrays that have not one row per control step, flattened."""
    types = [(key, pa.list_(pa.from_numpy_dtype(dtype))) for key, dtype in dtypes.items()]
    return pa.schema([("episode_index", pa.int64()), *types])


def data_columns(schema: pa.Schema, columns: Mapping[str, np.ndarray | pa.Array]) -> pa.Table:
    """The table of rows (T, width), or of images that are encoded already."""
    arrays = []
    for field in schema:
        rows = columns[field.name]
        if field.type == IMAGE:
            names = pa.array([f"frame-{i:06d}.png" for i in range(len(rows))])
            arrays.append(pa.StructArray.from_arrays([rows, names], fields=list(IMAGE)))
            continue
        flat = pa.array(np.ascontiguousarray(rows).reshape(-1))
        arrays.append(flat if rows.shape[1] == 1 else pa.FixedSizeListArray.from_arrays(flat, rows.shape[1]))
    return pa.Table.from_arrays(arrays, schema=schema)


def tasks_table(tasks: Mapping[str, int]) -> pa.Table:
    """Sentences and their numbers; pandas reads it with the sentences as its index, which LeRobot relies on."""

    def column(name: str | None, kind: str, metadata: Any) -> dict[str, Any]:
        number = "int64" if kind == "int64" else "object"
        return {
            "name": name,
            "field_name": name,
            "pandas_type": kind,
            "numpy_type": number,
            "metadata": metadata,
        }

    pandas = {
        "index_columns": ["task"],
        "column_indexes": [column(None, "unicode", {"encoding": "UTF-8"})],
        "columns": [column("task_index", "int64", None), column("task", "unicode", None)],
        "attributes": {},
        "creator": {"library": "pyarrow", "version": pa.__version__},
        "pandas_version": "2.2.0",
    }
    schema = pa.schema([("task_index", pa.int64()), ("task", pa.string())], {"pandas": json.dumps(pandas)})
    return pa.Table.from_arrays([pa.array(list(tasks.values())), pa.array(list(tasks))], schema=schema)
