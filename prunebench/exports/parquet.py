"""``.parquet``: the columns of the CSV, for pandas, polars and DuckDB; the card is in the file's metadata too."""

from __future__ import annotations

import io
import json
from pathlib import Path

from ..errors import UserError
from ..interop.files import write_with_card
from . import Export
from .csv_table import columns


def write(export: Export) -> Path:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        raise UserError("parquet needs pyarrow: pip install 'prunebench[parquet]', or export to csv") from None
    table = pyarrow.table(columns(export)).replace_schema_metadata({"prunebench": json.dumps(export.card)})
    content = io.BytesIO()
    pyarrow.parquet.write_table(table, content)
    return write_with_card(export.out, content.getvalue(), export.card)
