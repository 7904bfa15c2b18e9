"""CustomResourceDefinitions: their life, their versions, and what their schemas make of objects."""
