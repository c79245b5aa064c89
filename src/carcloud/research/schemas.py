"""All tables of research by name."""

from __future__ import annotations

import pyarrow as pa

from carcloud.research.mining.catalogue import FEATURES
from carcloud.research.tables import TABLES

SCHEMAS: dict[str, pa.Schema] = {**TABLES, "features": FEATURES}
