from __future__ import annotations

import os
from typing import Any

os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"

import gradio
from fastapi import FastAPI

from tests.matrix.apps import common


def make(prefix: str) -> Any:
    with gradio.Blocks() as blocks:
        name = gradio.Textbox(label="name", value="Ada")
        answer = gradio.Textbox(label="answer")
        button = gradio.Button("press")
        button.click(lambda text: f"hello {text}", name, answer)
    app = FastAPI(lifespan=common.lifespan)
    return gradio.mount_gradio_app(app, blocks, path="/")
