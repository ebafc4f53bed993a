"""From files and data frames to panels, and back: README.md says which module does what."""
