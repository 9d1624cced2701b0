"""A model and a scan become findings, pictures, a report and DICOM objects in a folder."""
