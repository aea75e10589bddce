"""A detector as a service: ``python -m osrlib.serve rule.onnx [PORT]``. Needs the extra ``service``, and no torch.

POST /decide with pixels: {"images": [[[0, … 28 numbers], … 28 rows], …]}, bright strokes on black, 0 to 255. For each
image it answers a label (null: unknown), a p-value, which key refused (null: none), and each key's score.
"""

import sys

import numpy as np
import onnxruntime
import uvicorn
from fastapi import FastAPI, HTTPException
from pydantic import BaseModel, Field


class Pictures(BaseModel):
    images: list = Field(min_length=1, max_length=1000)


def service(path):
    session, app = onnxruntime.InferenceSession(path), FastAPI(title="A detector that can say unknown")
    told = session.get_modelmeta().custom_metadata_map
    keys, classes = told["keys"].split("\n"), int(told["classes"])

    @app.post("/decide")
    def decide(pictures: Pictures):
        answers = session.run(None, {"images": pixels(pictures.images)})
        return [
            {
                "label": int(label) if label < classes else None,
                "p_value": float(p_value),
                "refused_by": keys[key] if key >= 0 else None,
                "scores": dict(zip(keys, scores.tolist(), strict=True)),
            }
            for label, p_value, key, scores in zip(*answers, strict=True)
        ]

    return app


def pixels(images):
    """Lists of numbers as uint8 [N, 28, 28]; what is none is answered with 422 and a word."""
    try:
        images = np.array(images, dtype=np.float64)
    except (ValueError, TypeError):
        raise HTTPException(422, "images: expected numbers, as many in each row") from None
    if images.shape[1:] != (28, 28) or not np.isin(images, np.arange(256)).all():
        raise HTTPException(422, f"images: expected [N, 28, 28] of 0, 1 … 255, got {list(images.shape)}, or others")
    return images.astype(np.uint8)


if __name__ == "__main__":
    uvicorn.run(service(sys.argv[1]), port=int(sys.argv[2]) if len(sys.argv) > 2 else 8000)
