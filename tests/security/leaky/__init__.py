"""An app whose code hands a secret to everything that could give it away."""
