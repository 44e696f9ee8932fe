from __future__ import annotations

import os
from typing import Any

os.environ["STREAMLIT_BROWSER_GATHER_USAGE_STATS"] = "false"
os.environ["STREAMLIT_SERVER_HEADLESS"] = "true"

import streamlit

from tests.matrix.apps import common


def make(prefix: str) -> Any:
    script = common.FOLDER / "script.py"
    script.write_text(
        'import streamlit as st\nif st.button("press"):\n    st.write("pressed 1")\n',
        encoding="utf-8",
    )
    return streamlit.App(script, lifespan=common.lifespan)
