"""Images that the miniature is trained on."""
