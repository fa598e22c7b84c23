"""Form of a desk's webhook: bodies, fields and signatures."""
