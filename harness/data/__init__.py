"""Images: one decoder, one resizer, one set of views for all frameworks."""
