"""Pictures of the mathematics, computed from the images in the package."""
