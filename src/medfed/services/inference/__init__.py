"""Released models at work in a hospital: asked, looked over by people, handed on."""

from medfed.services.inference.desk import Desk

__all__ = ["Desk"]
