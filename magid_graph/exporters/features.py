"""The columns of Parquet files, written down as `datasets` does, and the Arrow types that follow."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from magid_graph.exporters.rows import PictureRow

if TYPE_CHECKING:
    import pyarrow as pa

TEXT, WHOLE, FRACTION = ({"dtype": name, "_type": "Value"} for name in ("string", "int64", "float64"))
IMAGE = {"_type": "Image"}

_BY_TYPE = {"str": TEXT, "int": WHOLE, "int | None": WHOLE, "float | None": FRACTION}
PICTURE = {name: _BY_TYPE[kind.__forward_arg__] for name, kind in PictureRow.__annotations__.items()}
"""Those of a `PictureRow`."""


def list_of(feature: dict[str, Any]) -> dict[str, Any]:
    return {"feature": feature, "_type": "List"}


def arrow_schema(features: dict[str, Any]) -> pa.Schema:
    """The schema, with the features inside, so that `datasets` opens pictures as pictures."""
    import pyarrow as pa

    told = json.dumps({"info": {"features": features}})
    columns = [(name, _arrow_type(feature)) for name, feature in features.items()]
    return pa.schema(columns, metadata={"huggingface": told})


def _arrow_type(feature: dict[str, Any]) -> pa.DataType:
    import pyarrow as pa

    match feature.get("_type"):
        case "Value":
            return pa.type_for_alias(feature["dtype"])
        case "Image":
            return pa.struct([("bytes", pa.binary()), ("path", pa.string())])
        case "List":
            return pa.list_(_arrow_type(feature["feature"]))
    return pa.struct([(name, _arrow_type(part)) for name, part in feature.items()])
