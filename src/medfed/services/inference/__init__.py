"""Released models at work in a hospital: asked, looked over by people, handed on."""
