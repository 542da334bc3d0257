"""Parts shared by the tabs: forms, event handlers, HTML, theme, keyboard shortcuts."""
