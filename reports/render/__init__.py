"""How a document is said: on a terminal, as Markdown, as a page."""
