"""A traced forward pass, whatever traced it, as layers of `impls.spec`."""
