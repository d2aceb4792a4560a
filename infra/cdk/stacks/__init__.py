"""The stacks: images, network, data, recognition, ingest, publication, edge, wavelength, observability."""
